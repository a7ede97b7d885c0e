"""The compile gate of the fused kernels: what NVVM and ptxas make of them. Needs no GPU and no driver."""

import numpy as np
import pytest

from minipar.kernels.cuda import (
    avg_pool2d,
    batch_norm,
    channel_sums,
    compiler,
    cross_entropy,
    detect,
    layer_norm,
    max_pool2d,
    optimizer_steps,
    picked_rows,
    relu_gradient,
    running_statistics,
    strips,
)
from minipar.kernels.cuda.plan import Kernel
from minipar.kernels.cuda.rows import rows_of

usable, reason = detect.compiler_status()
pytestmark = pytest.mark.skipif(not usable, reason=reason)

ARCHITECTURES = [(8, 0), (9, 0)]
WIDTHS = 10, 1000  # a row to a warp, and to a block


def kernels(dtype: np.dtype) -> list[Kernel]:
    by_rows = cross_entropy.rows_kernel, cross_entropy.gradient_kernel
    by_rows += layer_norm.forward_kernel, layer_norm.backward_kernel
    by_uses = picked_rows.sums_kernel, picked_rows.long_sums_kernel
    return [
        *(factory(dtype, rows_of(width)) for factory in by_rows for width in WIDTHS),
        *(factory(dtype, rows_of(width), picked_rows.LONGEST) for factory in by_uses for width in WIDTHS),
        cross_entropy.totals_kernel(dtype, cross_entropy.THREADS),
        layer_norm.strips_kernel(dtype),
        strips.sum_of_strips_kernel(dtype),
        optimizer_steps.sgd_kernel(dtype),
        optimizer_steps.adam_kernel(dtype),
        *(
            factory(dtype, lanes)
            for factory in (channel_sums.moments_kernel, channel_sums.sums_kernel, channel_sums.totals_kernel)
            for lanes in (1, 32)
        ),
        channel_sums.statistics_kernel(dtype),
        batch_norm.normalize_kernel(dtype),
        batch_norm.gradient_kernel(dtype),
        *(max_pool2d.forward_kernel(dtype, winner) for winner in ("uint8", "int64")),
        max_pool2d.taps_backward_kernel(dtype),
        max_pool2d.backward_kernel(dtype),
        avg_pool2d.forward_kernel(dtype),
        avg_pool2d.backward_kernel(dtype),
        relu_gradient.gradient_kernel(dtype),
        running_statistics.follow_kernel(dtype),
    ]


@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
@pytest.mark.parametrize("dtype", [np.dtype("float32"), np.dtype("float64")], ids=str)
def test_fused_kernels_fit_in_registers_and_float32_stays_float32(dtype, capability):
    for kernel in kernels(dtype):
        cubin = compiler.build(kernel, capability)
        assert kernel.name.encode() in cubin.code
        assert (kernel.name, cubin.spills, cubin.stack) == (kernel.name, 0, 0)
        assert 0 < cubin.registers <= 65536 // kernel.threads  # at least one block fits on a multiprocessor
        assert (kernel.name, cubin.wide_divisions) == (kernel.name, 0)
        assert (kernel.name, cubin.double_instructions > 0) == (kernel.name, dtype == np.float64)


def test_parameters_that_are_neither_arrays_of_the_dtype_nor_int32_come_in_their_own_types():
    kernel = cross_entropy.totals_kernel(np.dtype(np.float32), 64)
    assert kernel.parameters == ("float32*", "float32*", "int64*", "int64*", "int32", "int32", "int32", "int64")
    ptx = compiler.to_ptx(kernel, (8, 0))
    entry = ptx[ptx.index(f".entry {kernel.name}(") :].partition(")")[0]
    assert [line.split()[1] for line in entry.splitlines() if ".param" in line] == [
        *[".u64"] * 4, *[".u32"] * 3, ".u64"
    ]  # fmt: skip
    scalars = optimizer_steps.sgd_kernel(np.dtype(np.float32))
    ptx = compiler.to_ptx(scalars, (8, 0))
    assert ptx[ptx.index(f".entry {scalars.name}(") :].partition(")")[0].count(".param .f32") == 4

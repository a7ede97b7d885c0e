"""The compile gate: what NVVM and ptxas make of every kernel, for two architectures. Needs no GPU and no driver."""

import itertools

import numpy as np
import pytest

from minipar.kernels.cuda import compiler, detect
from minipar.kernels.cuda.conv2d import direct
from minipar.kernels.cuda.matmul import RUNGS
from minipar.kernels.cuda.plan import Kernel

usable, reason = detect.compiler_status()
pytestmark = pytest.mark.skipif(not usable, reason=reason)

ARCHITECTURES = [(8, 0), (9, 0)]


FLAGS = list(itertools.product((False, True), repeat=2))  # is A, is B transposed?


def products(dtype: np.dtype, all_variants: bool) -> list[Kernel]:
    """Each rung in its plainest form and with all that it can do; or in every form."""
    made = []
    for factory, tile, options in RUNGS.values():
        if options and dtype == np.float64:
            continue  # for float32 alone
        everything = dict.fromkeys(options, True)
        variants = [(flags, chosen) for flags in FLAGS for chosen in ({}, everything)]
        if not all_variants:
            variants = [(FLAGS[0], {}), (FLAGS[1], everything)]  # FLAGS[1]: a linear layer's weight is transposed
        made += [factory(dtype, tile, *flags, **chosen) for flags, chosen in variants]
    return made


def check(kernels: list[Kernel], capability: tuple[int, int]) -> None:
    for kernel in kernels:
        cubin = compiler.build(kernel, capability)
        assert cubin.code.startswith(b"\x7fELF")
        assert kernel.name.encode() in cubin.code
        assert (kernel.name, cubin.spills, cubin.stack) == (kernel.name, 0, 0)
        assert 0 < cubin.registers <= 65536 // kernel.threads  # at least one block fits on a multiprocessor
        assert (cubin.double_instructions > 0) == (kernel.dtype == np.float64)


@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
@pytest.mark.parametrize("dtype", [np.dtype("float32"), np.dtype("float64")], ids=str)
def test_kernels_fit_in_registers_and_float32_stays_float32(dtype, capability):
    check(products(dtype, False), capability)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
@pytest.mark.parametrize("dtype", [np.dtype("float32"), np.dtype("float64")], ids=str)
def test_every_variant_fits_in_registers(dtype, capability):
    check(products(dtype, True), capability)


def test_the_entry_takes_plain_pointers_and_int32s():
    kernel = direct.grad_input_kernel(np.dtype(np.float32), 64)
    ptx = compiler.to_ptx(kernel, (8, 0))
    entry = ptx[ptx.index(f".entry {kernel.name}(") :].partition(")")[0]
    assert entry.count(".param .u64") == kernel.pointers == 3
    assert entry.count(".param .u32") == 17
    assert entry.count(f"{kernel.name}_param_") == 20
    assert ".maxntid 64" in ptx


def test_a_kernel_that_computes_in_float64_by_accident_is_noticed():
    def tenth(x, n):
        x[n] = x[n] * 0.1

    assert compiler.build(Kernel(tenth, np.dtype(np.float32), 1, 32), (8, 0)).double_instructions > 0


def test_ptx_that_the_assembler_refuses_is_shown_with_its_reason():
    with pytest.raises(RuntimeError, match=r"nvJitLink refuses the kernel: .*syntax error"):
        compiler.assemble(".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry broken( {}", (8, 0))

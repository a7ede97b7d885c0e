"""The compile gate for the convolution kernels: no spill, no stack, no float64 in float32, on two architectures."""

import numpy as np
import pytest

from minipar.kernels.cuda import compiler, detect
from minipar.kernels.cuda.conv2d import depthwise, direct, halo_tile, products
from minipar.kernels.cuda.conv2d.implicit_gemm import implicit_gemm_kernel
from minipar.kernels.cuda.conv2d.weight_gradient import grad_weight_kernel
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.plan import Kernel

usable, reason = detect.compiler_status()
pytestmark = pytest.mark.skipif(not usable, reason=reason)

ARCHITECTURES = [(8, 0), (9, 0)]
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


LOW, MIDDLE, HIGH = products.TILES
WINDOW, STRIDE, ONE = (3, 3), (2, 2), (1, 1)


def in_every_form(tile: Tile) -> list[Kernel]:
    by_fours = tile.fetches[0] % 4 == 0
    return [
        *(implicit_gemm_kernel(FLOAT32, tile, turned) for turned in (False, True)),
        *(implicit_gemm_kernel(FLOAT32, tile, turned, by_fours, True, True, True) for turned in (False, True)),
        grad_weight_kernel(FLOAT32, tile),
    ]


def small(dtype: np.dtype) -> list[Kernel]:
    """Those without tiles in registers."""
    return [
        direct.forward_kernel(dtype, direct.THREADS, True),
        direct.grad_input_kernel(dtype, direct.THREADS),
        direct.grad_weight_kernel(dtype, direct.THREADS),
        halo_tile.halo_kernel(dtype, halo_tile.SIDE, (7, 7), STRIDE, ONE, True, True),
        depthwise.depthwise_kernel(dtype, depthwise.THREADS, (4, 4), True, True),
        depthwise.depthwise_grad_input_kernel(dtype, depthwise.THREADS, WINDOW, STRIDE),
        depthwise.depthwise_grad_weight_kernel(dtype, depthwise.THREADS, (4, 4)),
    ]


KERNELS = {
    "small, float32": lambda: small(FLOAT32),
    "small, float64": lambda: small(FLOAT64),
    "products": lambda: [
        implicit_gemm_kernel(FLOAT32, MIDDLE, False),
        implicit_gemm_kernel(FLOAT32, HIGH, True, True, True),
        grad_weight_kernel(FLOAT32, MIDDLE),
    ],
}


def check(kernels: list[Kernel], capability: tuple[int, int]) -> None:
    for kernel in kernels:
        cubin = compiler.build(kernel, capability)
        assert (kernel.name, cubin.spills, cubin.stack) == (kernel.name, 0, 0)
        assert 0 < cubin.registers <= 65536 // kernel.threads  # at least one block fits on a multiprocessor
        assert (cubin.double_instructions > 0) == (kernel.dtype == np.float64)


@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
@pytest.mark.parametrize("kernels", KERNELS)
def test_kernels_fit_in_registers_and_float32_stays_float32(kernels, capability):
    check(KERNELS[kernels](), capability)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
@pytest.mark.parametrize("tile", products.TILES, ids=lambda tile: f"{tile.m}x{tile.n}")
def test_every_form_of_a_product_fits_in_registers(tile, capability):
    check(in_every_form(tile), capability)


def test_the_table_is_a_pointer_to_int64():
    kernel = implicit_gemm_kernel(FLOAT32, products.TILES[0], False)
    ptx = compiler.to_ptx(kernel, (8, 0))
    entry = ptx[ptx.index(f".entry {kernel.name}(") :].partition(")")[0]
    assert entry.count(".param .u64") == 5
    assert "ld.global.u64" in ptx

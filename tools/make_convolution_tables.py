"""Writes the table of docs/convolution-ladder.md: `python tools/make_convolution_tables.py`. Takes a minute; no GPU.

What the compiler makes of every convolution kernel (needs the compiler's wheels: `pip install ".[oracle]"`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minipar.bench.report import markdown_table
from minipar.kernels.cuda import compiler
from minipar.kernels.cuda.conv2d import depthwise, direct, halo_tile, products
from minipar.kernels.cuda.conv2d.implicit_gemm import implicit_gemm_kernel
from minipar.kernels.cuda.conv2d.weight_gradient import grad_weight_kernel
from minipar.kernels.cuda.plan import Kernel
from minipar.kernels.cuda.strips import sum_of_strips_kernel

PAGE = Path(__file__).resolve().parents[1] / "docs" / "convolution-ladder.md"
ARCHITECTURE = (9, 0)


def main() -> None:
    begin, end = "<!-- compiled: written by tools/make_convolution_tables.py -->", "<!-- end of compiled -->"
    before, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{PAGE.name} has no place for the table: {begin} … {end}")
    PAGE.write_text(f"{before}{begin}\n\n{compiled()}\n\n{end}{after}", encoding="utf-8")


def compiled() -> str:
    """Registers and shared memory of every kernel in float32."""
    lines = []
    for name, kernel in kernels().items():
        cubin = compiler.build(kernel, ARCHITECTURE)
        numbers = (cubin.registers, cubin.shared, cubin.spills + cubin.stack, cubin.double_instructions)
        lines.append([name, str(kernel.threads), *map(str, numbers)])
    heads = ("kernel", "threads", "registers, sm_{}{}".format(*ARCHITECTURE), "shared bytes", "spilled", "fp64")
    return "\n".join(markdown_table(heads, lines))


def kernels() -> dict[str, Kernel]:
    float32, window, one = np.dtype(np.float32), (3, 3), (1, 1)
    _, middle, high = products.TILES
    by_channel = depthwise.THREADS
    return {
        "direct, forward": direct.forward_kernel(float32, direct.THREADS),
        "direct, gradient by the input": direct.grad_input_kernel(float32, direct.THREADS),
        "direct, gradient by the weight": direct.grad_weight_kernel(float32, direct.THREADS),
        "halo tile, 3 × 3": halo_tile.halo_kernel(float32, halo_tile.SIDE, window, one, one, True, True),
        "implicit GEMM, 64 × 128": implicit_gemm_kernel(float32, middle, False),
        "implicit GEMM, 128 × 128, aligned, bias, ReLU": implicit_gemm_kernel(
            float32, high, False, True, True, True, True
        ),
        "implicit GEMM, 128 × 128, gradient by the input": implicit_gemm_kernel(float32, high, True),
        "gradient by the weight, 64 × 128": grad_weight_kernel(float32, middle),
        "gradient by the weight, 128 × 128": grad_weight_kernel(float32, high),
        "sum of its parts": sum_of_strips_kernel(float32),
        "depthwise, forward": depthwise.depthwise_kernel(float32, by_channel, window, True, True),
        "depthwise, gradient by the input": depthwise.depthwise_grad_input_kernel(float32, by_channel, window, one),
        "depthwise, gradient by the weight": depthwise.depthwise_grad_weight_kernel(float32, by_channel, window),
    }


if __name__ == "__main__":
    main()

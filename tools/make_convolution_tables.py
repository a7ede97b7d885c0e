"""Writes the tables of docs/convolution-ladder.md: `python tools/make_convolution_tables.py`. Minutes; needs no GPU.

What each rung moves, by `minipar.kernels.simulate`; and what the compiler makes of every convolution kernel (needs the
compiler's wheels: `pip install ".[oracle]"`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minipar.bench.report import markdown_table
from minipar.kernels import simulate
from minipar.kernels.cuda import compiler
from minipar.kernels.cuda.conv2d import depthwise, direct, halo_tile, products
from minipar.kernels.cuda.conv2d.geometry import geometry_of
from minipar.kernels.cuda.conv2d.implicit_gemm import implicit_gemm_kernel
from minipar.kernels.cuda.conv2d.weight_gradient import grad_weight_kernel, sum_parts_kernel
from minipar.kernels.cuda.plan import Kernel

PAGE = Path(__file__).resolve().parents[1] / "docs" / "convolution-ladder.md"
ARCHITECTURES = ((8, 0), (9, 0))
CHANNELS, SIDE = 8, 16  # in and out; the image's


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for mark, table in {"compiled": compiled(), "moved": moved()}.items():
        begin, end = f"<!-- {mark}: written by tools/make_convolution_tables.py -->", f"<!-- end of {mark} -->"
        before, found, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found or not found_end:
            raise ValueError(f"{PAGE.name} has no place for {mark}: {begin} … {end}")
        text = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    PAGE.write_text(text, encoding="utf-8")


def moved() -> str:
    """What a 3 x 3 convolution of one image costs on each rung, for a thousand multiplications."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, CHANNELS, SIDE, SIDE), dtype=np.float32)
    w = rng.standard_normal((CHANNELS, CHANNELS, 3, 3), dtype=np.float32)
    geometry = geometry_of(x.shape, w.shape, (1, 1), (1, 1), (1, 1), 1)
    plans = {
        "direct": direct.plan_direct_forward(x, w, None, geometry),
        "halo tile": halo_tile.plan_halo_forward(x, w, None, geometry),
        "implicit GEMM": products.plan_forward(x, w, None, geometry),
    }
    thousands = w.size * SIDE * SIDE / 1000
    lines = []
    for name, plan in plans.items():
        report = simulate.run(plan.kernel.function, plan.blocks, plan.kernel.threads, *plan.args)
        counts = (
            report.count("global", "load").requests,
            report.count("global", "load").transactions,
            report.count("shared").transactions,
        )
        lines.append([name, *(f"{count / thousands:.2f}" for count in counts), f"{report.barriers}"])
    heads = ("rung", "global load requests", "sectors read", "shared wavefronts", "barriers")
    return "\n".join(markdown_table(heads, lines))


def compiled() -> str:
    """Registers and shared memory of every kernel in float32, on each architecture."""
    lines = []
    for name, kernel in kernels().items():
        cubins = [compiler.build(kernel, capability) for capability in ARCHITECTURES]
        registers = [str(cubin.registers) for cubin in cubins]
        flaws = [str(sum(x)) for x in zip(*((c.spills + c.stack, c.double_instructions) for c in cubins))]
        lines.append([name, str(kernel.threads), *registers, str(cubins[-1].shared), *flaws])
    columns = (f"registers, sm_{a}{b}" for a, b in ARCHITECTURES)
    return "\n".join(markdown_table(("kernel", "threads", *columns, "shared bytes", "spilled", "fp64"), lines))


def kernels() -> dict[str, Kernel]:
    float32, window, one = np.dtype(np.float32), (3, 3), (1, 1)
    made = {
        "direct: forward": direct.forward_kernel(float32, direct.THREADS),
        "direct: gradient by the input": direct.grad_input_kernel(float32, direct.THREADS),
        "direct: gradient by the weight": direct.grad_weight_kernel(float32, direct.THREADS),
        "halo tile, 3 × 3": halo_tile.halo_kernel(float32, halo_tile.SIDE, window, one, one, True, True),
        "depthwise, 3 × 3: forward": depthwise.depthwise_kernel(float32, depthwise.THREADS, window, True, True),
        "depthwise: gradient by the input": depthwise.depthwise_grad_input_kernel(
            float32, depthwise.THREADS, window, one
        ),
        "depthwise: gradient by the weight": depthwise.depthwise_grad_weight_kernel(float32, depthwise.THREADS, window),
    }
    for tile in products.TILES[1:]:
        size = f"{tile.m} × {tile.n}"
        made |= {
            f"implicit GEMM, {size}": implicit_gemm_kernel(float32, tile, False),
            f"{size}, gradient by the input, aligned": implicit_gemm_kernel(float32, tile, True, True, True),
            f"{size}, gradient by the weight": grad_weight_kernel(float32, tile),
        }
    return {**made, "sum of its parts": sum_parts_kernel(float32, 256)}


if __name__ == "__main__":
    main()

"""Writes what is measured of the CUDA kernels into their pages: `python tools/make_kernel_tables.py`. Needs no GPU.

"compiled": what the compiler makes of every kernel, on the three pages of docs/ that PAGES names (needs the compiler's
wheels: `pip install ".[oracle]"`; takes two minutes). "moved": what each rung of docs/matmul-ladder.md moves, by
`minipar.kernels.simulate`. With names of pages behind it, writes the tables of those alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from minipar.bench.report import markdown_table
from minipar.kernels import simulate
from minipar.kernels.cuda import (
    avg_pool2d,
    batch_norm,
    channel_sums,
    compiler,
    cross_entropy,
    dropout,
    layer_norm,
    max_pool2d,
    optimizer_steps,
    picked_rows,
    relu_gradient,
    running_statistics,
    strips,
)
from minipar.kernels.cuda.conv2d import depthwise, direct, halo_tile, products
from minipar.kernels.cuda.conv2d.implicit_gemm import implicit_gemm_kernel
from minipar.kernels.cuda.conv2d.tensor_cores import tensor_core_kernel
from minipar.kernels.cuda.conv2d.warp_weight_gradient import warp_grad_weight_kernel
from minipar.kernels.cuda.conv2d.weight_gradient import grad_weight_kernel
from minipar.kernels.cuda.matmul import HALVES, RUNGS, plan_matmul
from minipar.kernels.cuda.occupancy import occupancy, resident_blocks
from minipar.kernels.cuda.plan import Kernel
from minipar.kernels.cuda.recurrent import persistent, stepwise
from minipar.kernels.cuda.recurrent.cells import CELLS, cell
from minipar.kernels.cuda.rows import rows_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
ARCHITECTURES = ((8, 0), (9, 0))
FLOAT16, FLOAT32, FLOAT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
M, K, N = 128, 32, 128  # a whole block of every rung, in several steps

Named = Iterator[tuple[str, Kernel]]


def main(pages: list[str]) -> None:
    for page in pages or PAGES:
        put_on_page(page, "compiled", compiled(page))
        if page == "matmul-ladder":
            put_on_page(page, "moved", moved())


def on_page(page: str, mark: str) -> str:
    """The table as it stands on the page. ValueError if there is no place for it."""
    begin, end = f"<!-- {mark}: written by tools/make_kernel_tables.py -->", f"<!-- end of {mark} -->"
    found = re.findall(f"{begin}(.*?){end}", (DOCS / f"{page}.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    if len(found) != 1 or not found[0].strip():
        raise ValueError(f"{page}.md has no table between {begin} and {end}")
    return found[0].strip()


def put_on_page(page: str, mark: str, table: str) -> None:
    file = DOCS / f"{page}.md"
    file.write_text(file.read_text(encoding="utf-8").replace(on_page(page, mark), table), encoding="utf-8")


def compiled(page: str) -> str:
    """What every kernel of a page takes, and how much of a multiprocessor it fills, on each architecture."""
    lines = []
    for name, kernel in PAGES[page](FLOAT32):
        cubins = [built(kernel, capability) for capability in ARCHITECTURES]
        flaws = [str(sum(x)) for x in zip(*((c.spills + c.stack, c.double_instructions) for c in cubins))]
        used = [
            cell for capability in ARCHITECTURES for cell in (registers(kernel, capability), room(kernel, capability))
        ]
        lines.append([name, str(kernel.threads), str(cubins[-1].shared), *used, *flaws])
    of_each = [f"{what}, sm_{a}{b}" for a, b in ARCHITECTURES for what in ("registers", "blocks")]
    table = markdown_table(("kernel", "threads", "shared bytes", *of_each, "spilled", "fp64"), lines)
    return "\n".join([*table, "", f"Compiled by {compilers()}."])


def compilers() -> str:
    """What decides the numbers of registers, beside the kernels."""
    return ", ".join(f"{package} {version(package)}" for package in compiler.PACKAGES)


def registers(kernel: Kernel, capability: compiler.Capability) -> str:
    """Of a thread; where launch bounds tell the compiler to make do with less, what it would take without them, too."""
    bound = built(kernel, capability).registers
    free = built(replace(kernel, min_blocks=1), capability).registers if kernel.min_blocks > 1 else bound
    return str(bound) if bound == free else f"{free} → {bound}"


def room(kernel: Kernel, capability: compiler.Capability) -> str:
    """The blocks that a multiprocessor holds together, and their share of the threads that it could hold."""
    of = built(kernel, capability), kernel.threads, capability
    return f"{resident_blocks(*of)} ({occupancy(*of):.0%})"


@cache
def built(kernel: Kernel, capability: compiler.Capability) -> compiler.Cubin:
    return compiler.build(kernel, capability)


def matmul(dtype: np.dtype) -> Named:
    """The kernels of a product in their plainest form, and with all that they can do; with float32, float16 as well."""
    for name, (factory, tile, options) in RUNGS.items():
        if dtype == FLOAT32 or not options:  # these are for float32 alone
            yield name, factory(dtype, tile, False, False)
        if dtype == FLOAT32 and options:
            yield f"{name}, aligned, Wᵀ, bias, ReLU", factory(dtype, tile, False, True, **dict.fromkeys(options, True))
        if dtype == FLOAT64 and not options:
            yield f"{name}, Wᵀ", factory(dtype, tile, False, True)
    if dtype == FLOAT32:
        factory, tile, options = HALVES
        float16 = np.dtype(np.float16)
        yield "fp16", factory(float16, tile, False, False)
        yield "fp16, aligned, Wᵀ, bias, ReLU", factory(float16, tile, False, True, **dict.fromkeys(options, True))


def convolution(dtype: np.dtype) -> Named:
    """Those without tiles in registers; and, in float32, the products of every tile that a GPU runs."""
    window, wide, one, two = (3, 3), (7, 7), (1, 1), (2, 2)
    threads = direct.THREADS
    yield "direct, ReLU", direct.forward_kernel(dtype, threads, True)
    yield "direct, gradient by the input", direct.grad_input_kernel(dtype, threads)
    yield "direct, gradient by the weight", direct.grad_weight_kernel(dtype, threads)
    for taps, step in ((window, one), (wide, two)):
        name = f"halo tile, {taps[0]} × {taps[1]}, stride {step[0]}, bias, ReLU"
        yield name, halo_tile.halo_kernel(dtype, halo_tile.SIDE, taps, step, one, True, True)
    threads = depthwise.THREADS
    for taps, step in ((window, one), ((4, 4), two)):
        of = f"depthwise, {taps[0]} × {taps[1]}"
        yield f"{of}, bias, ReLU", depthwise.depthwise_kernel(dtype, threads, taps, True, True)
        yield f"{of}, gradient by the input", depthwise.depthwise_grad_input_kernel(dtype, threads, taps, step)
        yield f"{of}, gradient by the weight", depthwise.depthwise_grad_weight_kernel(dtype, threads, taps)
    yield "depthwise, 7 × 7, gradient by the weight", depthwise.depthwise_grad_weight_kernel(dtype, threads, wide)
    for tile in products.TILES if dtype == FLOAT32 else ():
        of = f"implicit GEMM, {tile.m} × {tile.n}"
        by_fours = tile.fetches[0] % 4 == 0
        yield of, implicit_gemm_kernel(dtype, tile, False)
        yield f"{of}, aligned, bias, ReLU", implicit_gemm_kernel(dtype, tile, False, by_fours, True, True, True)
        yield f"{of}, aligned, gradient by the input", implicit_gemm_kernel(dtype, tile, True, by_fours, True)
        yield f"{of}, gradient by the weight", grad_weight_kernel(dtype, tile)
    for multiplied in ("tf32", "fp16") if dtype == FLOAT32 else ():
        yield from on_tensor_cores(multiplied)


def on_tensor_cores(multiplied: str) -> Named:
    """The convolution's, in every tile."""
    dtype = FLOAT16 if multiplied == "fp16" else FLOAT32
    for tile in products.MULTIPLICATIONS[multiplied].tiles:
        of = f"{multiplied}, {tile.m} × {tile.n}"
        kernel = partial(tensor_core_kernel, dtype, tile, multiplied=multiplied)
        yield f"{of}, aligned, bias, ReLU", kernel(False, True, True, True)
        yield f"{of}, gradient by the input", kernel(True)
        yield f"{of}, gradient by the weight", warp_grad_weight_kernel(dtype, tile, multiplied)


def fused(dtype: np.dtype) -> Named:
    """A row to a warp and to a block; channels side by side and far apart."""
    by_rows = {
        "cross-entropy, rows": cross_entropy.rows_kernel,
        "cross-entropy, gradient": cross_entropy.gradient_kernel,
        "layer norm": layer_norm.forward_kernel,
        "layer norm, gradient by the input": layer_norm.backward_kernel,
        "embedding, gradient": lambda dtype, rows: picked_rows.sums_kernel(dtype, rows, picked_rows.LONGEST),
        "embedding, long runs": lambda dtype, rows: picked_rows.long_sums_kernel(dtype, rows, picked_rows.LONGEST),
    }
    for name, factory in by_rows.items():
        for width, sharer in ((10, "warp"), (1000, "block")):
            yield f"{name}, a {sharer} to a row", factory(dtype, rows_of(width))
    yield "cross-entropy, totals", cross_entropy.totals_kernel(dtype, cross_entropy.THREADS)
    yield "layer norm, gradient by the weight", layer_norm.strips_kernel(dtype)
    yield "sum of strips", strips.sum_of_strips_kernel(dtype)
    for lanes, shared_out in ((1, "a channel to a block"), (32, "32 channels to a block")):
        yield f"bias, gradient, {shared_out}", channel_sums.totals_kernel(dtype, lanes)
        yield f"batch norm, moments, {shared_out}", channel_sums.moments_kernel(dtype, lanes)
        yield f"batch norm, sums of the gradient, {shared_out}", channel_sums.sums_kernel(dtype, lanes)
    yield "batch norm, statistics", channel_sums.statistics_kernel(dtype)
    yield "batch norm, running statistics", running_statistics.follow_kernel(dtype)
    yield "batch norm, normalize", batch_norm.normalize_kernel(dtype)
    yield "batch norm, gradient by the input", batch_norm.gradient_kernel(dtype)
    for winner, kept in (("uint8", "taps"), ("int64", "places")):
        yield f"max pooling, {kept} kept", max_pool2d.forward_kernel(dtype, winner)
    yield "max pooling, gradient by taps", max_pool2d.taps_backward_kernel(dtype)
    yield "max pooling, gradient by places", max_pool2d.backward_kernel(dtype)
    yield "dropout", dropout.forward_kernel(dtype)
    yield "dropout, gradient", dropout.apply_kernel(dtype)
    yield "ReLU, gradient", relu_gradient.gradient_kernel(dtype)
    yield "average pooling", avg_pool2d.forward_kernel(dtype)
    yield "average pooling, gradient", avg_pool2d.backward_kernel(dtype)
    yield from recurrent(dtype)
    yield "SGD", optimizer_steps.sgd_kernel(dtype)
    yield "Adam, AdamW", optimizer_steps.adam_kernel(dtype)


def recurrent(dtype: np.dtype) -> Named:
    """All steps in one launch at the most units that fit, whose weights must stay in registers; and a step alone."""
    for name in CELLS:
        gates = cell(name, dtype).gates
        widths = (persistent.width_that_fits(gates, hidden, dtype) for hidden in range(32, 160, 32))
        width = max(filter(None, widths))
        yield f"{name}, {width} units", persistent.forward_kernel(name, dtype, width)
        yield f"{name}, {width} units, gradient", persistent.backward_kernel(name, dtype, width)
        yield f"{name}, a step", stepwise.step_kernel(name, dtype)
        yield f"{name}, a step, gradient", stepwise.step_back_kernel(name, dtype)


PAGES: dict[str, Callable[[np.dtype], Named]] = {
    "matmul-ladder": matmul,
    "convolution-ladder": convolution,
    "gpu-kernels": fused,
}


def moved() -> str:
    """What a product of M x K and K x N costs on each rung, for a thousand multiplications."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, dtype=np.float32) for shape in ((M, K), (K, N)))
    lines = []
    for name, rung in {**RUNGS, "fp16": HALVES}.items():
        dtype = np.float16 if rung is HALVES else np.float32
        plan = plan_matmul(a.astype(dtype), b.astype(dtype), rung)
        report = simulate.run(plan.kernel.function, plan.blocks, plan.kernel.threads, *plan.args)
        loads, shared = report.count("global", "load"), report.count("shared")
        thousands = M * K * N / 1000
        requests = report.count().requests / thousands
        cells = [loads.transactions / thousands, shared.transactions / thousands, requests]
        lines.append([name, *(f"{cell:.2f}" for cell in cells), f"{report.bank_conflicts}", f"{report.barriers}"])
    heads = ("rung", "global sectors read", "shared wavefronts", "requests", "bank conflicts", "barriers")
    return "\n".join(markdown_table(heads, lines))


if __name__ == "__main__":
    main(sys.argv[1:])

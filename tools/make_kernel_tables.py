"""Writes the tables of docs/matmul-ladder.md: `python tools/make_kernel_tables.py`. Takes two minutes; needs no GPU.

"moved": what each rung moves, by `minipar.kernels.simulate`; and "compiled": what the compiler makes of every CUDA
kernel (needs the compiler's wheels: `pip install ".[oracle]"`). With names behind it, writes those tables alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from minipar.bench.report import markdown_table
from minipar.kernels import simulate
from minipar.kernels.cuda import compiler
from minipar.kernels.cuda.matmul import HALVES, RUNGS, plan_matmul
from minipar.kernels.cuda.occupancy import occupancy, resident_blocks
from minipar.kernels.cuda.plan import Kernel

PAGE = Path(__file__).resolve().parents[1] / "docs" / "matmul-ladder.md"
ARCHITECTURES = ((8, 0), (9, 0))
M, K, N = 128, 32, 128  # a whole block of every rung, in several steps


def main(marks: list[str]) -> None:
    tables = {"moved": moved, "compiled": compiled}
    for mark in marks or tables:
        table, text = tables[mark](), PAGE.read_text(encoding="utf-8")
        PAGE.write_text(text.replace(on_page(mark), table), encoding="utf-8")


def on_page(mark: str) -> str:
    """The table as it stands on the page. ValueError if there is no place for it."""
    begin, end = f"<!-- {mark}: written by tools/make_kernel_tables.py -->", f"<!-- end of {mark} -->"
    found = re.findall(f"{begin}(.*?){end}", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    if len(found) != 1 or not found[0].strip():
        raise ValueError(f"{PAGE.name} has no table between {begin} and {end}")
    return found[0].strip()


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


def compiled() -> str:
    """What every kernel takes, and how much of a multiprocessor it fills, on each architecture."""
    lines = []
    for name, kernel in kernels():
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


def kernels() -> Iterator[tuple[str, Kernel]]:
    """Every kernel of a product, on float32 (or float16): in its plainest form, and with all that it can do."""
    float32, float16 = np.dtype(np.float32), np.dtype(np.float16)
    for name, (factory, tile, options) in {**RUNGS, "fp16": HALVES}.items():
        dtype = float16 if name == "fp16" else float32
        yield name, factory(dtype, tile, False, False)
        if options:
            everything = dict.fromkeys(options, True)
            yield f"{name}, aligned, Wᵀ, bias, ReLU", factory(dtype, tile, False, True, **everything)


if __name__ == "__main__":
    main(sys.argv[1:])

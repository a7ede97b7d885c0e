"""Writes the tables of docs/matmul-ladder.md: `python tools/make_kernel_tables.py`. Takes two minutes; needs no GPU.

What each rung moves, by `minipar.kernels.simulate`; and what the compiler makes of every CUDA kernel (needs the
compiler's wheels: `pip install ".[oracle]"`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minipar.bench.report import markdown_table
from minipar.kernels import simulate
from minipar.kernels.cuda import compiler
from minipar.kernels.cuda.conv2d import direct
from minipar.kernels.cuda.matmul import RUNGS, plan_matmul
from minipar.kernels.cuda.plan import Kernel

PAGE = Path(__file__).resolve().parents[1] / "docs" / "matmul-ladder.md"
ARCHITECTURES = ((8, 0), (9, 0))
M, K, N = 128, 32, 128  # a whole block of every rung, in several steps


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for mark, table in {"moved": moved(), "compiled": compiled()}.items():
        begin, end = f"<!-- {mark}: written by tools/make_kernel_tables.py -->", f"<!-- end of {mark} -->"
        text, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n\n{table}\n\n{end}", text, flags=re.DOTALL)  # noqa: B023
        if count != 1:
            raise ValueError(f"{PAGE.name} has no place for {mark}: {begin} … {end}")
    PAGE.write_text(text, encoding="utf-8")


def moved() -> str:
    """What a product of M x K and K x N costs on each rung, for a thousand multiplications."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, dtype=np.float32) for shape in ((M, K), (K, N)))
    lines = []
    for name, rung in RUNGS.items():
        plan = plan_matmul(a, b, rung)
        report = simulate.run(plan.kernel.function, plan.blocks, plan.kernel.threads, *plan.args)
        loads, shared = report.count("global", "load"), report.count("shared")
        thousands = M * K * N / 1000
        requests = report.count().requests / thousands
        cells = [loads.transactions / thousands, shared.transactions / thousands, requests]
        lines.append([name, *(f"{cell:.2f}" for cell in cells), f"{report.bank_conflicts}", f"{report.barriers}"])
    heads = ("rung", "global sectors read", "shared wavefronts", "requests", "bank conflicts", "barriers")
    return "\n".join(markdown_table(heads, lines))


def compiled() -> str:
    """Registers and shared memory of every kernel in float32, on each architecture."""
    lines = []
    for name, kernel in kernels():
        cubins = [compiler.build(kernel, capability) for capability in ARCHITECTURES]
        registers = [str(cubin.registers) for cubin in cubins]
        flaws = [str(sum(x)) for x in zip(*((c.spills + c.stack, c.double_instructions) for c in cubins))]
        lines.append([name, str(kernel.threads), *registers, str(cubins[-1].shared), *flaws])
    heads = (
        "kernel",
        "threads",
        *(f"registers, sm_{a}{b}" for a, b in ARCHITECTURES),
        "shared bytes",
        "spilled",
        "fp64",
    )
    return "\n".join(markdown_table(heads, lines))


def kernels() -> Iterator[tuple[str, Kernel]]:
    float32 = np.dtype(np.float32)
    for name, (factory, tile, options) in RUNGS.items():
        yield name, factory(float32, tile, False, False)
        if options:
            everything = dict.fromkeys(options, True)
            yield f"{name}, aligned, Wᵀ, bias, ReLU", factory(float32, tile, False, True, **everything)
    for factory in (direct.forward_kernel, direct.grad_input_kernel, direct.grad_weight_kernel):
        kernel = factory(float32, direct.THREADS)
        yield kernel.name, kernel


if __name__ == "__main__":
    main()

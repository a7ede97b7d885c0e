"""Bad input to the simulator of CUDA kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from minipar.kernels import simulate
from tests.refusals.refusal import Refusal

FOUR = np.zeros(4)


def fill(y):
    y[cuda.grid(1)] = 1


def copy(x, y):
    y[cuda.grid(1)] = x[cuda.grid(1)]


def counts(y):
    y[0] = cuda.syncthreads_count(1)


def nands(y):
    cuda.atomic.nand(y, 0, 1)


def returns(y):
    return y[0]


def slices(y):
    y[:2] = 1


def listed(y):
    y[0] = FOURS[0]


FOURS = [4]
scope: dict[str, Any] = {}
exec("def unseen(y): pass", scope)
unseen = scope["unseen"]


def run(why: str, error: type[Exception], says: tuple[str, ...], *args: Any) -> Refusal:
    return Refusal("kernels.simulate.run", why, lambda m: simulate.run(*args), error, says)


def report(why: str, says: tuple[str, ...], method: str, *args: Any) -> Refusal:
    def call(m: Any) -> None:
        getattr(simulate.run(fill, 1, 4, FOUR), method)(*args)

    return Refusal("kernels.simulate.Report", why, call, ValueError, says)


UNKNOWN = NotImplementedError
SIMULATED = [
    run("a block too large", ValueError, ("block", "1024 threads", r"\(32, 64, 1\)"), fill, 1, (32, 64), FOUR),
    run("a block without threads", ValueError, ("block", r"\(0, 1, 1\)"), fill, 1, 0, FOUR),
    run("a block of fractions", TypeError, ("block", "whole number", "2.5"), fill, 1, 2.5, FOUR),
    run("a grid too tall", ValueError, ("grid", "65535", r"\(1, 70000, 1\)"), fill, (1, 70000), 4, FOUR),
    run("strided memory", ValueError, ("y", "C-contiguous", r"\(16,\)"), fill, 1, 2, FOUR[::2]),
    run("a list for an array", TypeError, ("y", "NumPy array", "list"), fill, 1, 1, [0]),
    run("a thread too many", simulate.KernelError, (r"y\[4\]", r"\(4,\)", "line 17 of fill"), fill, 1, 5, FOUR),
    run("a barrier it does not know", UNKNOWN, (r"cuda\.syncthreads_count in line \d+",), counts, 1, 1, FOUR),
    run("an atomic it does not know", UNKNOWN, (r"cuda\.atomic\.nand in line \d+",), nands, 1, 1, FOUR),
    run(
        "a kernel that returns", TypeError, (r"return of a value in line \d+ of returns", "array"), returns, 1, 1, FOUR
    ),
    run("a slice", UNKNOWN, (r"a slice: index its elements in line \d+ of slices",), slices, 1, 1, FOUR),
    run("a list from outside", TypeError, ("a kernel cannot use FOURS", "a list"), listed, 1, 1, FOUR),
    run("an array of bytes", TypeError, ("y must be an array of numbers", r"\|S1"), fill, 1, 1, np.array([b"a"])),
    run("two views of one array", ValueError, ("y shares memory with x", "copy"), copy, 1, 1, FOUR, FOUR[1:]),
    Refusal(
        "kernels.simulate.run",
        "more shared memory than there is",
        lambda m: simulate.run(fill, 1, 1, FOUR, shared_mem=300_000),
        ValueError,
        ("shared_mem", "0 to 232448", "300000"),
    ),
    run("a kernel without source", ValueError, ("source of unseen", "file or in a notebook"), unseen, 1, 1, FOUR),
    run("a kernel that is none", TypeError, ("kernel", "def", "built-in function abs"), abs, 1, 1),
    report("an array that nobody touched", ("'x'", r"y \(store\)"), "draw", "x"),
    report("a memory that is none", ("memory", "global", "'local'"), "count", "local"),
    report("an access that is none", ("access", "load", "'read'"), "count", "global", "read"),
]

"""How fast could a step be on this machine? Its arithmetic and its traffic, at rates measured here and now.

    limit = flops / rate of the fastest matrix product + bytes / rate of a copy

*flops*: 2 · rows · inputs · outputs for every pass of every matrix product (`Workload.gemms`): forward, gradient of the
weights, gradient of the input (not of the batch, which needs none). Everything else that a step computes is left out.

*bytes*: what must be read or written at the least, 4 bytes each: every parameter once in the forward, its gradient once
when it is written, and what the update reads and writes (SGD: parameter and gradient in, parameter out; Adam: the two
moments in and out too); the batch once; the output of every weight matrix once written and once read by the backward.

The product is 1024 × 1024 × 1024, by NumPy's BLAS or by minipar, whichever is faster. The copy is of a block as large
as the step's traffic, so that what fits into a cache is counted at the cache's rate.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from .workloads import Workload

COPIED = tuple(2**n for n in (16, 18, 20, 22, 24, 26, 28))  # bytes read and written by each measured copy
UPDATE_PASSES = {"SGD": 3, "Adam": 7}


@dataclass(frozen=True)
class Rates:
    """What this machine can do: flops a second, and bytes a second by the size of what is copied."""

    product: float
    product_by: str
    copy: dict[int, float]

    def copy_rate(self, size: float) -> float:
        """Bytes a second of the smallest measured copy that is as large as `size`, or of the largest."""
        return self.copy[min((n for n in self.copy if n >= size), default=max(self.copy))]

    def limit(self, workload: Workload) -> float:
        """Seconds of a step that does nothing but its products and its traffic."""
        moved = traffic(workload)
        return flops(workload) / self.product + moved / self.copy_rate(moved)

    def text(self) -> str:
        small, large = min(self.copy), max(self.copy)
        return (
            f"{self.product / 1e9:.0f} GFLOP/s ({self.product_by}), copies {self.copy[small] / 1e9:.0f} GB/s "
            f"({small >> 10} KiB) to {self.copy[large] / 1e9:.0f} GB/s ({large >> 20} MiB)"
        )


def flops(workload: Workload) -> int:
    return sum(2 * gemm.rows * gemm.inputs * gemm.outputs * gemm.passes for gemm in workload.gemms)


def traffic(workload: Workload) -> int:
    """Bytes, as the text above counts them."""
    import minipar

    parameters = sum(p.numel() for p in workload.model(minipar).parameters())
    batch = sum(array.size for array in workload.batch(np.random.default_rng(0)))
    outputs = sum(gemm.rows * gemm.outputs for gemm in workload.gemms if not gemm.adds)
    return 4 * (parameters * (2 + UPDATE_PASSES[workload.optimizer]) + batch + 2 * outputs)


def measure(threads: int, seconds: float = 0.3) -> Rates:
    """Take the rates, each for about `seconds` seconds, on so many threads."""
    import minipar

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((1024, 1024)).astype(np.float32) for _ in range(2))
    ours = [minipar.from_numpy(array) for array in (a, b)]
    found = {
        "NumPy's BLAS": _fastest(lambda: np.matmul(a, b), seconds),
        "minipar's matmul": _fastest(lambda: minipar.matmul(*ours), seconds),
    }
    by = min(found, key=lambda name: found[name])
    with ThreadPoolExecutor(threads) as pool:
        copy = {size: _copy_rate(pool, threads, size, seconds) for size in COPIED}
    return Rates(2 * 1024**3 / found[by], by, copy)


def _copy_rate(pool: ThreadPoolExecutor, threads: int, size: int, seconds: float) -> float:
    """On one thread or on all, whichever is faster; of `size` bytes half are read and half written."""
    source, target = np.ones(size // 2, np.uint8), np.ones(size // 2, np.uint8)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads)))

    def together() -> None:
        for done in [pool.submit(np.copyto, to, part) for part, to in parts]:
            done.result()

    alone = _fastest(lambda: np.copyto(target, source), seconds / 2)
    return size / min(alone, _fastest(together, seconds / 2))


def _fastest(work: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest of many calls, three at the least."""
    taken: list[float] = []
    deadline = perf_counter() + seconds
    while len(taken) < 3 or perf_counter() < deadline:
        start = perf_counter()
        work()
        taken.append(perf_counter() - start)
    return min(taken)

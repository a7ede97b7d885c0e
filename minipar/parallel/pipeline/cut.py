"""The best cut of a row of layers into stages. A pipeline is as fast as its slowest stage: that is made small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf


def cut(costs: Sequence[float], stages: int, sent: Sequence[float] | None = None) -> list[slice]:
    """Cut a list of layers into consecutive stages, so that the largest sum of costs is as small as possible.

    Where several cuts are as good, `sent` decides, the bytes of each layer's output: the least sum over the cuts.
    Exact, in O(stages · layers²): the best cut of the first j layers into k stages is a best cut of the first i into
    k - 1, and one stage of the rest. ValueError for fewer layers than stages, for negative costs, and for `sent` of
    another length.

    >>> minipar.parallel.pipeline.cut([1, 1, 4, 1, 1, 1], stages=3)
    [slice(0, 2, None), slice(2, 3, None), slice(3, 6, None)]
    """
    n = len(costs)
    if not 1 <= stages <= n:
        raise ValueError(f"cut: {n} layers cannot be cut into stages={stages}")
    if any(not cost >= 0 for cost in costs):
        raise ValueError("cut: costs must not be negative")
    if sent is not None and len(sent) != n:
        raise ValueError(f"cut: sent has {len(sent)} numbers for {n} layers")
    ends = [0.0]  # ends[j]: the cost of the first j layers
    for cost in costs:
        ends.append(ends[-1] + cost)
    crossing = [0.0, *(sent or [0.0] * n)]  # crossing[i]: what a cut after the first i layers sends

    def stage(i: int, j: int) -> float:
        return ends[j] - ends[i]

    largest = _best(n, stages, lambda so_far, i, j: max(so_far, stage(i, j)))[0]
    within = _best(n, stages, lambda so_far, i, j: so_far + crossing[i] if stage(i, j) <= largest else inf)
    bounds = [0, *within[1], n]
    return [slice(i, j) for i, j in pairwise(bounds)]


def _best(n: int, stages: int, together: Callable[[float, int, int], float]) -> tuple[float, list[int]]:
    """The least of `together(of the first i, i, j)` over all cuts, and where they are.

    Bellman's principle: it must grow with its first argument.
    """
    best = [0.0] + [inf] * n  # of the first j layers in k stages, k = 0
    cuts: list[list[int]] = []
    for k in range(1, stages + 1):
        choices = [min(((together(best[i], i, j), i) for i in range(k - 1, j)), default=(inf, 0)) for j in range(n + 1)]
        best = [value for value, _ in choices]
        cuts.append([i for _, i in choices])
    bounds, j = [], n
    for k in range(stages - 1, 0, -1):
        j = cuts[k][j]
        bounds.append(j)
    return best[n], bounds[::-1]

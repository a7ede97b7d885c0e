"""The bars: how much faster than whom a step is meant to be, and whether it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .summary import Row, ratio


@dataclass(frozen=True)
class Bar:
    """Least ratios of another's time to minipar's: PyTorch's (eager, default optimizer), the fastest peer's. `captured`
    is the other way round: minipar's eager time to that of its own captured step (`minipar.compile`)."""

    torch: float
    best: float
    captured: float = 0.97


BARS = {
    "W1": Bar(20, 1.5, 1.5),
    "W2a": Bar(15, 1.5, 1.5),
    "W2b": Bar(4, 1.5, 1.15),
    "W2c": Bar(1.2, 1.0),
    "W3": Bar(1.2, 1.1),
    "W3s": Bar(1.6, 1.1),
    "W4a": Bar(15, 3, 1.5),
    "W4b": Bar(1.6, 1.3),
    "W5": Bar(1.8, 1.05),
    "W6": Bar(1.5, 1.2),
}


@dataclass(frozen=True)
class Verdict:
    """One bar beside what was measured; `found` is None where there is no result."""

    name: str
    found: float | None
    wanted: float

    @property
    def answer(self) -> str:
        """Was the bar met?"""
        return "–" if self.found is None else "met" if self.found >= self.wanted else "NOT met"


def best_peer(rows: Sequence[Row], peers: Sequence[str]) -> Row | None:
    """The fastest row of these contenders that is a result."""
    able = [row for row in rows if row.contender in peers and not row.error and ratio(row, rows[0])]
    return min(able, key=lambda row: row.median, default=None)


def verdicts(workload: str, rows: Sequence[Row], peers: Sequence[str]) -> list[Verdict]:
    """Every bar of the workload for which there was a contender; `rows[0]` is minipar's."""
    baseline, bar = rows[0], BARS[workload]
    by_name = {row.contender: row for row in rows}
    found = []
    if "torch" in by_name:
        found.append(Verdict("torch", _over(by_name["torch"], baseline), bar.torch))
    best = best_peer(rows, peers)
    if best is not None:
        found.append(Verdict(f"best peer ({best.contender})", _over(best, baseline), bar.best))
    if "compiled" in by_name:
        found.append(Verdict("minipar's own eager, by compiled", _over(baseline, by_name["compiled"]), bar.captured))
    return found


def _over(row: Row, baseline: Row) -> float | None:
    compared = None if row.error or baseline.error else ratio(row, baseline)
    return compared.median if compared else None

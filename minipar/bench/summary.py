"""What a row of the benchmark says: statistics over blocks, and whether they can be believed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

QUIET = 0.15  # of a core: a block during which others used more is set aside
LOSS_TOLERANCE = 1e-4  # relative


@dataclass(frozen=True)
class Block:
    """One turn of a contender: median and minimum seconds a step, and the cores others used (None: not known)."""

    median: float
    minimum: float
    foreign: float | None

    @classmethod
    def of(cls, seconds: Sequence[float], foreign: float | None) -> Block:
        return cls(statistics.median(seconds), min(seconds), foreign)

    @property
    def quiet(self) -> bool:
        return self.foreign is not None and self.foreign <= QUIET


@dataclass
class Row:
    """One contender on one workload: its first losses, its blocks, and what went wrong, if anything did."""

    contender: str
    version: str = ""
    threads: str = ""
    losses: list[float] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    error: str = ""

    @property
    def quiet_blocks(self) -> int | None:
        """How many blocks were quiet; None where that cannot be known."""
        if any(block.foreign is None for block in self.blocks):
            return None
        return sum(block.quiet for block in self.blocks)

    @property
    def used(self) -> list[Block]:
        """The quiet blocks; all of them where none was quiet or nothing is known."""
        return [block for block in self.blocks if block.quiet] or self.blocks

    @property
    def median(self) -> float:
        """Seconds: the median of the blocks' medians."""
        return statistics.median(block.median for block in self.used)

    @property
    def best(self) -> float:
        """Seconds: the best block's median."""
        return min(block.median for block in self.used)

    @property
    def minimum(self) -> float:
        """Seconds: the fastest step."""
        return min(block.minimum for block in self.used)


@dataclass(frozen=True)
class Ratio:
    """A row's time divided by the baseline's: above 1, the baseline is faster."""

    median: float
    best: float

    @property
    def undecided(self) -> bool:
        """Median and best block disagree about who is faster."""
        return (self.median - 1) * (self.best - 1) < 0


def ratio(row: Row, baseline: Row) -> Ratio | None:
    """None where either has no blocks, or is known to have no quiet one: that is no result."""
    if any(not r.blocks or r.quiet_blocks == 0 for r in (row, baseline)):
        return None
    return Ratio(row.median / baseline.median, row.best / baseline.best)


def remarks(row: Row, baseline: Row) -> list[str]:
    """What a reader must know before believing the row's numbers."""
    found = []
    if row.blocks and row.quiet_blocks == 0:
        found.append("no quiet block")
    compared = ratio(row, baseline)
    if row is not baseline and compared and compared.undecided:
        found.append("undecided")
    if row.error:
        found.append(row.error)
    return found


def check_losses(row: Row, judge: Row) -> str:
    """Why the row's first losses cannot be those of the same training as the judge's; "" if they can.

    A fast wrong step is the commonest error of a benchmark.
    """
    for step, (loss, expected) in enumerate(zip(row.losses, judge.losses), start=1):
        if not math.isclose(loss, expected, rel_tol=LOSS_TOLERANCE):
            return f"wrong: the loss of step {step} is {loss:.7g}, {judge.contender}'s {expected:.7g}"
    return ""

"""The bars of `--parallel`: a split step's time beside the others', and whether that is as it is meant to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..comm.bars import Verdict, times_as_fast
from ..summary import Row
from .contest import ALONE, DDP, IDEAL, SPLIT, THREADS, TOGETHER, Contest
from .splits import Split


def possible(rows: Mapping[str, Row]) -> float | None:
    """C: what two unrelated runs do in the time in which one alone does 1."""
    return times_as_fast(rows.get(TOGETHER), rows.get(ALONE))


def verdicts(contest: Contest) -> Iterator[Verdict]:
    """Every bar of the splits whose rows took part."""
    for split, rows in contest.rows.items():
        yield from _of_split(split, rows)


def _of_split(split: Split, rows: Mapping[str, Row]) -> Iterator[Verdict]:
    made = rows.get(SPLIT)
    if split.of_possible is not None:
        most, reached = possible(rows), times_as_fast(made, rows.get(ALONE))
        share = None if most is None or reached is None else reached / most
        yield Verdict(f"{split.name}: times as fast as 1 worker, over C", share, split.of_possible)
    if split.of_threads is not None:
        found = times_as_fast(made, rows.get(THREADS))
        yield Verdict(f"{split.name}: times as fast as 1 worker with 2 threads", found, split.of_threads)
    if split.of_ideal is not None:
        found = times_as_fast(rows.get(IDEAL), made)
        yield Verdict(f"{split.name}: time over its schedule's ideal", found, split.of_ideal, at_most=True)
    if split.of_ddp is not None and DDP in rows:
        yield Verdict(f"{split.name}: times as fast as PyTorch's DDP", times_as_fast(made, rows[DDP]), split.of_ddp)

"""The race: one crew of two workers, one of a single worker with two threads, and PyTorch's, in blocks in turn."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from time import perf_counter
from typing import Any

from ...parallel import Layout
from ...parallel.pipeline import make_schedule, simulate
from ..comm.contenders import ENVIRONMENT, Contender
from ..comm.contest import joint_reading
from ..comm.crew import Crew
from ..cpu_clock import foreign_share, wait_for_quiet
from ..racer import ContenderError, python_path
from ..summary import Block, Row, check_losses
from .rank import WARM_UP
from .splits import RANKS, Split

ALONE, TOGETHER, SPLIT, HALVES = "1 worker", "2 unrelated", "split", "halves"
THREADS, DDP, IDEAL = "2 threads", "DDP", "ideal"
BLOCK_SECONDS = 0.3
REPEATS = (2, 1000)  # of a block, least and most
ENOUGH = 7  # quiet blocks of every row
ROUNDS = 15  # at the most, where the machine is not quiet
PATIENCE = 0.5  # seconds to wait for a quiet moment before a block


@dataclass(frozen=True)
class Entry:
    """A row of a split: who has it, what it is called there, and what the ranks' answers to one repeat mean."""

    row: str
    crew: str
    kind: str
    seconds: Callable[[Sequence[Any]], float] = max


@dataclass
class Contest:
    """`rows[split][name]`; `errors` by crew."""

    versions: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    rows: dict[Split, dict[str, Row]] = field(default_factory=dict)


def own(ranks: int, threads: int) -> Contender:
    def commands(size: int, address: str) -> list[list[str]]:
        return [[sys.executable, "-m", f"{__package__}.own", address, str(size), str(threads)]]

    return Contender(f"{ranks} × {threads}", (), commands, _environment(threads))


def ddp() -> Contender:
    def commands(size: int, address: str) -> list[list[str]]:
        ranks = ([str(rank), str(size), f"{address}.gloo"] for rank in range(size))
        return [[sys.executable, "-m", f"{__package__}.ddp", address, *arguments] for arguments in ranks]

    return Contender(DDP, (), commands, _environment(1))


def contenders() -> tuple[dict[str, tuple[Contender, int]], list[str]]:
    """By name of the crew: who, and on how many ranks; and a line for who is missing."""
    found = {SPLIT: (own(RANKS, 1), RANKS), THREADS: (own(1, RANKS), 1)}
    if find_spec("torch"):
        return {**found, DDP: (ddp(), RANKS)}, []
    return found, ['no rows for DDP: PyTorch is not installed (pip install ".[oracle]" in the checkout)']


def hold(
    splits: Sequence[Split], present: dict[str, tuple[Contender, int]], show: Callable[[Contest, Split], None]
) -> Contest:
    """Measure all splits; `show` is called with each as soon as it is done. A crew that fails takes no further part."""
    contest = Contest()
    with ExitStack() as stack:
        starting = {name: stack.enter_context(Crew(*crew)) for name, crew in present.items()}
        for name, crew in starting.items():
            try:
                crew.greet()
                contest.versions[name] = crew.version
            except ContenderError as error:
                contest.errors[name] = str(error)
        for split in splits:
            contest.rows[split] = {}
            _race(contest, split, starting)
            show(contest, split)
    return contest


def entries(split: Split) -> list[Entry]:
    """The rows that the bars of this split need."""
    found = [
        Entry(ALONE, SPLIT, "alone"),
        Entry(TOGETHER, SPLIT, "together", lambda each: 1 / sum(1 / seconds for seconds in each)),
        Entry(SPLIT, SPLIT, "split"),
    ]
    if Layout.parse(split.layout).data > 1:
        found.append(Entry(HALVES, SPLIT, "halves"))
    if split.of_threads is not None:
        found.append(Entry(THREADS, THREADS, "alone"))
    if split.of_ddp is not None:
        found.append(Entry(DDP, DDP, "split"))
    if split.of_ideal is not None:
        found.append(Entry(IDEAL, SPLIT, "stages", lambda costs: ideal(Layout.parse(split.layout), costs)))
    return found


def ideal(layout: Layout, costs: Sequence[Sequence[float]]) -> float:
    """Seconds of a step without any cost of messages; `costs` of each stage: a forward, a backward, the update."""
    forward, backward, update = zip(*costs)
    schedule = make_schedule(layout.schedule, layout.pipeline, layout.microbatches)
    return simulate(schedule, forward, backward, 0.0).makespan + max(update)


def _race(contest: Contest, split: Split, crews: dict[str, Crew]) -> None:
    rows = contest.rows[split]
    repeats: dict[str, int] = {}
    for _ in range(ROUNDS):
        for entry in entries(split):
            if entry.crew not in crews or entry.crew in contest.errors:
                continue
            row = rows.setdefault(entry.row, Row(entry.row))
            try:
                if entry.row not in repeats:
                    repeats[entry.row] = _prepared(crews[entry.crew], split, entry, row)
                row.blocks.append(_block(crews[entry.crew], split, entry, repeats[entry.row]))
            except ContenderError as error:
                contest.errors[entry.crew] = row.error = str(error)
        if all((row.quiet_blocks or 0) >= ENOUGH for row in rows.values() if not row.error):
            break
    for row in rows.values():  # a fast wrong step is no result
        if row.losses and not row.error and ALONE in rows:
            row.error = check_losses(row, rows[ALONE])


def _prepared(crew: Crew, split: Split, entry: Entry, row: Row) -> int:
    """Makes the steps and keeps their first losses; how many fit into a block."""
    losses = [of_rank for of_rank in crew.ask(entry.kind, split.subject, split.layout, 0) if of_rank]
    row.losses = [statistics.fmean(each) for each in zip(*losses)]
    least, most = REPEATS
    start = perf_counter()
    crew.ask(entry.kind, split.subject, split.layout, least)
    each = (perf_counter() - start) / (WARM_UP + least)
    return max(least, min(most, int(BLOCK_SECONDS / each)))


def _block(crew: Crew, split: Split, entry: Entry, repeats: int) -> Block:
    wait_for_quiet(crew.pids[0], PATIENCE)
    before = joint_reading(crew.pids)
    answers = crew.ask(entry.kind, split.subject, split.layout, repeats)
    after = joint_reading(crew.pids)
    return Block.of([entry.seconds(each) for each in zip(*answers)], foreign_share(before, after))


def _environment(threads: int) -> dict[str, str]:
    of_threads = {name: str(threads) for name in ENVIRONMENT if name.endswith("_THREADS")}
    return {**os.environ, **ENVIRONMENT, **of_threads, "PYTHONPATH": python_path()}

"""The race: all contenders of one workload, interleaved, on a machine that others use too.

1. One process a contender, so that thread pools and allocators do not meet; all alive, each waiting on a pipe for its
   turn.
2. Short blocks in turn, so that a slow phase of the machine hits everybody.
3. A block counts only if other processes used less than 0.15 of a core while it ran.
4. All start from the same numbers, and their first losses are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import perf_counter

from .contenders import Contender
from .cpu_clock import foreign_share, reading, wait_for_quiet
from .racer import ContenderError, Racer
from .summary import Block, Row, check_losses

BLOCK_SECONDS = 0.2
STEPS_PER_BLOCK = (1, 3000)  # least and most
FIRST_STEPS = 3  # to find out how many fit into a block
ENOUGH = 7  # quiet blocks of every contender
LONG_STEP, ENOUGH_LONG = 0.5, 2  # seconds; of those who take that long so many blocks must do
PATIENCE = 1.5  # seconds to wait for a quiet moment before a block

Start = Callable[[Contender, str], Racer]


def race(workload: str, contenders: Sequence[Contender], seconds: float, start: Start = Racer) -> list[Row]:
    """Measure until every contender has enough quiet blocks, or for about `seconds` seconds (one round at the least).

    A contender that fails keeps its row, with the error. `start` makes the process of a contender; they get ready
    all at once.
    """
    rows = [Row(contender.name) for contender in contenders]
    with ExitStack() as stack:
        running: dict[int, tuple[Racer, int]] = {}  # which row → its process, and the steps of a block
        starting = [stack.enter_context(start(contender, workload)) for contender in contenders]
        for i, racer in enumerate(starting):
            try:
                for name, value in racer.greet().items():
                    setattr(rows[i], name, value)
            except ContenderError as error:
                rows[i].error = str(error)
        for i, racer in enumerate(starting):
            try:
                if not rows[i].error:
                    running[i] = racer, _steps_per_block(racer)
            except ContenderError as error:
                rows[i].error = str(error)
        deadline = perf_counter() + seconds
        while running:
            for i in [i for i in running if not (_long(rows[i]) and _has_enough(rows[i]))]:
                try:
                    rows[i].blocks.append(_block(*running[i]))
                except ContenderError as error:
                    rows[i].error = str(error)
                    del running[i]
            if perf_counter() > deadline or all(_has_enough(rows[i]) for i in running):
                break
    _compare_losses(rows, contenders)
    return rows


def _long(row: Row) -> bool:
    return bool(row.blocks) and row.median > LONG_STEP


def _has_enough(row: Row) -> bool:
    return (row.quiet_blocks or 0) >= (ENOUGH_LONG if _long(row) else ENOUGH)


def _steps_per_block(racer: Racer) -> int:
    least, most = STEPS_PER_BLOCK
    return max(least, min(most, int(BLOCK_SECONDS / min(racer.run(FIRST_STEPS)))))


def _block(racer: Racer, steps: int) -> Block:
    pid = racer.process.pid
    wait_for_quiet(pid, PATIENCE)
    before = reading(pid)
    seconds = racer.run(steps)
    return Block.of(seconds, foreign_share(before, reading(pid)))


def _compare_losses(rows: Sequence[Row], contenders: Sequence[Contender]) -> None:
    """The judge is an independent contender if one ran, else the last: minipar's own plain form."""
    able = [(row, contender) for row, contender in zip(rows, contenders) if row.losses]
    if not able:
        return
    judge = next((row for row, contender in able if contender.independent), able[-1][0])
    for row, _ in able:
        row.error = row.error or check_losses(row, judge)

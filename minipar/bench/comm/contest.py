"""The race: every runtime's ranks alive and asleep, blocks of timed calls in turn, in small and in large arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from time import perf_counter

from ..cpu_clock import Reading, foreign_share, reading, wait_for_quiet
from ..racer import ContenderError
from ..summary import Block, Row
from .contenders import Contender
from .crew import Crew

SIZES = {"barrier": 0, "4 KB": 4 << 10, "1 MB": 1 << 20, "25 MB": 25 << 20, "100 MB": 100 << 20}  # bytes of one array
BLOCK_SECONDS = 0.2
REPEATS = (3, 2000)  # of a block, least and most
ENOUGH = 5  # quiet blocks of every row
ROUNDS = 10  # at the most, where the machine is not quiet
PATIENCE = 0.5  # seconds to wait for a quiet moment before a block


@dataclass
class Contest:
    """All rows of one number of ranks: `rows[size][name]`, a name being a contender's with its mode."""

    ranks: int
    versions: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)


def hold(ranks: int, contenders: Sequence[Contender], show: Callable[[Contest, str], None]) -> Contest:
    """Measure all sizes; `show` is called with each size as soon as it is done.

    A contender that fails keeps the rows that it has, with the error, and takes no further part.
    """
    contest = Contest(ranks)
    with ExitStack() as stack:
        starting = [(contender, stack.enter_context(Crew(contender, ranks))) for contender in contenders]
        crews: dict[str, tuple[Contender, Crew]] = {}
        for contender, crew in starting:
            try:
                crew.greet()
            except ContenderError as error:
                contest.errors[contender.name] = str(error)
            else:
                contest.versions[contender.name] = crew.version
                crews[contender.name] = contender, crew
        for size, nbytes in SIZES.items():
            entries = [
                (contender.name, mode, crew)
                for contender, crew in crews.values()
                for mode in (contender.modes if nbytes else ("barrier",))
            ]
            contest.rows[size] = {row_name(name, mode): Row(row_name(name, mode)) for name, mode, _ in entries}
            for name, why in _rounds(entries, nbytes, contest.rows[size]):
                contest.errors[name] = why
                del crews[name]
            show(contest, size)
    return contest


def row_name(contender: str, mode: str) -> str:
    """What a row is called: the mode is told where a contender has several."""
    return contender if mode in ("in place", "barrier") else f"{contender} {mode}"


def _rounds(entries: Sequence[tuple[str, str, Crew]], nbytes: int, rows: dict[str, Row]) -> Iterator[tuple[str, str]]:
    """Blocks in turn until all rows have enough quiet ones; yields the contenders that failed, with their error."""
    repeats: dict[str, int] = {}
    failed: set[str] = set()
    for _ in range(ROUNDS):
        for name, mode, crew in entries:
            if name in failed:
                continue
            row = rows[row_name(name, mode)]
            try:
                if row.contender not in repeats:
                    repeats[row.contender] = _repeats(crew, mode, nbytes)
                row.blocks.append(_block(crew, mode, nbytes, repeats[row.contender]))
            except ContenderError as error:
                row.error = str(error)
                failed.add(name)
                yield name, str(error)
        if all((row.quiet_blocks or 0) >= ENOUGH for row in rows.values() if not row.error):
            break


def _repeats(crew: Crew, mode: str, nbytes: int) -> int:
    """How many fit into a block; what is not timed (filling the array, the barrier) counts too."""
    least, most = REPEATS
    crew.run(mode, nbytes, least)  # the first touch of the memory is slow
    start = perf_counter()
    crew.run(mode, nbytes, least)
    each = (perf_counter() - start) / (2 * least)
    return max(least, min(most, int(BLOCK_SECONDS / each)))


def _block(crew: Crew, mode: str, nbytes: int, repeats: int) -> Block:
    wait_for_quiet(crew.pids[0], PATIENCE)
    before = joint_reading(crew.pids)
    seconds = crew.run(mode, nbytes, repeats)
    return Block.of(seconds, foreign_share(before, joint_reading(crew.pids)))


def joint_reading(pids: Sequence[int]) -> Reading | None:
    """The clocks, with the time of all these processes as our own."""
    readings = [one for one in map(reading, pids) if one is not None]
    return replace(readings[-1], own=sum(one.own for one in readings)) if len(readings) == len(pids) else None

"""Counts what a kernel's accesses cost in memory transactions, warp by warp.

A GPU carries out an instruction for the 32 lanes of a warp at once: one *request*. A request to global memory moves
whole *sectors* of 32 bytes, each of them once (coalescing). Shared memory has 32 *banks*, which hold one 4-byte word
after the other; in one *wavefront* each bank serves one word, to all lanes that want it, so lanes that want several
words of one bank wait for each other (a bank conflict), and so do lanes that update one word atomically. Accesses of 8
and 16 bytes a lane go in two and four phases, of 16 and 8 lanes. Constant memory serves one word at a time, to all
lanes that want it. (*CUDA C++ Best Practices Guide*, "Coalesced Access to Global Memory" and "Shared Memory and Memory
Banks"; the names are Nsight Compute's.)

The simulator runs one thread after the other, so which accesses belong to one request is inferred: those that the lanes
of a warp make at the same place of the source for the same time, the n-th since they last waited for each other. That
is what a warp does whose lanes part in a branch and meet behind it; a compiler is free to do otherwise, to keep a
number in a register instead of reading it again, or to join neighbouring accesses to a vector.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from .collectives import WARP
from .errors import line_of, place

if TYPE_CHECKING:
    from .common import CommonMemory

SECTOR = 32
BANKS, WORD = 32, 4


@dataclass
class Count:
    """Warp-wide ``requests`` and the ``transactions`` they need: sectors of global memory, wavefronts of others.

    ``ideal`` is what would have moved the same bytes at best: in full sectors, or without bank conflicts.
    """

    requests: int = 0
    transactions: int = 0
    ideal: float = 0

    def __iadd__(self, other: "Count") -> "Count":
        self.requests += other.requests
        self.transactions += other.transactions
        self.ideal += other.ideal
        return self

    @property
    def efficiency(self) -> float:
        """1 where nothing is wasted: used bytes over fetched bytes; or wavefronts without over with conflicts."""
        return self.ideal / self.transactions if self.transactions else 1.0


class Kind(NamedTuple):
    """Of which line of which file, in which memory (global, shared, constant), and a load, a store or an atomic."""

    file: str
    line: int
    memory: str
    access: str


class Lane(NamedTuple):
    """The bytes that one lane of a warp, by its ``number``, asks for in one request."""

    number: int
    memory: "CommonMemory"
    start: int
    size: int


class Traffic:
    """The ``counts`` so far, and in ``touched[array, access]`` the (block, thread)s that touched each element."""

    def __init__(self) -> None:
        self.counts: dict[Kind, Count] = defaultdict(Count)
        self.touched: dict[tuple[str, str], dict[int, set[tuple[int, int]]]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._times: dict[Any, int] = defaultdict(int)  # how often this lane came to a place of the source
        self._requests: dict[Any, list[Lane]] = defaultdict(list)

    def start_lane(self) -> None:
        self._times.clear()

    def record(self, memory: "CommonMemory", access: str, first: int, count: int, frame: FrameType) -> None:
        """A lane accesses ``count`` elements from the flat index ``first`` on, by one instruction."""
        where = place(frame)
        self._times[where] += 1
        size = memory.array.itemsize
        lane = Lane(memory.clock.now.thread % WARP, memory, memory.start + first * size, count * size)
        self._requests[where, self._times[where], access].append(lane)
        self._touch(memory, access, range(first, first + count))

    def _touch(self, memory: "CommonMemory", access: str, elements: Iterable[int]) -> None:
        turn = memory.clock.now
        if memory.space == "shared" and turn.block:
            return  # every block has such an array; the first shall be looked at
        self.shapes[memory.name] = memory.shape
        touched = self.touched.setdefault((memory.name, access), {})
        for element in elements:
            touched.setdefault(element, set()).add((turn.block, turn.thread))

    def end_warp(self) -> None:
        """The lanes of a warp have all come to where they wait: count their requests."""
        for ((code, instruction), _, access), lanes in self._requests.items():
            space = lanes[0].memory.space
            kind = Kind(code.co_filename, line_of(code, instruction), space, access)
            self.counts[kind] += REQUESTS[space, access](lanes)
        self._requests.clear()


def _global_request(lanes: list[Lane]) -> Count:
    pieces = {(id(lane.memory), lane.start, lane.size) for lane in lanes}  # several lanes may want the same
    sectors = {(memory, sector) for memory, start, size in pieces for sector in _units(start, size, SECTOR)}
    return Count(1, len(sectors), sum(size for _, _, size in pieces) / SECTOR)


def _shared_request(lanes: list[Lane]) -> Count:
    phases = _phases(lanes)
    return Count(1, sum(_busiest_bank(set(_words(phase))) for phase in phases), len(phases))


def _shared_update(lanes: list[Lane]) -> Count:
    """Atomic: lanes that update the same word take turns, too."""
    phases = _phases(lanes)
    return Count(1, sum(_busiest_bank(_words(phase)) for phase in phases), len(phases))


def _constant_request(lanes: list[Lane]) -> Count:
    return Count(1, len(set(_words(lanes))), len(_units(lanes[0].start, lanes[0].size, WORD)))


def _phases(lanes: list[Lane]) -> list[list[Lane]]:
    lanes_of_a_phase = BANKS * WORD // max(WORD, lanes[0].size)
    return [list(phase) for _, phase in groupby(lanes, lambda lane: lane.number // lanes_of_a_phase)]


def _words(lanes: list[Lane]) -> list[tuple[int, int]]:
    return [(id(lane.memory), word) for lane in lanes for word in _units(lane.start, lane.size, WORD)]


def _busiest_bank(words: Iterable[tuple[int, int]]) -> int:
    """The words that the busiest bank has to serve, one after the other."""
    return max(Counter(word % BANKS for _, word in words).values())


def _units(start: int, size: int, unit: int) -> range:
    """The sectors, or words, in which these bytes lie."""
    return range(start // unit, (start + size - 1) // unit + 1)


REQUESTS = {
    **dict.fromkeys([("global", "load"), ("global", "store"), ("global", "atomic")], _global_request),
    **dict.fromkeys([("shared", "load"), ("shared", "store")], _shared_request),
    ("shared", "atomic"): _shared_update,
    ("constant", "load"): _constant_request,
}

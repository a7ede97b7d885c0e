"""Which accesses a GPU may carry out in either order: the happens-before test of data races.

Two accesses of one block are ordered if a barrier of the block lies between them; two of one warp also if a
``syncwarp`` does; two of one thread always; two of different blocks never. (Flanagan & Freund, *FastTrack*, 2009, do
the same for locks.) So it does not matter which of two racing accesses the simulator happens to run first.
"""

from typing import NamedTuple

from .errors import KernelError, here
from .extent import Index3, position

ROUNDS = 1_000_000  # of ``while`` loops, between two places where a thread waits; more, and it is taken for endless
MANY = -1  # in place of a number that several have


class Turn(NamedTuple):
    """What a thread does between two places where it waits for others.

    ``interval`` counts the barriers of the block so far, ``epoch`` the ``syncwarp`` of the warp.
    """

    block: int
    interval: int
    warp: int
    epoch: int
    thread: int

    def may_swap(self, later: "Turn") -> bool:
        """Might what was done in ``later`` come before what was done in this turn, on a GPU?"""
        if self is later:
            return False
        if self.block != later.block:
            return True
        if self.interval != later.interval:
            return False
        if self.warp != later.warp:
            return True
        return self.epoch == later.epoch and self.thread != later.thread

    def joined(self, later: "Turn") -> "Turn":
        """Both as one: a third may swap with it if it may with either."""
        if self.block != later.block:
            return self if self.block == MANY else later._replace(block=MANY)
        if self.interval == later.interval:
            if self.warp != later.warp:
                return self if self.warp == MANY else later._replace(warp=MANY, thread=MANY)
            if self.epoch == later.epoch and self.thread != later.thread:
                return self if self.thread == MANY else later._replace(thread=MANY)
        return later


class Clock:
    """Whose turn it is, of the threads of a launch; and how often it has gone round a ``while`` loop in this turn."""

    def __init__(self, grid: Index3, block: Index3):
        self._grid, self._block = grid, block
        self.now, self.rounds = Turn(0, 0, 0, 0, 0), 0

    @property
    def who(self) -> str:
        return self.name_of(self.now)

    def name_of(self, turn: Turn) -> str:
        if MANY in (turn.block, turn.thread):
            return "other threads"
        return f"{self.thread(turn.thread)} of {self.block(turn.block)}"

    def thread(self, number: int) -> str:
        """thread 3, or thread (3, 1) where blocks have several axes."""
        return f"thread {_named(position(number, self._block))}"

    def block(self, number: int) -> str:
        return f"block {_named(position(number, self._grid))}"

    def count_round(self) -> None:
        """KernelError if loops go round so often that no other thread will ever have its turn."""
        self.rounds += 1
        if self.rounds > ROUNDS:
            raise KernelError(f"a while loop that does not end? It went round {ROUNDS} times{here()}")


def _named(place: tuple[int, ...]) -> str:
    return str(place[0] if len(place) == 1 else place)

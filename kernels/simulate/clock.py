"""Which accesses a GPU may carry out in either order: the happens-before test of data races.

Two accesses of one block are ordered if a barrier of the block lies between them; two of one warp also if a
``syncwarp`` does; two of one thread always; two of different blocks never. (Flanagan & Freund, *FastTrack*, 2009, do
the same for locks.) So it does not matter which of two racing accesses the simulator happens to run first.
"""

from typing import NamedTuple

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

    @property
    def who(self) -> str:
        if MANY in (self.block, self.thread):
            return "other threads"
        return f"thread {self.thread} of block {self.block}"


class Clock:
    """Whose turn it is."""

    now = Turn(0, 0, 0, 0, 0)

"""The board: what each rank is doing, in memory that all ranks (and the caller of `launch`) can read.

It lies in any buffer: shared memory between processes, a bytearray between threads. A rank has a cache line of numbers
and two texts, and only that rank writes them:

    activity, number    what it is doing; the number of its last collective call, in the communicator that made it
    collectives         how many collective calls it has begun, in all communicators
    messages            how many calls of send and recv it has begun
    group               (of MPI) the communicator of its last collective call
    texts               its last collective call, its last send or recv

The first line of the board says which rank has failed first, and whether the caller is interrupting them all.
"""

from enum import IntEnum
from mmap import mmap

import numpy as np

_LINE = 64
_TEXT = 256
_RANK = _LINE + 2 * _TEXT
_COLLECTIVE, _MESSAGE = 0, 1  # the two texts
CALLER = -2  # stands for the caller of `launch` where a rank could stand


class Activity(IntEnum):
    """What a rank is doing. One that is starting or compiling is waited for without a timeout: that may be slow."""

    STARTING = 0
    USER_CODE = 1
    COLLECTIVE = 2
    MESSAGE = 3
    FINISHED = 4
    COMPILING = 5


class Board:
    """A view of the board in `memory`, which holds at least `Board.nbytes(size)` bytes, zero at first."""

    def __init__(self, memory: mmap | bytearray | memoryview, size: int) -> None:
        self.size = size
        self._bytes = memoryview(memory)[: self.nbytes(size)]
        self._words = self._bytes.cast("q")
        self.written: list[bytes | None] = [None] * size  # by this view of the board, as the texts of collective calls
        stride = _RANK // 8
        first = _LINE // 8
        self.activity = self._words[first::stride]
        self.number = self._words[first + 1 :: stride]
        self.collectives = self._words[first + 2 :: stride]
        self.messages = self._words[first + 3 :: stride]
        self.group = self._words[first + 4 :: stride]

    @staticmethod
    def nbytes(size: int) -> int:
        return _LINE + size * _RANK

    def words(self) -> np.ndarray:
        """The whole board as numbers of 8 bytes, for compiled code."""
        return np.asarray(self._words)

    @staticmethod
    def word_of(rank: int) -> int:
        """Where in the memory, in words of 8 bytes, `activity`, `number` and `collectives` of `rank` stand in a row."""
        return (_LINE + rank * _RANK) // 8

    def release(self) -> None:
        """Let go of the memory, so that it can be unmapped."""
        numbers = (self.activity, self.number, self.collectives, self.messages, self.group)
        for view in (*numbers, self._words, self._bytes):
            view.release()

    # -- failure ---------------------------------------------------------------------------------------------------

    @property
    def failed_rank(self) -> int | None:
        """The rank that failed first, or CALLER, or None."""
        return self._words[0] - 1 if self._words[0] else None

    def fail(self, rank: int) -> None:
        """Tell everybody that `rank` has failed, unless another has failed before it."""
        if not self._words[0]:
            self._words[0] = rank + 1

    @property
    def is_interrupted(self) -> bool:
        return bool(self._words[1])

    def interrupt(self) -> None:
        """Tell everybody that each rank is being sent a signal (Ctrl-C), and fails as soon as it has it."""
        self._words[1] = 1

    # -- calls -----------------------------------------------------------------------------------------------------

    def begin_collective(self, rank: int, number: int, text: bytes) -> None:
        self.collectives[rank] += 1
        self.show_collective(rank, number, text)

    def show_collective(self, rank: int, number: int, text: bytes) -> None:
        """`rank` is in its collective call `number`."""
        self.write_collective(rank, text)
        self.number[rank] = number
        self.activity[rank] = Activity.COLLECTIVE

    def write_collective(self, rank: int, text: bytes) -> None:
        """The text of the collective call that is going to begin."""
        if text is not self.written[rank]:
            self._write(rank, _COLLECTIVE, text)
            self.written[rank] = text

    def begin_message(self, rank: int, text: bytes) -> None:
        self.messages[rank] += 1
        self.show_message(rank, text)

    def show_message(self, rank: int, text: bytes) -> None:
        """`rank` is in this send or recv."""
        self._write(rank, _MESSAGE, text)
        self.activity[rank] = Activity.MESSAGE

    def calls(self, rank: int) -> int:
        """How many communicator calls of any kind `rank` has begun."""
        return self.collectives[rank] + self.messages[rank]

    def is_slow_by_right(self, rank: int) -> bool:
        """Whether `rank` does what no timeout applies to."""
        return self.activity[rank] in (Activity.STARTING, Activity.COMPILING)

    def collective(self, rank: int) -> str:
        """The last collective call of `rank` for people: "all_reduce #17 float32 (512, 128) sum"."""
        kind, _, rest = self._text(rank, _COLLECTIVE).partition(" ")
        return f"{kind} #{self.number[rank]} {rest}".rstrip()

    def doing(self, rank: int) -> str:
        """What `rank` is doing, as the end of a sentence: "in all_reduce #17 float32 (512, 128) sum"."""
        activity = self.activity[rank]
        if activity == Activity.STARTING:
            return "starting"
        if activity == Activity.COMPILING:
            return "compiling a kernel"
        if activity == Activity.COLLECTIVE:
            return f"in {self.collective(rank)}"
        if activity == Activity.MESSAGE:
            return f"in {self._text(rank, _MESSAGE)}"
        what = "finished" if activity == Activity.FINISHED else "running user code"
        return f"{what} after {self.collective(rank)}" if self.number[rank] else what

    def _write(self, rank: int, which: int, text: bytes) -> None:
        """`text` is as long as its place."""
        start = _LINE + rank * _RANK + _LINE + which * _TEXT
        self._bytes[start : start + _TEXT] = text

    def _text(self, rank: int, which: int) -> str:
        start = _LINE + rank * _RANK + _LINE + which * _TEXT
        return bytes(self._bytes[start : start + _TEXT]).rstrip(b"\0").decode(errors="replace")

"""The board: what each rank is doing, in memory that all ranks (and the caller of `launch`) can read.

It lies in any buffer: shared memory between processes, a bytearray between threads. A rank has two cache lines of
numbers and three texts, and only that rank writes them:

    epoch               how many times it has arrived at a meeting; the others wait on it, so it has a line of its own
    activity, number    what it is doing; how many collective calls it has begun
    messages            how many calls of send and recv it has begun
    text 0, text 1      its last two collective calls, call number n in text n % 2: a rank that runs ahead into call n+1
                        leaves call n readable, and cannot reach n+2 before all have arrived at n+1
    text 2              its last send or recv

The first line of the board says which rank has failed first.
"""

import zlib
from enum import IntEnum
from functools import lru_cache
from mmap import mmap

import numpy as np

_LINE = 64
_TEXT = 256
_RANK = 2 * _LINE + 3 * _TEXT
_MESSAGE = 2  # the text of a send or recv
CALLER = -2  # stands for the caller of `launch` where a rank could stand


class Activity(IntEnum):
    """What a rank is doing. A rank that is starting is waited for without a timeout: imports may be slow."""

    STARTING = 0
    USER_CODE = 1
    COLLECTIVE = 2
    MESSAGE = 3
    FINISHED = 4


@lru_cache(maxsize=4096)
def call_text(kind: str, dtype: np.dtype | None, shape: tuple[int, ...], detail: str) -> bytes:
    """A call as other ranks read and compare it, padded to the length of its place on the board."""
    words = (kind, "" if dtype is None else f"{dtype} {shape}", detail)
    text = " ".join(word for word in words if word).encode()
    if len(text) > _TEXT:  # the checksum keeps calls apart that begin alike
        text = text[: _TEXT - 16] + f"… {zlib.crc32(text):08x}".encode()
    return text.ljust(_TEXT, b"\0")


class Board:
    """A view of the board in `memory`, which holds at least `Board.nbytes(size)` bytes, zero at first."""

    def __init__(self, memory: mmap | bytearray | memoryview, size: int) -> None:
        self.size = size
        self._bytes = memoryview(memory)[: self.nbytes(size)]
        self._words = self._bytes.cast("q")
        stride = _RANK // 8
        first = _LINE // 8
        self.epoch = self._words[first::stride]
        self.activity = self._words[first + _LINE // 8 :: stride]
        self.number = self._words[first + _LINE // 8 + 1 :: stride]
        self.messages = self._words[first + _LINE // 8 + 2 :: stride]

    @staticmethod
    def nbytes(size: int) -> int:
        return _LINE + size * _RANK

    def release(self) -> None:
        """Let go of the memory, so that it can be unmapped."""
        for view in (self.epoch, self.activity, self.number, self.messages, self._words, self._bytes):
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

    # -- calls -----------------------------------------------------------------------------------------------------

    def begin_collective(self, rank: int, text: bytes) -> None:
        number = self.number[rank] + 1
        self._write(rank, number & 1, text)
        self.number[rank] = number
        self.activity[rank] = Activity.COLLECTIVE

    def begin_message(self, rank: int, text: bytes) -> None:
        self._write(rank, _MESSAGE, text)
        self.messages[rank] += 1
        self.activity[rank] = Activity.MESSAGE

    def calls(self, rank: int) -> int:
        """How many communicator calls of any kind `rank` has begun."""
        return self.number[rank] + self.messages[rank]

    def all_agree(self, rank: int) -> bool:
        """Whether every rank has announced the same call as `rank`, which all have arrived at."""
        which = self.number[rank] & 1
        mine = self._read(rank, which)
        return all(self._read(other, which) == mine for other in range(self.size))

    def first_disagreement(self, number: int) -> int:
        """The lowest rank whose call `number` is not that of rank 0: every rank finds the same one."""
        reference = self._read(0, number & 1)
        return next(rank for rank in range(self.size) if self._read(rank, number & 1) != reference)

    def collective(self, rank: int, number: int) -> str:
        """Call `number` of `rank` for people: "all_reduce #17 float32 (512, 128) sum"."""
        kind, _, rest = self._text(rank, number & 1).partition(" ")
        return f"{kind} #{number} {rest}".rstrip()

    def doing(self, rank: int) -> str:
        """What `rank` is doing, as the end of a sentence: "in all_reduce #17 float32 (512, 128) sum"."""
        number = self.number[rank]
        activity = self.activity[rank]
        if activity == Activity.STARTING:
            return "starting"
        if activity == Activity.COLLECTIVE:
            return f"in {self.collective(rank, number)}"
        if activity == Activity.MESSAGE:
            return f"in {self._text(rank, _MESSAGE)}"
        if activity == Activity.FINISHED:
            return "finished: its function has returned"
        return f"running user code after {self.collective(rank, number)}" if number else "running user code"

    def _write(self, rank: int, which: int, text: bytes) -> None:
        start = _LINE + rank * _RANK + 2 * _LINE + which * _TEXT
        self._bytes[start : start + _TEXT] = text

    def _read(self, rank: int, which: int) -> bytes:
        start = _LINE + rank * _RANK + 2 * _LINE + which * _TEXT
        return bytes(self._bytes[start : start + _TEXT])

    def _text(self, rank: int, which: int) -> str:
        return self._read(rank, which).rstrip(b"\0").decode(errors="replace")

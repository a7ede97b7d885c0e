"""The lines over which the ranks of one communicator meet: one cache line of numbers a rank, which only it writes.

epoch       how many times the rank has arrived at a meeting; the others wait for it
digest      which call it means, the digest of call number n in place n % 2: a rank that runs ahead into call n+1
            leaves that of call n readable, and cannot reach n+2 before all have arrived at n+1
place       where the array of the call lies, in turn in one of two words for the same reason (registered.py)
"""

from mmap import mmap

_LINE = 64
_WORDS = _LINE // 8


class Lines:
    """A view of the lines in `memory` from `offset` on: `Lines.nbytes(size)` bytes, zero at first."""

    def __init__(self, memory: mmap | bytearray, size: int, offset: int = 0) -> None:
        words = memoryview(memory)[offset : offset + self.nbytes(size)].cast("q")
        self.epoch = words[0::_WORDS]
        self.digest = (words[1::_WORDS], words[2::_WORDS])
        self.place = (words[3::_WORDS], words[4::_WORDS])

    @staticmethod
    def nbytes(size: int) -> int:
        return size * _LINE

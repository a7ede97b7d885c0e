"""Which part of C = A B is made at a time, and by whom."""

from typing import NamedTuple


class Tile(NamedTuple):
    """The tile of C of a block, ``m`` x ``n``; the depth ``k`` of one step; and the tile of C of one thread."""

    m: int
    n: int
    k: int = 1
    thread_m: int = 1
    thread_n: int = 1

    @property
    def threads(self) -> int:
        """The threads of a block. ValueError if they do not share the tile of C evenly."""
        if self.m % self.thread_m or self.n % self.thread_n:
            raise ValueError(f"{self} does not divide evenly among threads of {self.thread_m} x {self.thread_n}")
        return self.m // self.thread_m * (self.n // self.thread_n)

    @property
    def fetches(self) -> tuple[int, int]:
        """How many numbers of A, and of B, a thread fetches in a step. ValueError if they do not share them evenly."""
        numbers = self.m * self.k, self.k * self.n
        if any(count % self.threads for count in numbers):
            raise ValueError(f"{self} does not divide evenly among its {self.threads} threads")
        return numbers[0] // self.threads, numbers[1] // self.threads

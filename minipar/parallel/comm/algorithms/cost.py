"""What an all-reduce costs: its steps and its bytes, as counted here everywhere.

The machine that the counts are about (Hockney 1994; Thakur, Rabenseifner and Gropp 2005): a message of m bytes takes
α + m·β seconds, whoever the two ranks are; a rank sends one message at a time and takes in one at a time, both at once;
to reduce m bytes with m others takes m·γ.

    steps       messages on the critical path: the longest chain of messages of which each had to wait for the one
                before, because its sender needed that one's data, or because its sender or receiver was busy with it
    path_bytes  bytes on the critical path (where messages are long; the chain may be another one)
    bytes       bytes that the busiest rank sends
    reduced     bytes that are reduced on the critical path

so that the time is about steps·α + path_bytes·β + reduced·γ.

All ranks together send 2(p-1)·n bytes in *every* algorithm here, n bytes on each of p ranks, and none can do with less:
of each element, p-1 contributions must leave their ranks, and p-1 ranks must be sent the result. Algorithms differ in
how evenly that load lies on the ranks, and in how many steps it takes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Counts of one all-reduce; see the top of this file."""

    steps: int
    bytes: int
    path_bytes: int
    reduced: int

    def seconds(self, alpha: float, beta: float, gamma: float = 0.0) -> float:
        """The time, where a message of m bytes takes ``alpha + m·beta`` seconds and reducing m bytes ``m·gamma``."""
        return self.steps * alpha + self.path_bytes * beta + self.reduced * gamma


def lower_bound(size: int, length: int) -> Cost:
    """What no all-reduce of `length` elements over `size` ranks can fall below, in each count by itself; in elements.

    steps ⌈lg p⌉: in one step, what depends on a rank's number can at most double its number of places.
    bytes 2(p-1)/p·n: all ranks together send 2(p-1)·n, and the busiest at least its share (Patarasuk and Yuan 2009).
    reduced (p-1)/p·n: p-1 reductions an element, shared in the same way.
    """
    share = _ceil_div(2 * (size - 1) * length, size)
    return Cost((size - 1).bit_length(), share, share, _ceil_div((size - 1) * length, size))


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)

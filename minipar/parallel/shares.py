"""How many of something each rank gets: consecutive, in order of rank."""

from __future__ import annotations


def share(total: int, rank: int, size: int) -> slice:
    """Rank's part of `total`: the first `total % size` ranks have one more than the others."""
    each, more = divmod(total, size)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def shares(total: int, size: int) -> list[int]:
    """How many of `total` each of `size` ranks has under `share`."""
    each, more = divmod(total, size)
    return [each + (rank < more) for rank in range(size)]

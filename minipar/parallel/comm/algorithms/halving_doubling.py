"""Halving-doubling: as few steps as the tree, nearly as few bytes as the ring (Rabenseifner 2004).

With a power of two of ranks, each exchanges with a partner in every step. First the *halving*: two partners share the
work on what both still hold, each sends the half that the other is to reduce. With 4 ranks and an array of 8 elements:

                rank 0          rank 1          rank 2          rank 3
    start       0:8             0:8             0:8             0:8
    step 1      with 1          with 0          with 3          with 2          sends 4 elements
    keeps       0:4             4:8             0:4             4:8
    step 2      with 2          with 3          with 0          with 1          sends 2 elements
    keeps       0:2             4:6             2:4             6:8             complete

then the *doubling*, the same steps backwards: what was kept is sent, and what was given away comes back complete.

    step 3      with 2          with 3          with 0          with 1          sends 2 elements
    has         0:4             4:8             0:4             4:8
    step 4      with 1          with 0          with 3          with 2          sends 4 elements
    has         0:8             0:8             0:8             0:8

The largest messages go to the nearest ranks, which often share a host. In all 2 lg p steps, and half of the array, then
a quarter, then an eighth, … each way: 2(p-1)/p·n bytes, the least possible. The best for medium arrays, and for large
ones where p = 2^k.

Other numbers of ranks are folded to the power of two below (Thakur, Rabenseifner and Gropp 2005): of the first ranks,
each odd one gives its whole array to its left neighbour, waits, and is sent the result: two steps and 2n bytes more.
With 6 ranks:

    step 1      1 ─▶ 0      3 ─▶ 2                  then ranks 0, 2, 4, 5 take places 0, 1, 2, 3 of the picture above
    last step   0 ─▶ 1      2 ─▶ 3

The order of the sum is that of a binary tree over ranks in order, (x0 + x1) + (x2 + x3) with 4 of them: for p = 2^k the
same sums as "tree". Each element is completed in one place, so all ranks get the same bits.
"""

from collections.abc import Iterator

import numpy as np

from ..reduction import UFUNCS, divide_mean
from .cost import Cost
from .peers import Peers, Steps


def all_reduce(peers: Peers, flat: np.ndarray, op: str) -> Steps:
    """Reduce `flat` over all ranks, in place on every rank."""
    rank, extra = peers.rank, peers.size - _power_below(peers.size)
    has_neighbour = rank < 2 * extra
    if has_neighbour and rank % 2:
        yield from peers.send(flat, rank - 1)
        flat[...] = yield from peers.recv(rank - 1)
        return
    if has_neighbour:
        neighbours = yield from peers.recv(rank + 1)
        UFUNCS[op](flat, neighbours, out=flat)
    yield from _halve_and_double(peers, flat, op)
    if has_neighbour:
        yield from peers.send(flat, rank + 1)


def _halve_and_double(peers: Peers, flat: np.ndarray, op: str) -> Steps:
    """The steps of those ranks that have a place among a power of two of them."""
    complete = slice(0, flat.size)
    steps = list(halvings(peers.rank, peers.size, flat.size))
    for partner, kept, given in steps:
        theirs = yield from peers.exchange(flat[given], partner, partner)
        UFUNCS[op](flat[kept], theirs, out=flat[kept])
        complete = kept
    divide_mean(flat[complete], op, peers.size)
    for partner, kept, given in reversed(steps):
        flat[given] = yield from peers.exchange(flat[kept], partner, partner)


def halvings(rank: int, size: int, length: int) -> Iterator[tuple[int, slice, slice]]:
    """For each halving: the partner's rank, the elements that `rank` keeps to reduce, and those that it gives away.

    >>> from minipar.parallel.comm.algorithms.halving_doubling import halvings
    >>> list(halvings(rank=1, size=4, length=8))
    [(0, slice(4, 8, None), slice(0, 4, None)), (3, slice(4, 6, None), slice(6, 8, None))]
    """
    power = _power_below(size)
    extra = size - power
    place = rank // 2 if rank < 2 * extra else rank - extra
    start, stop, bit = 0, length, 1
    while bit < power:
        other = place ^ bit
        partner = 2 * other if other < extra else other + extra
        middle = (start + stop + 1) // 2
        lower, upper = slice(start, middle), slice(middle, stop)
        kept, given = (upper, lower) if place & bit else (lower, upper)
        yield partner, kept, given
        start, stop, bit = kept.start, kept.stop, 2 * bit


def cost(size: int, length: int) -> Cost:
    """In elements: 2 lg p α + 2(p-1)/p·nβ + (p-1)/p·nγ where p = 2^k (Thakur, Rabenseifner and Gropp 2005).

    Else that of the power of two below p, and 2α + 2nβ + nγ more.

    Exactly, where halves are not equal: rank 0 keeps the longer half each time, h = ⌈n/2⌉, ⌈n/4⌉, …, ⌈n/p⌉. It takes in
    these on the way down and sends them on the way back, and sends all of n but its last piece on the way down.
    """
    levels = _power_below(size).bit_length() - 1
    halves = [-(-length >> level) for level in range(1, levels + 1)]
    folded = length if size > 1 << levels else 0
    if not levels:
        return Cost(0, 0, 0, 0)
    return Cost(
        steps=2 * levels + (2 if size > 1 << levels else 0),
        bytes=length - halves[-1] + sum(halves) + folded,
        path_bytes=2 * sum(halves) + 2 * folded,
        reduced=sum(halves) + folded,
    )


def _power_below(size: int) -> int:
    """The largest power of two that is not above `size`."""
    return 1 << (size.bit_length() - 1)

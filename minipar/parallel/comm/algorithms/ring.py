"""The ring: each rank sends to its right neighbour only, and no byte more than it must (Patarasuk and Yuan 2009).

The array is cut into as many pieces as there are ranks. First a *reduce-scatter*: piece i starts at rank i+1 and goes
round, each rank adding its own piece i to what comes from the left, until it ends, complete, at rank i. With 4 ranks:

                step 1      step 2      step 3
    piece 0     1 ─▶ 2      2 ─▶ 3      3 ─▶ 0      read: in step 1, rank 1 sends its piece 0 to rank 2,
    piece 1     2 ─▶ 3      3 ─▶ 0      0 ─▶ 1      which adds its own and sends the sum on in step 2
    piece 2     3 ─▶ 0      0 ─▶ 1      1 ─▶ 2
    piece 3     0 ─▶ 1      1 ─▶ 2      2 ─▶ 3

then an *all-gather*: the complete pieces go round once more, and each rank keeps a copy of what passes.

                step 4      step 5      step 6
    piece 0     0 ─▶ 1      1 ─▶ 2      2 ─▶ 3
    piece 1     1 ─▶ 2      2 ─▶ 3      3 ─▶ 0
    piece 2     2 ─▶ 3      3 ─▶ 0      0 ─▶ 1
    piece 3     3 ─▶ 0      0 ─▶ 1      1 ─▶ 2

In every step every rank sends one piece and takes one in, so no link is idle: bytes are the least possible (for any
number of ranks, not only powers of two), and the price is 2(p-1) steps: the best for large arrays, poor for small ones.

The order of the sum differs from piece to piece: piece i is ((x[i+1] + x[i+2]) + …) + x[i], ranks counted modulo p.
Each piece is completed in one place, so all ranks get the same bits.
"""

import numpy as np

from ..reduction import UFUNCS, divide_mean, piece_of
from .cost import Cost
from .peers import Peers, Steps


def all_reduce(peers: Peers, flat: np.ndarray, op: str) -> Steps:
    """Reduce `flat` over all ranks, in place on every rank."""
    yield from reduce_scatter(peers, flat, op)
    yield from all_gather(peers, flat)


def reduce_scatter(peers: Peers, flat: np.ndarray, op: str) -> Steps:
    """Complete piece `rank` of `flat` on every rank; the rest of `flat` holds sums that are not complete."""
    right, left = _neighbours(peers)
    for step in range(1, peers.size):
        leaving = _piece(flat, peers, peers.rank - step)
        arriving = _piece(flat, peers, peers.rank - step - 1)
        so_far = yield from peers.exchange(leaving, right, left)
        UFUNCS[op](so_far, arriving, out=arriving)
    divide_mean(_piece(flat, peers, peers.rank), op, peers.size)


def all_gather(peers: Peers, flat: np.ndarray) -> Steps:
    """Fill `flat` on every rank, where piece `rank` of it is complete already."""
    right, left = _neighbours(peers)
    for step in range(1, peers.size):
        leaving = _piece(flat, peers, peers.rank - step + 1)
        arriving = _piece(flat, peers, peers.rank - step)
        arriving[...] = yield from peers.exchange(leaving, right, left)


def cost(size: int, length: int) -> Cost:
    """In elements: 2(p-1)α + 2(p-1)/p·nβ + (p-1)/p·nγ (Thakur, Rabenseifner and Gropp 2005).

    Exactly, where p does not divide n: a step takes as long as its longest piece, ⌈n/p⌉ elements; and rank r sends
    every piece twice, except piece r in the reduce-scatter and piece r+1 in the all-gather.
    """
    if size == 1:
        return Cost(0, 0, 0, 0)
    pieces = [piece_of(length, rank, size) for rank in range(size)]
    lengths = [piece.stop - piece.start for piece in pieces]
    spared = min(lengths[rank] + lengths[(rank + 1) % size] for rank in range(size))
    return Cost(
        steps=2 * (size - 1),
        bytes=2 * length - spared,
        path_bytes=2 * (size - 1) * max(lengths),
        reduced=(size - 1) * max(lengths),
    )


def _neighbours(peers: Peers) -> tuple[int, int]:
    return (peers.rank + 1) % peers.size, (peers.rank - 1) % peers.size


def _piece(flat: np.ndarray, peers: Peers, number: int) -> np.ndarray:
    return flat[piece_of(flat.size, number % peers.size, peers.size)]

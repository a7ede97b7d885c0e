"""The binomial tree: sums climb to rank 0, and the result comes down the same way.

In each step of the *reduce*, half of the ranks that still hold a sum hand it to the other half. With 6 ranks:

    step 1      1 ─▶ 0      3 ─▶ 2      5 ─▶ 4
    step 2                  2 ─▶ 0                  (4 holds its sum already, but 0 takes in one message at a time)
    step 3                              4 ─▶ 0

A rank hands its sum on in the step of its lowest one bit (1 = 001, 3 = 011 and 5 = 101 in step 1; 2 = 010 in step 2;
4 = 100 in step 3), to the rank that lacks this bit. The *broadcast* runs the same picture backwards:

    step 4      0 ─▶ 4
    step 5      0 ─▶ 2      4 ─▶ 5
    step 6      0 ─▶ 1      2 ─▶ 3

⌈lg p⌉ steps up and as many down: few, so it is good for small arrays. But each message is the whole array, and rank 0
takes part in every step, while most ranks wait: poor for large ones.

The order of the sum is that of the picture, ((x0 + x1) + (x2 + x3)) + (x4 + x5), and it is completed on rank 0 alone,
so all ranks get the same bits. Its rounding errors grow with lg p instead of p.
"""

import numpy as np

from ..reduction import UFUNCS, divide_mean
from .cost import Cost
from .peers import Peers, Steps


def all_reduce(peers: Peers, flat: np.ndarray, op: str) -> Steps:
    """Reduce `flat` over all ranks, in place on every rank."""
    yield from reduce(peers, flat, op)
    yield from broadcast(peers, flat)


def reduce(peers: Peers, flat: np.ndarray, op: str) -> Steps:
    """Reduce `flat` to rank 0; elsewhere it then holds the sum of a subtree."""
    bit = 1
    while bit < peers.size:
        if peers.rank & bit:
            yield from peers.send(flat, peers.rank - bit)
            return
        if peers.rank + bit < peers.size:
            other = yield from peers.recv(peers.rank + bit)
            UFUNCS[op](flat, other, out=flat)
        bit *= 2
    divide_mean(flat, op, peers.size)


def broadcast(peers: Peers, flat: np.ndarray) -> Steps:
    """Copy `flat` of rank 0 into `flat` of every other rank."""
    bit = 1
    while bit < peers.size and not peers.rank & bit:
        bit *= 2
    if peers.rank:
        flat[...] = yield from peers.recv(peers.rank - bit)
    while bit > 1:
        bit //= 2
        if peers.rank + bit < peers.size:
            yield from peers.send(flat, peers.rank + bit)


def cost(size: int, length: int) -> Cost:
    """In elements: 2⌈lg p⌉(α + nβ) + ⌈lg p⌉nγ (Thakur, Rabenseifner and Gropp 2005); rank 0 sends ⌈lg p⌉ times n."""
    levels = (size - 1).bit_length()
    return Cost(2 * levels, levels * length, 2 * levels * length, levels * length)

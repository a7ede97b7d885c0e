"""Gather and broadcast at a master, as it is first thought of: everybody sends to rank 0, which answers everybody.

    step 1      1 ─▶ 0              step p          0 ─▶ 1
    step 2      2 ─▶ 0              step p+1        0 ─▶ 2
    …                               …
    step p-1    p-1 ─▶ 0            step 2(p-1)     0 ─▶ p-1

This is the parameter server with one server, and the data parallelism of many a first article: the master collects the
gradients, averages, and hands the result out. All traffic passes through one rank, so its time grows in proportion to
the number of workers, whatever they are: the lesson that the other algorithms answer. (All ranks together send no more
than they do in any other: it is only so unevenly spread.)

The order of the sum is ((x0 + x1) + x2) + …, completed on rank 0 alone: all ranks get the same bits, and the same as
those of the default algorithm.
"""

import numpy as np

from ..reduction import UFUNCS, divide_mean
from .cost import Cost
from .peers import Peers, Steps


def all_reduce(peers: Peers, flat: np.ndarray, op: str) -> Steps:
    """Reduce `flat` over all ranks, in place on every rank."""
    if peers.rank:
        yield from peers.send(flat, 0)
        flat[...] = yield from peers.recv(0)
        return
    workers = range(1, peers.size)
    for worker in workers:
        array = yield from peers.recv(worker)
        UFUNCS[op](flat, array, out=flat)
    divide_mean(flat, op, peers.size)
    for worker in workers:
        yield from peers.send(flat, worker)


def cost(size: int, length: int) -> Cost:
    """In elements: 2(p-1)(α + nβ) + (p-1)nγ; rank 0 sends p-1 times n."""
    return Cost(2 * (size - 1), (size - 1) * length, 2 * (size - 1) * length, (size - 1) * length)

"""The same bits on any number of workers: the batch is cut by a rule that no worker enters, and summed up by one tree.

Floating-point sums depend on their order, so 2 workers and 3 workers commonly train to different bits. Here a batch is
always cut into V virtual shards; each is run alone, from the same shapes, and their gradients are added along one fixed
binary tree. Workers own whole subtrees of it, and exchange the sums at their tops:

              ┌──── + ────┐               V = 4 shards
           ┌─ + ─┐     ┌─ + ─┐
           0     1     2     3
    1 worker   [ 0     1     2     3 ]
    2 workers  [ 0     1 ] [ 2     3 ]    what is added to what is the same in every row
    3 workers  [ 0     1 ] [ 2 ] [ 3 ]
    4 workers  [ 0 ] [ 1 ] [ 2 ] [ 3 ]

(Deterministic reduction trees: Demmel and Nguyen, "Parallel Reproducible Summation", IEEE Trans. Comput. 2015, go
further: any order, any cut.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import namespace, to_numpy
from ..backend.threads import get_num_threads, set_num_threads
from ..nn.parameter import Parameter
from .comm import Communicator
from .losses import MESSAGE, PartOfLoss, message, whole_loss

if TYPE_CHECKING:
    from .comm.algorithms.peers import Peers, Steps

Node = tuple[int, int]  # the shards low … high - 1


def halves(node: Node) -> tuple[Node, Node]:
    """The two below a node of the tree: the left one has the odd shard."""
    low, high = node
    middle = low + (high - low + 1) // 2
    return (low, middle), (middle, high)


def owners(shards: int, ranks: int) -> list[Node]:
    """The subtree of each rank: every node with several ranks gives each half its share of them.

    ValueError for more ranks than shards.

    >>> minipar.parallel.virtual_shards.owners(4, 3)
    [(0, 2), (2, 3), (3, 4)]
    """
    if not 1 <= ranks <= shards:
        raise ValueError(
            f"{ranks} ranks cannot share virtual_shards={shards}: there must be at least one for each rank"
        )
    owned: list[Node] = [(0, shards)]
    while len(owned) < ranks:
        widest = max(owned, key=lambda node: (node[1] - node[0], node[0]))
        place = owned.index(widest)
        owned[place : place + 1] = halves(widest)
    return owned


def sum_of_tree(node: Node, leaf: Callable[[int], list[np.ndarray]]) -> list[np.ndarray]:
    """The sums of the arrays `leaf(i)` over the shards of a node, from the left, in the order of the tree."""
    if node[1] - node[0] == 1:
        return leaf(node[0])
    left, right = halves(node)
    total = sum_of_tree(left, leaf)
    for array, other in zip(total, sum_of_tree(right, leaf)):
        array += other
    return total


def all_reduce_along_tree(shards: int) -> Callable[[Peers, np.ndarray, str], Steps]:
    """The algorithm (docs/all-reduce.md) that adds up what ranks have at the tops of their subtrees."""

    def algorithm(peers: Peers, flat: np.ndarray, op: str) -> Steps:
        owned = owners(shards, peers.size)
        yield from _gather_sums((0, shards), owned, peers, flat)
        yield from _hand_down((0, shards), owned, peers, flat)

    return algorithm


def _gather_sums(node: Node, owned: list[Node], peers: Peers, flat: np.ndarray) -> Steps:
    """The first rank below `node` gets the sum of the whole node into `flat`."""
    if node in owned:
        return
    left, right = halves(node)
    first, second = _first_rank(left, owned), _first_rank(right, owned)
    yield from _gather_sums(left if peers.rank < second else right, owned, peers, flat)
    if peers.rank == second:
        yield from peers.send(flat, first)
    elif peers.rank == first:
        flat += yield from peers.recv(second)


def _hand_down(node: Node, owned: list[Node], peers: Peers, flat: np.ndarray) -> Steps:
    """The sum goes back the way that it has come."""
    if node in owned:
        return
    left, right = halves(node)
    first, second = _first_rank(left, owned), _first_rank(right, owned)
    if peers.rank == first:
        yield from peers.send(flat, second)
    elif peers.rank == second:
        flat[...] = yield from peers.recv(first)
    yield from _hand_down(left if peers.rank < second else right, owned, peers, flat)


def _first_rank(node: Node, owned: list[Node]) -> int:
    return next(rank for rank, (low, _) in enumerate(owned) if low == node[0])


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, kernels and BLAS use one thread: however many a worker has, it adds in the same order."""
    before = get_num_threads()
    set_num_threads(1)
    try:
        yield
    finally:
        set_num_threads(before)


class ShardTree:
    """`shards` virtual shards on the ranks of `comm`: which are this rank's, and how their sums are made."""

    def __init__(self, comm: Communicator, shards: int) -> None:
        self._comm = comm
        self.shards = shards
        self._own = owners(shards, comm.size)[comm.rank]
        self._along_tree = all_reduce_along_tree(shards)

    def total(self, leaf: Callable[[int], list[np.ndarray]]) -> list[np.ndarray]:
        """The sums of `leaf(i)`, new 1-D arrays, over all shards, on every rank: `leaf` is called for this rank's."""
        with one_thread():
            sums = sum_of_tree(self._own, leaf)
        for array in sums:
            self._comm.all_reduce(array, algorithm=self._along_tree)
        return sums

    def loss_and_gradients(
        self, parameters: list[Parameter], run: Callable[[int], PartOfLoss]
    ) -> tuple[float, list[tuple[Parameter, Any]]]:
        """The loss of all shards, and the gradients of the parameters (of those that some shard uses), where these are.

        `run(i)` adds the gradients of the *sum* of shard i's losses to the parameters' `.grad`, which are None before.
        """
        trained = [p for p in parameters if p.tracked]
        kinds = sorted({p.dtype.str for p in trained})

        def leaf(i: int) -> list[np.ndarray]:
            told = message([run(i)])
            used = [p.grad is not None for p in trained]
            sums = [np.concatenate([told, used])]
            for kind in kinds:
                sums.append(np.concatenate([_gradient(p) for p in trained if p.dtype.str == kind]))
            for p in trained:
                p.grad = None
            return sums

        told, *flat = self.total(leaf)
        loss, divisor = whole_loss(told[:MESSAGE])
        for array in flat:
            array *= array.dtype.type(1.0 / divisor if divisor else 1.0)
        cuts = {kind: (array, [0]) for kind, array in zip(kinds, flat)}
        gradients = []
        for p, uses in zip(trained, told[MESSAGE:]):
            array, at = cuts[p.dtype.str]
            if uses:
                gradient = array[at[0] : at[0] + p.array.size].reshape(p.shape)
                gradients.append((p, namespace(p.array).asarray(gradient)))
            at[0] += p.array.size
        return loss, gradients


def _gradient(p: Parameter) -> np.ndarray:
    return np.zeros(p.array.size, p.array.dtype) if p.grad is None else to_numpy(p.grad.array).reshape(-1)

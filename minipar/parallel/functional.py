"""Communication with a gradient: what the strategies are written with.

Every rank calls the same functions in the same order; the tape then walks back in the same order on every rank. Each
function is a linear map over all ranks, so its gradient is the transposed map, which is again one of this list:

    forward                               backward                              Megatron-LM (1909.08053, 2205.05198)
    copy_to_ranks       as it is          add up over the ranks                 f
    reduce_from_ranks   add up            as it is                              g
    scatter_to_ranks    this rank's part  put the parts together                scatter
    gather_from_ranks   put together      this rank's part                      gather
    all_gather          put together      add up, this rank's part              ḡ of sequence parallelism, transposed
    reduce_scatter      add up, its part  put the parts together                ḡ of sequence parallelism
    all_reduce          add up            add up

Which one is right depends on what the ranks go on to do. After `reduce_from_ranks` and `gather_from_ranks` they all
compute the same, and each arrives at the whole gradient by itself; after `all_gather` and `all_reduce` each computes
something of its own, and the gradient is the sum of theirs.

To add up costs what "add up, this rank's part" and "put the parts together" cost one after the other. Those two send
equal parts: where `dim` does not divide evenly, the smaller ones are filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ..autograd.function import Function, once_differentiable
from ..backend import namespace
from ..tensor import Tensor, wrap
from .comm import Communicator
from .shares import share, shares
from .travel import beside, to_send


def copy_to_ranks(x: Tensor, comm: Communicator) -> Tensor:
    """`x`, the same on every rank, of which each goes on to compute a part of its own: gradients add up."""
    return x if comm.size == 1 else _CopyToRanks.apply(x, comm)


def copies_to_ranks(tensors: Sequence[Tensor], comm: Communicator) -> list[Tensor]:
    """`copy_to_ranks` of each of these tensors; their gradients add up in one call, once all of them are there."""
    return list(tensors) if comm.size == 1 or not tensors else list(_CopiesToRanks.apply(comm, *tensors))


def reduce_from_ranks(x: Tensor, comm: Communicator) -> Tensor:
    """The sum of every rank's `x`, with which all go on to compute the same."""
    return x if comm.size == 1 else _ReduceFromRanks.apply(x, comm)


def scatter_to_ranks(x: Tensor, comm: Communicator, dim: int) -> Tensor:
    """This rank's consecutive part along `dim` of `x`, which is the same on every rank."""
    return x if comm.size == 1 else _ScatterToRanks.apply(x, comm, dim)


def gather_from_ranks(x: Tensor, comm: Communicator, dim: int, sizes: Sequence[int] | None = None) -> Tensor:
    """The parts of all ranks along `dim`, put together, with which all go on to compute the same.

    Only their sizes along `dim` may differ (they lie in order of rank). Where all ranks know the `sizes` of all, a call
    is spared that tells them.
    """
    return x if comm.size == 1 else _GatherFromRanks.apply(x, comm, dim, sizes)


def all_gather(x: Tensor, comm: Communicator, dim: int, sizes: Sequence[int] | None = None) -> Tensor:
    """The parts of all ranks along `dim`, put together, with which each goes on to compute something of its own.

    Otherwise as gather_from_ranks.
    """
    return x if comm.size == 1 else _AllGather.apply(x, comm, dim, sizes)


def reduce_scatter(x: Tensor, comm: Communicator, dim: int) -> Tensor:
    """This rank's consecutive part along `dim` of the sum of every rank's `x`."""
    return x if comm.size == 1 else _ReduceScatter.apply(x, comm, dim)


def all_reduce(x: Tensor, comm: Communicator) -> Tensor:
    """The sum of every rank's `x`, with which each goes on to compute something of its own.

    >>> def squares(comm):
    ...     x = minipar.tensor([comm.rank + 1.0], requires_grad=True)
    ...     (minipar.parallel.functional.all_reduce(x, comm) * (comm.rank + 1)).sum().backward()
    ...     return x.grad.item()
    >>> minipar.parallel.launch(squares, workers=2, backend="thread")
    [3.0, 3.0]
    """
    return x if comm.size == 1 else _AllReduce.apply(x, comm)


# -- on arrays -----------------------------------------------------------------------------------------------------


def summed(x: Tensor, comm: Communicator) -> Tensor:
    """The sum of every rank's `x`, a new tensor without a gradient."""
    array = to_send(x.array, comm)
    return _back(comm.all_reduce(array, out=namespace(array).empty(array.shape, array.dtype)), x)


def summed_part(x: Tensor, comm: Communicator, dim: int, sizes: Sequence[int] | None = None) -> Tensor:
    """This rank's part along `dim` of the sum of every rank's `x`, without a gradient, with the bits of `summed`.

    (Over NCCL, which adds each sum in an order of its own, to rounding.) Ranks have `sizes` along `dim`; without them
    their shares.
    """
    array = to_send(x.array, comm)
    xp = namespace(array)
    array = xp.moveaxis(array, dim, 0)
    sizes = shares(len(array), comm.size) if sizes is None else sizes
    own = comm.reduce_scatter(_in_equal_parts(array, sizes))[: sizes[comm.rank]]
    return _back(xp.ascontiguousarray(xp.moveaxis(own, 0, dim)), x)


def own_part(x: Tensor, comm: Communicator, dim: int) -> Tensor:
    """This rank's part of `x` along `dim`: a view."""
    where: list[Any] = [slice(None)] * x.ndim
    where[dim] = share(x.shape[dim], comm.rank, comm.size)
    return wrap(x.array[tuple(where)])


def put_together(x: Tensor, comm: Communicator, dim: int, sizes: Sequence[int] | None = None) -> Tensor:
    """The parts of all ranks along `dim` in order of rank, without a gradient. Their sizes along `dim` may differ.

    Without `sizes` of all ranks, these are told first.
    """
    array = to_send(x.array, comm)
    xp = namespace(array)
    array = xp.moveaxis(array, dim, 0)
    sizes = _sizes_of_all(len(array), comm) if sizes is None else sizes
    rows = comm.all_gather(_filled_up(array, max(sizes)))
    whole = xp.concatenate([part[:size] for part, size in zip(rows, sizes)])
    return _back(xp.ascontiguousarray(xp.moveaxis(whole, 0, dim)), x)


def _sizes_of_all(own: int, comm: Communicator) -> list[int]:
    return comm.all_gather(np.array(own)).tolist()


def _in_equal_parts(array: Any, sizes: Sequence[int]) -> Any:
    """Parts of these sizes along the first axis as the rows of one array, filled up to the largest; C-contiguous."""
    each, xp = max(sizes), namespace(array)
    if each == min(sizes):
        return xp.ascontiguousarray(array).reshape(len(sizes), each, *array.shape[1:])
    starts = [0, *accumulate(sizes)]
    return xp.stack([_filled_up(array[start:stop], each) for start, stop in pairwise(starts)])


def _filled_up(array: Any, size: int) -> Any:
    """`array`, with zeros behind it up to this size along the first axis; C-contiguous."""
    xp = namespace(array)
    if len(array) == size:
        return xp.ascontiguousarray(array)
    filled = xp.zeros((size, *array.shape[1:]), array.dtype)
    filled[: len(array)] = array
    return filled


def _back(array: Any, like: Tensor) -> Tensor:
    """What was received as a tensor on the device of `like`."""
    return wrap(beside(array, like.array))


# -- forward and backward, side by side ------------------------------------------------------------------------------


class _CopyToRanks(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Communicator) -> Tensor:
        ctx.comm = comm
        return x.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return summed(g, ctx.comm), None


class _CopiesToRanks(Function):
    @staticmethod
    def forward(ctx: Any, comm: Communicator, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.comm = comm
        return tuple([x.detach() for x in tensors])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        sent = [to_send(g.array, ctx.comm).reshape(-1) for g in gradients]
        one = ctx.comm.all_reduce(namespace(sent[0]).concatenate(sent))
        starts = [0, *accumulate(g.array.size for g in gradients)]
        parts = [one[start:stop] for start, stop in pairwise(starts)]
        return None, *[_back(part.reshape(g.shape), g) for part, g in zip(parts, gradients)]


class _ReduceFromRanks(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Communicator) -> Tensor:
        return summed(x, comm)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return g, None


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Communicator) -> Tensor:
        ctx.comm = comm
        return summed(x, comm)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return summed(g, ctx.comm), None


class _ScatterToRanks(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Communicator, dim: int) -> Tensor:
        ctx.comm, ctx.dim, ctx.sizes = comm, dim, shares(x.shape[dim], comm.size)
        return own_part(x, comm, dim)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return put_together(g, ctx.comm, ctx.dim, ctx.sizes), None, None


class _GatherFromRanks(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Communicator, dim: int, sizes: Sequence[int] | None) -> Tensor:
        ctx.comm, ctx.dim = comm, dim
        ctx.sizes = _sizes_of_all(x.shape[dim], comm) if sizes is None else sizes
        return put_together(x, comm, dim, ctx.sizes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        start = sum(ctx.sizes[: ctx.comm.rank])
        return _part_at(g, ctx.dim, start, ctx.sizes[ctx.comm.rank]), None, None, None


class _AllGather(_GatherFromRanks):
    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return summed_part(g, ctx.comm, ctx.dim, ctx.sizes), None, None, None


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Communicator, dim: int) -> Tensor:
        ctx.comm, ctx.dim, ctx.sizes = comm, dim, shares(x.shape[dim], comm.size)
        return summed_part(x, comm, dim)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return put_together(g, ctx.comm, ctx.dim, ctx.sizes), None, None


def _part_at(x: Tensor, dim: int, start: int, size: int) -> Tensor:
    where: list[Any] = [slice(None)] * x.ndim
    where[dim] = slice(start, start + size)
    return wrap(x.array[tuple(where)])

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
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.function import Function, once_differentiable
from ..backend import namespace, to_numpy
from ..tensor import Tensor, wrap
from .comm import Communicator
from .shares import share


def copy_to_ranks(x: Tensor, comm: Communicator) -> Tensor:
    """`x`, the same on every rank, of which each goes on to compute a part of its own: gradients add up."""
    return x if comm.size == 1 else _CopyToRanks.apply(x, comm)


def reduce_from_ranks(x: Tensor, comm: Communicator) -> Tensor:
    """The sum of every rank's `x`, with which all go on to compute the same."""
    return x if comm.size == 1 else _ReduceFromRanks.apply(x, comm)


def scatter_to_ranks(x: Tensor, comm: Communicator, dim: int) -> Tensor:
    """This rank's consecutive part along `dim` of `x`, which is the same on every rank."""
    return x if comm.size == 1 else _ScatterToRanks.apply(x, comm, dim)


def gather_from_ranks(x: Tensor, comm: Communicator, dim: int) -> Tensor:
    """The parts of all ranks along `dim`, put together, with which all go on to compute the same.

    Only their sizes along `dim` may differ (they lie in order of rank).
    """
    return x if comm.size == 1 else _GatherFromRanks.apply(x, comm, dim)


def all_gather(x: Tensor, comm: Communicator, dim: int) -> Tensor:
    """The parts of all ranks along `dim`, put together, with which each goes on to compute something of its own."""
    return x if comm.size == 1 else _AllGather.apply(x, comm, dim)


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
    """The sum of every rank's `x`, a new tensor without a gradient. A GPU's array goes through host memory."""
    host = to_numpy(x.array)
    return _back(comm.all_reduce(host, out=np.empty(host.shape, host.dtype)), x)


def own_part(x: Tensor, comm: Communicator, dim: int) -> Tensor:
    """This rank's part of `x` along `dim`: a view."""
    where: list[Any] = [slice(None)] * x.ndim
    where[dim] = share(x.shape[dim], comm.rank, comm.size)
    return wrap(x.array[tuple(where)])


def put_together(x: Tensor, comm: Communicator, dim: int) -> Tensor:
    """The parts of all ranks along `dim` in order of rank, without a gradient. Their sizes along `dim` may differ."""
    host = np.moveaxis(to_numpy(x.array), dim, 0)
    sizes = comm.all_gather(np.array(len(host)))
    sent = np.zeros((int(sizes.max()), *host.shape[1:]), host.dtype)
    sent[: len(host)] = host
    rows = comm.all_gather(sent)
    whole = np.concatenate([part[:size] for part, size in zip(rows, sizes)])
    return _back(np.ascontiguousarray(np.moveaxis(whole, 0, dim)), x)


def _back(host: np.ndarray, like: Tensor) -> Tensor:
    """`host` as a tensor on the device of `like`."""
    return wrap(namespace(like.array).asarray(host))


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
        ctx.comm, ctx.dim = comm, dim
        return own_part(x, comm, dim)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return put_together(g, ctx.comm, ctx.dim), None, None


class _GatherFromRanks(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Communicator, dim: int) -> Tensor:
        ctx.comm, ctx.dim, ctx.size = comm, dim, x.shape[dim]
        ctx.start = int(comm.all_gather(np.array(x.shape[dim]))[: comm.rank].sum())
        return put_together(x, comm, dim)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return _part_at(g, ctx.dim, ctx.start, ctx.size), None, None


class _AllGather(_GatherFromRanks):
    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return _part_at(summed(g, ctx.comm), ctx.dim, ctx.start, ctx.size), None, None


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Communicator, dim: int) -> Tensor:
        ctx.comm, ctx.dim = comm, dim
        return own_part(summed(x, comm), comm, dim)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return put_together(g, ctx.comm, ctx.dim), None, None


def _part_at(x: Tensor, dim: int, start: int, size: int) -> Tensor:
    where: list[Any] = [slice(None)] * x.ndim
    where[dim] = slice(start, start + size)
    return wrap(x.array[tuple(where)])

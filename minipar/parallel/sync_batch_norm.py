"""Batch norm whose statistics are those of all ranks' samples (and rows): exact where a batch is split.

Each rank takes mean and variance of what it holds; these, with their counts, are gathered in one message, and every
rank combines them in the same order (Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing
sample variances, 1979), in float64:

    mean = Σ nᵣ meanᵣ / n        variance = Σ nᵣ (varianceᵣ + (meanᵣ − mean)²) / n

The gradient needs two sums over all ranks, Σ g and Σ g x̂: one more message. In training a few bytes go ahead: which
samples each rank has, for these statistics are right only if they are the whole batch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd.function import Function, once_differentiable
from ..backend import namespace, to_numpy
from ..backend.dispatch import kernel
from ..backend.random import held_samples
from ..nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormNd
from ..nn.module import Module
from ..ops.op import array_of
from ..tensor import Tensor, wrap
from .comm import Communicator
from .ranks.environment import init

Running = tuple[Any, Any, Any]  # arrays of running mean and variance, and the momentum by which they follow


class SyncBatchNorm(BatchNormNd):
    """`nn.BatchNorm1d`, 2d or 3d, for input (N, C, …), over the samples of all ranks of `process_group`.

    `process_group` is a communicator (None: the one that `init()` gives), all of whose ranks run this layer, also those
    that have no samples: pass it an input (0, C, …) there. With running statistics, nothing is exchanged in eval mode.
    The gradients of weight and bias are this rank's parts of their sums, as every parameter's are under data
    parallelism.

    ValueError for an input of one axis, or in training for one value a channel on all ranks together. RuntimeError in
    training where all ranks together hold only a part of the batch (micro-batches). It can be differentiated once.

    (PyTorch's `nn.SyncBatchNorm`; its name is here because it needs ranks, on which `nn` does not build.)

    >>> def normalised(comm):
    ...     layer = minipar.parallel.SyncBatchNorm(1, eps=0.0, process_group=comm)
    ...     return layer(minipar.tensor([[1.0 + 2 * comm.rank]])).item()
    >>> minipar.parallel.launch(normalised, workers=2, backend="thread")
    [-1.0, 1.0]
    """

    axes = ("(N, C, …)",)
    needs_every_rank = True  # in training: also ranks without samples run forward and backward
    copies = 1  # on how many ranks each sample is: only the unbiased running variance depends on that

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Communicator | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        if process_group is not None and not isinstance(process_group, Communicator):
            raise TypeError(f"process_group must be a Communicator or None, not {type(process_group).__name__}")
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Communicator | None = None) -> Module:
        """`module` with every BatchNorm1d, 2d and 3d in it, or itself, replaced by a SyncBatchNorm of the same state.

        Changed in place but for `module` itself: use what is returned. Parameters, buffers and hooks are the same
        objects. TypeError for a batch norm of one's own class, of which nobody knows what it does with statistics.
        """
        return cls._converted(module, process_group, {})

    @classmethod
    def _converted(cls, module: Module, process_group: Communicator | None, done: dict[int, Module]) -> Module:
        """`done`: by id what a module has become; one may stand in several places."""
        if id(module) in done or isinstance(module, SyncBatchNorm):
            return done.get(id(module), module)
        if isinstance(module, BatchNormNd):
            if type(module) not in (BatchNorm1d, BatchNorm2d, BatchNorm3d):
                raise TypeError(f"{type(module).__name__} cannot be made a SyncBatchNorm: it is a class of one's own")
            done[id(module)] = cls.in_place_of(module, process_group)
            return done[id(module)]
        done[id(module)] = module
        for name, child in list(module._modules.items()):
            if child is not None:
                setattr(module, name, cls._converted(child, process_group, done))
        return module

    @classmethod
    def in_place_of(cls, norm: BatchNormNd, process_group: Communicator | None) -> SyncBatchNorm:
        """A SyncBatchNorm with the state of `norm`: the same parameters and buffers."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, process_group)
        made.__dict__.update({**norm.__dict__, "process_group": process_group})
        return made

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"SyncBatchNorm: input must have shape (N, C, …), got {tuple(input.shape)}")

    def _normalized(self, input: Tensor, mean: Any, var: Any, of_batch: bool, momentum: Any) -> Tensor:
        comm = init() if self.process_group is None else self.process_group
        if not of_batch or comm.size == 1:
            return super()._normalized(input, mean, var, of_batch, momentum)
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"SyncBatchNorm: expected {self.num_features} channels, got input of shape {tuple(input.shape)}"
            )
        self._check_whole_batch(comm)
        running = None if mean is None else (mean.array, var.array, array_of(momentum))
        y = standardized_over_ranks(input, self.weight, self.bias, comm, self.eps, running, self.copies)
        if mean is not None:
            mean.bump("sync_batch_norm")
            var.bump("sync_batch_norm")
        return y

    def _check_whole_batch(self, comm: Communicator) -> None:
        """RuntimeError unless the ranks hold the whole batch together, as far as anybody knows."""
        held = held_samples()
        if held is None:
            return
        start, count, total = held
        parts = set(map(tuple, comm.all_gather(np.array([start, count])).tolist()))
        if sum(count for _, count in parts) < total:
            raise RuntimeError(
                "SyncBatchNorm: in training, the statistics of a part of the batch (a micro-batch) are not those of "
                "the batch; use GroupNorm, put the layer in eval mode, or leave the batch whole"
            )


def standardized_over_ranks(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    comm: Communicator,
    eps: float,
    running: Running | None = None,
    copies: int = 1,
) -> Tensor:
    """x (N, C, …) standardised channel by channel over all ranks' elements, · weight + bias, (C,) or None each.

    The running statistics, if there are any, follow: on every rank the same. `copies`: on how many ranks each element
    is. ValueError for one value a channel.
    """
    return _StandardizedOverRanks.apply(x, weight, bias, comm, eps, running, copies)


class _StandardizedOverRanks(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Any,
        bias: Any,
        comm: Communicator,
        eps: float,
        running: Running | None,
        copies: int,
    ) -> Tensor:
        planes = _planes(x.array)
        statistics, count = _moments_of_all(planes, comm)
        if count == copies:
            raise ValueError(
                "normalization over ranks: Expected more than 1 value per channel when training, on all ranks "
                f"together, got input size {tuple(x.shape)} here"
            )
        if running is not None and count:
            kernel("follow_statistics", running[0])(running[0], running[1], statistics, count // copies, running[2])
        ctx.save_for_backward(x, weight)
        ctx.comm, ctx.eps, ctx.statistics, ctx.count = comm, eps, statistics, count
        y, _ = kernel("batch_norm_forward", planes)(planes, _array(weight), _array(bias), eps, tuple(statistics))
        return wrap(y.reshape(x.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        """dx = w (g − mean g − x̂ mean(g x̂)) / σ: the first term is that of constant statistics, the rest is −x̂a − b."""
        x, weight = ctx.saved_tensors
        planes, w, xp = _planes(x.array), _array(weight), namespace(x.array)
        dweight, dbias = xp.empty((2, planes.shape[1]), planes.dtype)
        backward = kernel("batch_norm_backward", planes)
        dx = backward(_planes(g.array), planes, w, ctx.statistics, ctx.eps, False, dweight, dbias)
        sums = ctx.comm.all_reduce(np.stack((to_numpy(dweight), to_numpy(dbias))).astype(np.float64))
        scale = (1.0 if w is None else w) / xp.sqrt(ctx.statistics[1] + ctx.eps) / max(ctx.count, 1)
        a, b = (-scale * xp.asarray(sums)).astype(planes.dtype)
        more, _ = kernel("batch_norm_forward", planes)(planes, a, b, ctx.eps, tuple(ctx.statistics))
        dx += more
        wanted = ctx.needs_input_grad
        return (
            wrap(dx.reshape(x.shape)),
            wrap(dweight) if wanted[1] else None,
            wrap(dbias) if wanted[2] else None,
            *[None] * 4,
        )


def _planes(array: Any) -> Any:
    """(N, C, …) as (N, C, positions)."""
    return array.reshape(*array.shape[:2], math.prod(array.shape[2:]))


def _array(parameter: Tensor | None) -> Any:
    return None if parameter is None else parameter.array


def _moments_of_all(planes: Any, comm: Communicator) -> tuple[Any, int]:
    """Mean and variance of each channel over all ranks' planes (N, C, P), float64 (2, C), and of how many values."""
    samples, channels, positions = planes.shape
    here = np.zeros((2, channels + 1))
    here[:, channels] = samples * positions
    if samples * positions:
        _, own = kernel("batch_norm_forward", planes)(planes, None, None, 0.0)
        here[:, :channels] = to_numpy(own)
    of_all = comm.all_gather(here)
    counts = of_all[:, :1, channels]
    shares = counts / max(counts.sum(), 1.0)
    means, variances = of_all[:, 0, :channels], of_all[:, 1, :channels]
    mean = (shares * means).sum(0)
    variance = (shares * (variances + (means - mean) ** 2)).sum(0)
    return namespace(planes).asarray(np.stack((mean, variance))), int(counts.sum())

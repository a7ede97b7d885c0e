"""Batch and instance norm as layers: the norms of channels, with their running statistics as buffers."""

from __future__ import annotations

import warnings
from typing import Any

from ..backend.current_gpu import on_gpu_of
from ..creation import empty, ones, tensor, zeros
from ..ops.shape import squeeze, unsqueeze
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _ChannelNorm(Module):
    """Parameters weight and bias, buffers running_mean, running_var, num_batches_tracked: each None if not wanted."""

    axes: tuple[str, ...]  # what input's axes may be

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        made = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(empty(num_features, **made)) if affine else None)
        self.register_parameter("bias", Parameter(empty(num_features, **made)) if affine and bias else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **made) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **made) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0, device=device) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in [1 + text.count(",") for text in self.axes]:
            wanted = " or ".join(self.axes)
            raise ValueError(f"{type(self).__name__}: input must have shape {wanted}, got {tuple(input.shape)}")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNormNd(_ChannelNorm):
    """What the batch norms share: everything but the number of axes."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        factor: Any = self.momentum or 0.0
        if self.training and self.num_batches_tracked is not None:
            count = self.num_batches_tracked
            number = count.array
            with on_gpu_of(number):
                number += 1  # in its memory: add_ would take ten times as long
            count.bump("batch_norm")
            if self.momentum is None:  # the average of all batches so far
                factor = 1.0 / count.double()
        mean, training = self.running_mean, self.training
        of_batch = training or mean is None
        kept = self.track_running_stats or not training
        mean, var = (mean, self.running_var) if kept else (None, None)
        return self._normalized(input, mean, var, of_batch, factor)

    def _normalized(self, input: Tensor, mean: Any, var: Any, of_batch: bool, momentum: Any) -> Tensor:
        return F.batch_norm(input, mean, var, self.weight, self.bias, of_batch, momentum, self.eps)


class BatchNorm1d(BatchNormNd):
    """(x − mean) / √(var + eps) · weight + bias for each of `num_features` channels: see `F.batch_norm`.

    input (N, C) or (N, C, L). In training the batch's statistics count, in eval mode the running ones (the batch's too
    with `track_running_stats=False`), which move by `momentum`, or with None are the average of all batches. ValueError
    for another number of axes, or one value a channel in training.

    >>> layer = nn.BatchNorm1d(2)
    >>> y = layer(minipar.tensor([[1.0, 5.0], [3.0, 5.0]]))
    >>> layer.running_mean
    tensor([0.2, 0.5])
    """

    axes = ("(N, C)", "(N, C, L)")


class BatchNorm2d(BatchNormNd):
    """BatchNorm1d's rule for images (N, C, H, W).

    >>> nn.BatchNorm2d(3)(minipar.randn(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    axes = ("(N, C, H, W)",)


class BatchNorm3d(BatchNormNd):
    """BatchNorm1d's rule for volumes (N, C, D, H, W).

    >>> nn.BatchNorm3d(3)(minipar.randn(2, 3, 2, 4, 4)).shape
    (2, 3, 2, 4, 4)
    """

    axes = ("(N, C, D, H, W)",)


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        single = input.ndim == 1 + self.axes[0].count(",")
        channels = input.shape[0 if single else 1]
        if channels != self.num_features:
            told = (
                f"expected input's size at dim={0 if single else 1} to match num_features ({self.num_features}), "
                f"but got: {channels}"
            )
            if self.affine:
                raise ValueError(f"{type(self).__name__}: {told}")
            warnings.warn(f"{told}; with affine=False num_features is not used", stacklevel=2)
        x = unsqueeze(input, 0) if single else input
        of_input = self.training or not self.track_running_stats
        y = F.instance_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, of_input, self.momentum or 0.0, self.eps
        )
        return squeeze(y, 0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """(x − mean) / √(var + eps) · weight + bias for each channel of each sample: see `F.instance_norm`.

    input (N, C, L) or (C, L). No parameters unless `affine`, no running statistics unless `track_running_stats`.
    ValueError for another number of axes or (if affine) of channels, or one position in training.

    >>> nn.InstanceNorm1d(2)(minipar.randn(3, 2, 5)).shape
    (3, 2, 5)
    """

    axes = ("(C, L)", "(N, C, L)")


class InstanceNorm2d(_InstanceNorm):
    """InstanceNorm1d's rule for images (N, C, H, W) or (C, H, W).

    >>> nn.InstanceNorm2d(2)(minipar.randn(2, 4, 4)).shape
    (2, 4, 4)
    """

    axes = ("(C, H, W)", "(N, C, H, W)")


class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm1d's rule for volumes (N, C, D, H, W) or (C, D, H, W).

    >>> nn.InstanceNorm3d(2)(minipar.randn(2, 4, 4, 4)).shape
    (2, 4, 4, 4)
    """

    axes = ("(C, D, H, W)", "(N, C, D, H, W)")

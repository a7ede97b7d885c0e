"""Batch and instance norm: the norms of channels, which may keep running statistics."""

from __future__ import annotations

import math
from typing import Any

from ..backend import random
from ..tape import set_grad_mode
from .inplace import write
from .normalization import Normalize, applied, check_parameters, check_several
from .op import array_of, cast
from .shape import reshape


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(x − mean) / √(var + eps) · weight + bias, channel by channel.

    input (N, C) or (N, C, …); weight, bias and running statistics (C,) or absent. In `training` mean and variance are
    those of the batch, and the running ones (with the unbiased variance) move towards them by `momentum`; else they are
    the running ones. ValueError in training where a channel has one value. RuntimeError where shapes or dtypes do not
    fit, where there are no running statistics out of training, and in training where this process holds only a part of
    the batch. Ioffe & Szegedy, Batch normalization, ICML 2015.

    >>> F.batch_norm(minipar.tensor([[1.0], [3.0]]), None, None, training=True, eps=0)
    tensor([[-1.],
            [ 1.]])
    """
    if tuple(input.shape) == (0,):  # which PyTorch lets pass
        return input
    _check("batch_norm", input, running_mean, running_var, weight, bias)
    if not training:
        return _by_running("batch_norm", input, running_mean, running_var, weight, bias, eps)
    check_several("batch_norm", input, input.shape[0] * math.prod(input.shape[2:]))
    if random.holds_part_of_a_batch():
        raise RuntimeError(
            "batch_norm: in training, the statistics of one worker's rows are not those of the batch; split over "
            "workers, use group_norm or layer_norm, or put the layer in eval mode"
        )
    if not math.prod(input.shape):
        return _scaled(input, weight, bias)
    norm = _of_channels("BatchNorm", (0, 2), input, weight, eps)
    y = applied(norm, input, weight, bias)
    if running_mean is not None:
        _follow(running_mean, running_var, norm.statistics, momentum, math.prod(input.shape) // input.shape[1])
    return y


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(x − mean) / √(var + eps) · weight + bias, for each channel of each sample by itself.

    input (N, C, …); weight, bias and running statistics (C,) or absent. With `use_input_stats` the running ones move
    towards the samples' average by `momentum`; without, they are used instead. ValueError where a channel has one
    position. RuntimeError as in batch_norm. Ulyanov, Vedaldi & Lempitsky, Instance normalization, 2016.

    >>> F.instance_norm(minipar.tensor([[[1.0, 3.0], [0.0, 8.0]]]), eps=0)
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """
    _check("instance_norm", input, running_mean, running_var, weight, bias)
    if not use_input_stats:
        return _by_running("instance_norm", input, running_mean, running_var, weight, bias, eps)
    positions = math.prod(input.shape[2:])
    if positions == 1:
        raise ValueError(
            "instance_norm: Expected more than 1 spatial element when training, got input size "
            + str(tuple(input.shape))
        )
    if not math.prod(input.shape):
        return _scaled(input, weight, bias)
    if running_mean is not None and random.holds_part_of_a_batch():
        raise RuntimeError(
            "instance_norm: running statistics of one worker's rows are not those of the batch; split over workers, "
            "leave track_running_stats out, or put the layer in eval mode"
        )
    norm = _of_channels("InstanceNorm", (2,), input, weight, eps)
    y = applied(norm, input, weight, bias)
    if running_mean is not None:
        mean, variance = norm.statistics
        _follow(running_mean, running_var, (mean.mean(0), variance.mean(0)), momentum, positions)
    return y


def _of_channels(called: str, axes: tuple[int, ...], x: Any, weight: Any, eps: float) -> Normalize:
    """A norm over some axes of x seen as (N, C, positions)."""
    view = (*x.shape[:2], math.prod(x.shape[2:]))
    return Normalize(called, view, axes, (1, view[1], 1), eps, weight is not None)


def _check(name: str, x: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any) -> None:
    if len(x.shape) < 2:
        raise RuntimeError(f"{name}: input must have shape (N, C, …), got {tuple(x.shape)}")
    check_parameters(name, x, (x.shape[1],), weight, bias)
    if (running_mean is None) != (running_var is None):
        raise RuntimeError(f"{name}: pass running_mean and running_var both, or neither")
    for what, given in (("running_mean", running_mean), ("running_var", running_var)):
        if given is not None and tuple(given.shape) != (x.shape[1],):
            raise RuntimeError(f"{name}: {what} must have shape ({x.shape[1]},), not {tuple(given.shape)}")
        if getattr(given, "tracked", False):
            raise RuntimeError(f"{name}: {what} cannot require a gradient; pass {what}.detach()")


def _by_running(name: str, x: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, eps: float) -> Any:
    """With statistics that are constants, the norm is one scale and one shift a channel."""
    if running_mean is None:
        raise RuntimeError(f"{name}: expected running_mean and running_var to be defined when training=False")
    scale = (cast(running_var, x.dtype) + eps) ** -0.5
    scale = scale if weight is None else weight * scale
    shift = -cast(running_mean, x.dtype) * scale
    return _scaled(x, scale, shift if bias is None else bias + shift)


def _scaled(x: Any, weight: Any, bias: Any) -> Any:
    """x · weight + bias, channel by channel."""
    channels = (1, x.shape[1], *[1] * (len(x.shape) - 2))
    y = x if weight is None else x * reshape(weight, channels)
    return y if bias is None else y + reshape(bias, channels)


def _follow(running_mean: Any, running_var: Any, statistics: tuple[Any, Any], momentum: float, count: int) -> None:
    """running ← (1 − momentum) running + momentum new, with the variance of a sample: n/(n − 1) of a population's."""
    mean, variance = statistics
    with set_grad_mode(False):
        for running, new in ((running_mean, mean), (running_var, variance * (count / max(count - 1, 1)))):
            old = array_of(running)
            moved = (1 - momentum) * old + momentum * new.reshape(old.shape)
            write(running, "batch_norm", moved.astype(old.dtype, copy=False))

"""Batch and instance norm: the norms of channels, which may keep running statistics."""

from __future__ import annotations

import math
from typing import Any

from ..backend import random
from ..backend.dispatch import kernel
from .accepts import rank, tensor_shape
from .normalization import ChannelNorm, GroupNorm, by_channel, check_parameters, check_several, scaled, standardized
from .op import array_of, cast
from .power import sqrt


class BatchNorm(ChannelNorm):
    """Inputs x (N, C, …), weight, bias, mean, variance → y; without the last two, mean and variance are the batch's."""

    __slots__ = ()

    def forward(self, x, weight, bias, *constants):
        y, self.aux = kernel("batch_norm_forward", x)(self._planes(x), weight, bias, self.eps, constants or None)
        self._follow(self.aux, x.shape[0] * math.prod(x.shape[2:]))
        return y.reshape(x.shape)

    def vjp(self, g, x, weight):
        dweight, dbias, of_batch = self._place(1, x), self._place(2, x), len(self.needs) == 3
        backward = kernel("batch_norm_backward", g)
        dx = backward(self._planes(g), self._planes(x), weight, self.aux, self.eps, of_batch, dweight, dbias)
        grads = dx.reshape(x.shape), dweight, dbias
        return grads if of_batch else (*grads, None, None)

    def composite(self, x, weight, bias, *constants):
        if constants:
            mean, variance = constants
            y = (x - by_channel(mean, x)) / by_channel(sqrt(variance + self.eps), x)
        else:
            y = standardized(x, (0, *range(2, len(x.shape))), self.eps)
        return scaled(y, weight, bias)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(x − mean) / √(var + eps) · weight + bias, channel by channel.

    input (N, C) or (N, C, …); weight, bias and running statistics (C,) or absent. In `training` mean and variance are
    those of the batch, and the running ones (with the unbiased variance) move towards them by `momentum`, a number or a
    tensor of no axes; else they are the running ones. ValueError in training where a channel has one value;
    RuntimeError where shapes or dtypes do not fit, where there are no running statistics out of training, and in
    training where this process holds only a part of the batch. Ioffe & Szegedy, Batch normalization, ICML 2015.

    >>> F.batch_norm(minipar.tensor([[1.0], [3.0]]), None, None, training=True, eps=0)
    tensor([[-1.],
            [ 1.]])
    """
    shape = tuple(tensor_shape(input))
    if shape == (0,):  # which PyTorch lets pass
        return input
    if not _fit(input, running_mean, running_var, weight, bias):
        _check("batch_norm", input, running_mean, running_var, weight, bias)
    if not training:
        return _by_running("batch_norm", input, running_mean, running_var, weight, bias, eps)
    check_several("batch_norm", input, math.prod(shape) // max(shape[1], 1))
    if random.holds_part_of_a_batch():
        raise RuntimeError(
            "batch_norm: in training, the statistics of one worker's rows are not those of the batch; split over "
            "workers, use parallel.SyncBatchNorm (convert_sync_batchnorm changes a model), group_norm or layer_norm, "
            "or put the layer in eval mode"
        )
    if 0 in shape:
        return scaled(input, weight, bias)
    y = BatchNorm(eps, _moved("batch_norm", running_mean, running_var, momentum))(input, weight, bias)
    _tell("batch_norm", running_mean, running_var)
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
        return scaled(input, weight, bias)
    if running_mean is not None and random.holds_part_of_a_batch():
        raise RuntimeError(
            "instance_norm: running statistics of one worker's rows are not those of the batch; split over workers, "
            "leave track_running_stats out, or put the layer in eval mode"
        )
    running = _moved("instance_norm", running_mean, running_var, momentum)
    y = GroupNorm("InstanceNorm", input.shape[1], eps, running)(input, weight, bias)
    _tell("instance_norm", running_mean, running_var)
    return y


def _fit(x: Any, running_mean: Any, running_var: Any, *affine: Any) -> bool:
    """Is all well, as it nearly always is? Seen at a glance; what is wrong, `_check` says."""
    array = array_of(x)
    real, shape = array.dtype, array.shape[1:2]
    if not shape or real.kind != "f":
        return False
    for given in (running_mean, running_var, *affine):
        if given is not None:
            array = array_of(given)
            if tensor_shape(array) != shape or (array.dtype is not real and array.dtype != real):
                return False
    if running_mean is None or running_var is None:
        return running_mean is running_var
    return not (getattr(running_mean, "tracked", True) or getattr(running_var, "tracked", True))


def _check(name: str, x: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any) -> None:
    if rank(x) < 2:
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
    if running_mean is None:
        raise RuntimeError(f"{name}: expected running_mean and running_var to be defined when training=False")
    if 0 in x.shape:
        return scaled(x, weight, bias)
    return BatchNorm(eps)(x, weight, bias, cast(running_mean, x.dtype), cast(running_var, x.dtype))


def _moved(name: str, running_mean: Any, running_var: Any, momentum: Any) -> tuple[Any, Any, Any] | None:
    """What a norm is given so that the running statistics follow."""
    if running_mean is None:
        return None
    for what, given in (("running_mean", running_mean), ("running_var", running_var)):
        if not getattr(array_of(given).flags, "writeable", True):
            raise RuntimeError(f"{name}: the memory of {what} cannot be written; pass {what}.clone()")
    return array_of(running_mean), array_of(running_var), array_of(momentum)


def _tell(name: str, running_mean: Any, running_var: Any) -> None:
    """Who saved the running statistics must hear that they have changed."""
    if running_mean is not None:
        running_mean.bump(name)
        running_var.bump(name)

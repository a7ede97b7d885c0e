"""The norms as single nodes: standardise over some axes, then scale and shift by weight and bias.

    x̂ = (x − mean) / √(variance + ε)      y = w x̂ + b

They differ in the axes: a batch norm's mean runs over samples and positions of one channel, an instance norm's over the
positions of one channel of one sample, a group norm's over some channels too, a layer norm's over the last axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..backend import namespace
from ..backend.dispatch import kernel
from .accepts import rank, tensor_dtype, tensor_shape
from .op import Fat, array_of, check_dtypes
from .power import sqrt
from .reduce import mean
from .shape import reshape


class ChannelNorm(Fat):
    """Base of the norms with a weight and a bias a channel. Inputs: x (N, C, …), then weight and bias, (C,) or None, ….

    `running` is None, or running mean and variance, which follow what forward saw, and their momentum.
    """

    __slots__ = ("eps", "running")

    kernels_only = True
    saves = (0, 1)

    def __init__(self, eps: float, running: tuple[Any, Any, Any] | None = None) -> None:
        self.eps, self.running = eps, running

    def _planes(self, x: Any) -> Any:
        """x as (N, C, positions)."""
        return x if x.ndim == 3 else x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))

    def _follow(self, statistics: Any, count: int) -> None:
        if self.running is not None:
            mean, variance, momentum = self.running
            kernel("follow_statistics", mean)(mean, variance, statistics, count, momentum)

    def _place(self, i: int, x: Any) -> Any:
        """Where the gradient of weight (input 1) or bias (2) goes, None if it is not wanted."""
        if not self.needs[i]:
            return None
        room = self.room(i)
        return namespace(x).empty(x.shape[1], x.dtype) if room is None else room


class GroupNorm(ChannelNorm):
    """Group norm, and instance norm, which is that of groups of one channel. Inputs x (N, C, …), weight, bias → y"""

    __slots__ = ("called", "groups")

    def __init__(self, called: str, groups: int, eps: float, running: tuple[Any, Any, Any] | None = None) -> None:
        super().__init__(eps, running)
        self.called, self.groups = called, groups

    def name(self) -> str:
        return self.called

    def forward(self, x, weight, bias):
        y, self.aux = kernel("group_norm_forward", x)(self._planes(x), self.groups, weight, bias, self.eps)
        self._follow(self.aux, math.prod(x.shape[2:]))
        return y.reshape(x.shape)

    def vjp(self, g, x, weight):
        dweight, dbias = self._place(1, x), self._place(2, x)
        backward = kernel("group_norm_backward", g)
        dx = backward(self._planes(g), self._planes(x), weight, self.aux, self.eps, dweight, dbias)
        return dx.reshape(x.shape), dweight, dbias

    def composite(self, x, weight, bias):
        n, c, *rest = x.shape
        y = reshape(
            standardized(reshape(x, (n, self.groups, c // self.groups * math.prod(rest))), (2,), self.eps), x.shape
        )
        return scaled(y, weight, bias)


class RowNorm(Fat):
    """Layer and RMS norm: over the last axes, of `shape`, which are those of weight and bias too.

    Not `centred` (RMS norm): the mean is taken for 0.
    """

    __slots__ = ("called", "shape", "eps", "weighted", "centred")

    kernels_only = True

    def __init__(self, called, shape, eps, weighted, centred):
        self.called, self.shape, self.eps, self.weighted, self.centred = called, shape, eps, weighted, centred

    def name(self) -> str:
        return self.called

    @property
    def saves(self):  # type: ignore[override]
        return (0, 1) if self.weighted else (0,)

    def forward(self, x, *affine):
        weight, bias = self._parts(affine)
        y, self.aux = kernel("layer_norm_forward", x)(self._rows(x), weight, bias, self.eps, self.centred)
        return y.reshape(x.shape)

    def vjp(self, g, x, weight=None):
        grads = [self._place(i, x) for i in range(1, len(self.needs))]
        dweight, dbias = self._parts(grads)
        backward = kernel("layer_norm_backward", g)
        dx = backward(self._rows(g), self._rows(x), weight, self.aux, self.centred, dweight, dbias)
        return dx.reshape(x.shape), *grads

    def _rows(self, x: Any) -> Any:
        width = math.prod(self.shape)
        return x.reshape(math.prod(x.shape[: x.ndim - len(self.shape)]), width)

    def _parts(self, affine: Sequence[Any]) -> tuple[Any, Any]:
        """(weight, bias), None for what is absent."""
        if len(affine) == 2:
            return affine[0], affine[1]
        return (affine[0], None) if self.weighted else (None, affine[0] if affine else None)

    def _place(self, i: int, x: Any) -> Any:
        """Where the gradient of weight or bias goes, None if it is not wanted."""
        if not self.needs[i]:
            return None
        room = self.room(i)
        return namespace(x).empty(self.shape, x.dtype) if room is None else room

    def composite(self, x, *affine):
        axes = tuple(range(-len(self.shape), 0))
        weight, bias = self._parts(affine)
        y = standardized(x, axes, self.eps, self.centred)
        y = y if weight is None else y * weight
        return y if bias is None else y + bias


def layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """(x − mean) / √(var + eps) · weight + bias, mean and (biased) variance over the last len(normalized_shape) axes.

    input (…, *normalized_shape), weight and bias of normalized_shape or absent, all of one floating-point dtype.
    RuntimeError where shapes or dtypes do not fit. Ba, Kiros & Hinton, Layer normalization, 2016.

    >>> F.layer_norm(minipar.tensor([[1.0, 3.0]]), (2,), eps=0)
    tensor([[-1.,  1.]])
    """
    return _over_last("layer_norm", input, normalized_shape, weight, bias, eps, centred=True)


def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """x / √(mean x² + eps) · weight, the mean over the last len(normalized_shape) axes.

    `eps` None is the spacing of numbers at 1 in the dtype it is computed in: float32's for float16 and float32.
    RuntimeError where shapes or dtypes do not fit. Zhang & Sennrich, NeurIPS 2019.

    >>> F.rms_norm(minipar.tensor([3.0, 4.0, 0.0, 0.0]), (4,), eps=0)
    tensor([1.2, 1.6, 0. , 0. ])
    """
    if eps is None:
        eps = 2.0**-52 if tensor_dtype(input).itemsize == 8 else 2.0**-23
    return _over_last("rms_norm", input, normalized_shape, weight, None, eps, centred=False)


def _over_last(
    name: str, x: Any, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float, centred: bool
) -> Any:
    array, normalized = array_of(x), tuple(normalized_shape)
    if not normalized:
        raise RuntimeError(f"{name}: normalized_shape must have 1 or more axes, got {normalized}")
    if tensor_shape(array)[-len(normalized) :] != normalized:
        raise RuntimeError(
            f"{name}: given normalized_shape={list(normalized)}, input must have shape (…, "
            f"{', '.join(map(str, normalized))}), got {tuple(x.shape)}"
        )
    check_parameters(name, x, normalized, weight, bias)
    node = RowNorm("LayerNorm" if centred else "RMSNorm", normalized, eps, weight is not None, centred)
    if weight is not None and bias is not None:
        return node(x, weight, bias)
    return node(x, *[parameter for parameter in (weight, bias) if parameter is not None])


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """(x − mean) / √(var + eps) · weight + bias, statistics over a sample's group of channels and all positions.

    input (N, C, …) of which C is divisible by `num_groups`; weight and bias (C,) or absent. RuntimeError where that is
    not so, ValueError where a group has one value. Wu & He, Group normalization, ECCV 2018.

    >>> F.group_norm(minipar.tensor([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    if rank(input) < 2:
        raise RuntimeError(f"group_norm: input must have shape (N, C, …), got {tuple(input.shape)}")
    channels = input.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise RuntimeError(
            f"group_norm: the channels of input must be divisible by num_groups, got input {tuple(input.shape)} and "
            f"num_groups={num_groups}"
        )
    check_parameters("group_norm", input, (channels,), weight, bias)
    check_several("group_norm", input, math.prod(input.shape) // num_groups)
    return GroupNorm("GroupNorm", num_groups, eps)(input, weight, bias)


def standardized(x: Any, axes: tuple[int, ...], eps: float, centred: bool = True) -> Any:
    """(x − mean) / √(variance + eps) in simple operations; not `centred`: the mean is taken for 0."""
    difference = x - mean(x, axes, True) if centred else x
    return difference / sqrt(mean(difference * difference, axes, True) + eps)


def by_channel(numbers: Any, x: Any) -> Any:
    """numbers (C,) along the channels of x (N, C, …)."""
    return reshape(numbers, (1, x.shape[1], *[1] * (len(x.shape) - 2)))


def scaled(x: Any, weight: Any, bias: Any) -> Any:
    """x · weight + bias, channel by channel; each may be None."""
    y = x if weight is None else x * by_channel(weight, x)
    return y if bias is None else y + by_channel(bias, x)


def check_several(name: str, x: Any, count: int) -> None:
    """ValueError where a statistic would be that of one value, whose deviation from its mean is 0."""
    if count == 1:
        raise ValueError(
            f"{name}: Expected more than 1 value per channel when training, got input size {tuple(x.shape)}"
        )


def check_parameters(name: str, x: Any, shape: tuple[int, ...], weight: Any, bias: Any) -> None:
    for what, given in (("weight", weight), ("bias", bias)):
        if given is not None and tensor_shape(array_of(given)) != shape:
            raise RuntimeError(f"{name}: {what} must have shape {shape}, not {tuple(given.shape)}")
    check_dtypes(name, x, weight, bias)

"""Pooling: the maximum or the mean of each window.

Once the winners are known, max-pooling is linear: it picks elements, and its gradient puts them back. Mean-pooling is
linear anyway. So each is written as a pair of operations, one the transpose (and the gradient) of the other.
"""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dispatch import kernel
from .conv import Pair, pair
from .op import Op, check_dtypes
from .shape import Copy, reshape


class MaxPool2d(Op):
    """x (N, C, H, W) → (maxima, winners), both (N, C, OH, OW).

    A winner is the flat index h·W + w of the first maximum of its window (NaN wins); it gets the whole gradient.
    """

    __slots__ = ("geometry", "source")
    outputs = 2

    def __init__(self, *geometry):
        self.geometry = geometry

    def forward(self, x):
        self.source = x.shape
        y, self.aux = kernel("max_pool2d_forward", x)(x, *self.geometry)
        return y, self.aux

    def vjp(self, g):
        return Unpool(self.aux, self.source)(g[0])


class Unpool(Op):
    """Each value is added at the place of its winner: the transpose of picking the winners."""

    __slots__ = ("winners", "shape")

    def __init__(self, winners, shape):
        self.winners, self.shape = winners, shape

    def forward(self, g):
        return kernel("max_pool2d_backward", g)(g, self.winners, self.shape)

    def vjp(self, g):
        return Pick(self.winners)(g)


class Pick(Op):
    """The elements of each plane at the winners' places."""

    __slots__ = ("winners", "source")

    def __init__(self, winners):
        self.winners = winners

    def forward(self, x):
        self.source = x.shape
        n, c, h, w = x.shape
        xp = namespace(x)
        images, channels = xp.arange(n)[:, None, None, None], xp.arange(c)[:, None, None]
        return x.reshape(n, c, h * w)[images, channels, self.winners]

    def vjp(self, g):
        return Unpool(self.winners, self.source)(g)


class AvgPool2d(Op):
    """x (N, C, H, W) → the mean of each window (N, C, OH, OW)"""

    __slots__ = ("geometry", "source")

    def __init__(self, *geometry):
        self.geometry = geometry

    def forward(self, x):
        self.source = x.shape
        return kernel("avg_pool2d_forward", x)(x, *self.geometry)

    def vjp(self, g):
        return SpreadMean2d(self.geometry, self.source)(g)


class SpreadMean2d(Op):
    """Each value shared out evenly over its window: the transpose of AvgPool2d."""

    __slots__ = ("geometry", "shape")

    def __init__(self, geometry, shape):
        self.geometry, self.shape = geometry, shape

    def forward(self, g):
        return kernel("avg_pool2d_backward", g)(g, self.shape, *self.geometry)

    def vjp(self, g):
        return AvgPool2d(*self.geometry)(g)


def _windows(x: Any, kernel_size: Pair, stride: Any, padding: Pair) -> tuple:
    """(kernel, stride, padding) as pairs, checked as PyTorch does."""
    if len(x.shape) not in (3, 4):
        raise RuntimeError(f"pooling needs input of shape (N, C, H, W) or (C, H, W), not {tuple(x.shape)}")
    check_dtypes("pooling", x)
    size = pair(kernel_size, "kernel_size", 1)
    step = size if stride is None else pair(stride, "stride", 1)
    frame = pair(padding, "padding", 0)
    if any(2 * p > k for p, k in zip(frame, size)):
        raise RuntimeError(f"padding must be at most half the kernel size {size}, got {frame}")
    return size, step, frame


def max_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Any = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of x (N, C, H, W) or (C, H, W); `stride` is the kernel size unless given.

    With `return_indices` also the winners' flat indices (int64). RuntimeError for a wrong shape or padding.
    """
    size, step, frame = _windows(x, kernel_size, stride, padding)
    geometry = size, step, frame, pair(dilation, "dilation", 1), bool(ceil_mode)
    images = x if len(x.shape) == 4 else reshape(x, (1, *x.shape))
    y, winners = MaxPool2d(*geometry)(images)
    if len(x.shape) == 3:
        y, winners = reshape(y, y.shape[1:]), reshape(winners, winners.shape[1:])
    # Winners that are handed out are a copy: the gradient needs them unchanged.
    return (y, Copy()(winners)) if return_indices else y


def avg_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Any = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window of x (N, C, H, W) or (C, H, W); `stride` is the kernel size unless given.

    Padding counts as zeros unless `count_include_pad` is False; `divisor_override` replaces the window's size.
    """
    if divisor_override is not None and divisor_override == 0:
        raise ValueError("divisor_override must not be 0")
    geometry = (*_windows(x, kernel_size, stride, padding), bool(ceil_mode), bool(count_include_pad), divisor_override)
    images = x if len(x.shape) == 4 else reshape(x, (1, *x.shape))
    y = AvgPool2d(*geometry)(images)
    return y if len(x.shape) == 4 else reshape(y, y.shape[1:])

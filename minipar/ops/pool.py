"""Max-pooling: the largest element of each window, over one, two or three axes.

Once the winners are known, max-pooling is linear: it picks elements, and its gradient puts them back. These two, `Pick`
and `Unpool`, are each the transpose (and the gradient) of the other.

One axis is two with a height of 1. The gradient does not ask how many axes there are: it numbers a plane's, or a
volume's, elements in one row.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import namespace
from ..backend.dispatch import kernel
from ..tape import Value
from .op import Op, check_dtypes
from .shape import Copy, reshape
from .windows import Sizes, batched, sizes, with_unit_axis, without_unit_axis

MANY_TAPS = 256  # whose numbers are bytes


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


class MaxPool2dAlone(Op):
    """x (N, C, H, W) → the maxima alone. A winner is remembered as a byte, its tap's number i·kw + j in the window."""

    __slots__ = ("geometry", "ceil_mode", "source")

    def __init__(self, kernel, stride, padding, dilation, ceil_mode):
        self.geometry, self.ceil_mode = (kernel, stride, padding, dilation), ceil_mode

    def forward(self, x):
        self.source = x.shape
        y, self.aux = kernel("max_pool2d_taps", x)(x, *self.geometry, self.ceil_mode)
        return y

    def vjp(self, g):
        if isinstance(g, Value):
            return Unpool(self._winners(), self.source)(g)
        return kernel("max_pool2d_taps_backward", g)(g, self.aux, self.source, *self.geometry)

    def _winners(self):
        """The taps as flat indices h·W + w."""
        (_, columns), (high, wide), (above, left), (down, right) = self.geometry
        xp = namespace(self.aux)
        taps = self.aux.astype(xp.int64)
        h = xp.arange(taps.shape[2])[:, None] * high - above + taps // columns * down
        return h * self.source[3] + xp.arange(taps.shape[3]) * wide - left + taps % columns * right


class BoxMaxima(Op):
    """x (N, C, *spatial) → (maxima, winners), both (N, C, *output), by a kernel that takes these arguments.

    A winner is the flat index in the spatial axes of the first maximum of its box (NaN wins).
    """

    __slots__ = ("kernel_name", "arguments", "source")
    outputs = 2

    def __init__(self, kernel_name, *arguments):
        self.kernel_name, self.arguments = kernel_name, arguments

    def forward(self, x):
        self.source = x.shape
        y, self.aux = kernel(self.kernel_name, x)(x, *self.arguments)
        return y, self.aux

    def vjp(self, g):
        n, c = self.source[:2]
        winners = self.aux.reshape(n, c, 1, math.prod(self.aux.shape[2:]))
        flat = Unpool(winners, (n, c, 1, math.prod(self.source[2:])))(reshape(g[0], winners.shape))
        return reshape(flat, self.source)


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


def max_pool1d(
    input: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of input (N, C, L) or (C, L); arguments and errors as in `max_pool2d`.

    >>> F.max_pool1d(minipar.tensor([[1.0, 4.0, 3.0, 2.0]]), 2, return_indices=True)
    (tensor([[4., 3.]]), tensor([[1, 2]]))
    """
    window, step, frame, spread = pool_geometry("max_pool1d", 1, input, kernel_size, stride, padding, dilation)
    geometry = (1, *window), (1, *step), (0, *frame), (1, *spread), bool(ceil_mode)
    if not return_indices and window[0] <= MANY_TAPS:
        return batched(
            "max_pool1d", 1, input, lambda x: without_unit_axis(MaxPool2dAlone(*geometry)(with_unit_axis(x)))
        )

    def pooled(x: Any) -> tuple[Any, ...]:
        return tuple([without_unit_axis(y) for y in MaxPool2d(*geometry)(with_unit_axis(x))])

    return handed_out(batched("max_pool1d", 1, input, pooled), return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of images (N, C, H, W) or (C, H, W); `stride` is the kernel size unless given.

    Padding never wins; `ceil_mode` keeps a last window that hangs over the edge. With `return_indices` also each
    winner's flat index h·W + w (int64); at ties the first of the window wins, and has the whole gradient.
    RuntimeError for a wrong rank, size, padding (at most half the kernel size) or an integer dtype.

    >>> F.max_pool2d(minipar.tensor([[[1.0, 4.0], [3.0, 2.0]]]), 2, return_indices=True)
    (tensor([[[4.]]]), tensor([[[1]]]))
    """
    geometry = pool_geometry("max_pool2d", 2, input, kernel_size, stride, padding, dilation)
    if not return_indices and math.prod(geometry[0]) <= MANY_TAPS:
        window, step, frame, spread = geometry
        return batched("max_pool2d", 2, input, MaxPool2dAlone(window, step, frame, spread, bool(ceil_mode)))
    return handed_out(batched("max_pool2d", 2, input, MaxPool2d(*geometry, bool(ceil_mode))), return_indices)


def max_pool3d(
    input: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each box of volumes (N, C, D, H, W) or (C, D, H, W); arguments and errors as in `max_pool2d`.

    >>> F.max_pool3d(minipar.arange(8.0).reshape(1, 2, 2, 2), 2, return_indices=True)
    (tensor([[[[7.]]]]), tensor([[[[7]]]]))
    """
    geometry = pool_geometry("max_pool3d", 3, input, kernel_size, stride, padding, dilation)
    pooled = batched("max_pool3d", 3, input, BoxMaxima("max_pool3d_forward", *geometry, bool(ceil_mode)))
    return handed_out(pooled, return_indices)


def check_not_empty(name: str, input: Any) -> None:
    """RuntimeError if any axis but the batch is empty."""
    if 0 in input.shape[1:]:
        raise RuntimeError(f"{name}: only the batch axis of input may be empty, got shape {tuple(input.shape)}")


def pool_geometry(
    name: str, dims: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> tuple[tuple[int, ...], ...]:
    """(kernel, stride, padding, dilation), each with one entry an axis, checked as PyTorch does."""
    check_dtypes(name, input)
    check_not_empty(name, input)
    window = sizes(kernel_size, dims, "kernel_size", 1)
    step = window if stride is None or stride == () else sizes(stride, dims, "stride", 1)
    frame, spread = sizes(padding, dims, "padding", 0), sizes(dilation, dims, "dilation", 1)
    span = tuple([d * (k - 1) + 1 for d, k in zip(spread, window)])
    if any(p > s // 2 for p, s in zip(frame, span)):
        raise RuntimeError(f"{name}: padding must be at most half of the window's span {span}, got {frame}")
    return window, step, frame, spread


def handed_out(pooled: tuple[Any, Any], return_indices: bool) -> Any:
    """Winners that are handed out are a copy: the gradient needs them unchanged."""
    y, winners = pooled
    return (y, Copy()(winners)) if return_indices else y

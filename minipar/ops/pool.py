"""Max-pooling: the largest element of each window, over one, two or three axes.

Once the winners are known, max-pooling is linear: it picks elements, and its gradient puts them back. These two, `Pick`
and `Unpool`, are each the transpose (and the gradient) of the other.

The kernels are two-dimensional. One axis is two with a height of 1; and the maximum of a box is the largest of the
maxima of its slices.
"""

from __future__ import annotations

import math
from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.dispatch import kernel
from ..tape import Value
from .op import Op, array_of, check_dtypes
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

    def pooled(x: Any) -> tuple[Any, Any]:
        winners = _winners_of_boxes(array_of(x), geometry, bool(ceil_mode))
        return pick(x, winners), tape.new_value(winners)

    return handed_out(batched("max_pool3d", 3, input, pooled), return_indices)


def pick(x: Any, winners: Any) -> Any:
    """The elements of x (N, C, *spatial) at the flat spatial indices in the array winners (N, C, *output)."""
    n, c = x.shape[:2]
    plane, places = math.prod(x.shape[2:]), math.prod(winners.shape[2:])
    picked = Pick(winners.reshape(n, c, 1, places))(reshape(x, (n, c, 1, plane)))
    return reshape(picked, winners.shape)


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


def _winners_of_boxes(x: Any, geometry: tuple[tuple[int, ...], ...], ceil_mode: bool) -> Any:
    """The winners (N, C, OD, OH, OW) of an array (N, C, D, H, W): of each slice's windows first, then of the slices."""
    forward = kernel("max_pool2d_forward", x)
    n, c, depth, height, width = x.shape
    maxima, in_slice = forward(x.reshape(n, c * depth, height, width), *[size[1:] for size in geometry], ceil_mode)
    rows, columns = maxima.shape[2:]
    places = rows * columns
    along_depth = [(size[0], alone) for size, alone in zip(geometry, (1, 1, 0, 1))]
    _, of_slices = forward(maxima.reshape(n, c, depth, places), *along_depth, ceil_mode)
    output = of_slices.shape[2]
    of_slices = of_slices.reshape(n, c, output * places)
    winners = namespace(x).take_along_axis(in_slice.reshape(n, c, depth * places), of_slices, 2)
    winners += of_slices // places * (height * width)
    return winners.reshape(n, c, output, rows, columns)


def handed_out(pooled: tuple[Any, Any], return_indices: bool) -> Any:
    """Winners that are handed out are a copy: the gradient needs them unchanged."""
    y, winners = pooled
    return (y, Copy()(winners)) if return_indices else y

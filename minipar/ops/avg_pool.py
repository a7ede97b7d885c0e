"""Mean-pooling, and pooling by a power mean, over one, two or three axes.

The mean is linear: `AvgPool2d` and `SpreadMean2d` are each the transpose (and the gradient) of the other. The kernels
are two-dimensional. One axis is two with a height of 1; and the mean of a box is the mean of the means of its slices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend.dispatch import kernel
from ..tape import Value
from .activation_rectified import relu
from .magnitude import abs_, sign
from .op import Op
from .pool import pool_geometry
from .shape import reshape
from .windows import Sizes, batched, sizes, with_unit_axis, without_unit_axis


class AvgPool2d(Op):
    """x (N, C, H, W) → the mean of each window (N, C, OH, OW)"""

    __slots__ = ("geometry", "source")
    kernels_only = True

    def __init__(self, *geometry):
        self.geometry = geometry

    def forward(self, x):
        self.source = x.shape
        return kernel("avg_pool2d_forward", x)(x, *self.geometry)

    def vjp(self, g):
        if isinstance(g, Value):
            return SpreadMean2d(self.geometry, self.source)(g)
        return kernel("avg_pool2d_backward", g)(g, self.source, *self.geometry)


class SpreadMean2d(Op):
    """Each value shared out evenly over its window: the transpose of AvgPool2d."""

    __slots__ = ("geometry", "shape")
    kernels_only = True

    def __init__(self, geometry, shape):
        self.geometry, self.shape = geometry, shape

    def forward(self, g):
        return kernel("avg_pool2d_backward", g)(g, self.shape, *self.geometry)

    def vjp(self, g):
        return AvgPool2d(*self.geometry)(g)


def avg_pool1d(
    input: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of input (N, C, L) or (C, L); arguments and errors as in `avg_pool2d`.

    >>> F.avg_pool1d(minipar.tensor([[1.0, 4.0, 3.0, 2.0]]), 2)
    tensor([[2.5, 2.5]])
    """
    window, step, frame, _ = pool_geometry("avg_pool1d", 1, input, kernel_size, stride, padding)
    pool = AvgPool2d((1, *window), (1, *step), (0, *frame), bool(ceil_mode), bool(count_include_pad), None)
    return batched("avg_pool1d", 1, input, lambda x: without_unit_axis(pool(with_unit_axis(x))))


def avg_pool2d(
    input: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window of images (N, C, H, W) or (C, H, W); `stride` is the kernel size unless given.

    Padding counts as zeros unless `count_include_pad` is False; what hangs over the padded image (`ceil_mode`) never
    counts; `divisor_override` replaces the count. RuntimeError for a wrong rank, size, padding (at most half the
    kernel size), divisor 0, or an integer dtype.

    >>> F.avg_pool2d(minipar.tensor([[[1.0, 4.0], [3.0, 2.0]]]), 2)
    tensor([[[2.5]]])
    """
    _check_divisor("avg_pool2d", divisor_override)
    window, step, frame, _ = pool_geometry("avg_pool2d", 2, input, kernel_size, stride, padding)
    pool = AvgPool2d(window, step, frame, bool(ceil_mode), bool(count_include_pad), divisor_override)
    return batched("avg_pool2d", 2, input, pool)


def avg_pool3d(
    input: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each box of volumes (N, C, D, H, W) or (C, D, H, W); arguments and errors as in `avg_pool2d`.

    >>> F.avg_pool3d(minipar.arange(8.0).reshape(1, 2, 2, 2), 2)
    tensor([[[[3.5]]]])
    """
    _check_divisor("avg_pool3d", divisor_override)
    geometry = pool_geometry("avg_pool3d", 3, input, kernel_size, stride, padding)[:3]
    flags = bool(ceil_mode), bool(count_include_pad)
    in_slice = AvgPool2d(*[size[1:] for size in geometry], *flags, None if divisor_override is None else 1)
    along_depth = AvgPool2d(*[(size[0], alone) for size, alone in zip(geometry, (1, 1, 0))], *flags, divisor_override)

    def pooled(x: Any) -> Any:
        n, c, depth, height, width = x.shape
        means = in_slice(reshape(x, (n, c * depth, height, width)))
        rows, columns = means.shape[2:]
        y = along_depth(reshape(means, (n, c, depth, rows * columns)))
        return reshape(y, (n, c, y.shape[2], rows, columns))

    return batched("avg_pool3d", 3, input, pooled)


def lp_pool1d(input: Any, norm_type: float, kernel_size: Sizes, stride: Any = None, ceil_mode: bool = False) -> Any:
    """(Σ xᵖ)^(1/p), p = norm_type, of each window of input (N, C, L) or (C, L), as in `lp_pool2d`.

    >>> F.lp_pool1d(minipar.tensor([[3.0, 4.0]]), 2, 2)
    tensor([[5.]])
    """
    return _lp_pool(avg_pool1d, 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Any, norm_type: float, kernel_size: Sizes, stride: Any = None, ceil_mode: bool = False) -> Any:
    """(Σ xᵖ)^(1/p), p = norm_type, of each window of images (N, C, H, W) or (C, H, W).

    A window that hangs over the edge (`ceil_mode`) counts as a whole one of its elements' mean. A negative sum (an odd
    p of negative numbers) has no root: NaN, but for p = 1. Errors as in `avg_pool2d`.

    >>> F.lp_pool2d(minipar.tensor([[[1.0, 1.0], [1.0, 1.0]]]), 2, 2)
    tensor([[[2.]]])
    """
    return _lp_pool(avg_pool2d, 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Any, norm_type: float, kernel_size: Sizes, stride: Any = None, ceil_mode: bool = False) -> Any:
    """(Σ xᵖ)^(1/p), p = norm_type, of each box of volumes (N, C, D, H, W) or (C, D, H, W), as in `lp_pool2d`.

    >>> F.lp_pool3d(minipar.ones(1, 2, 2, 2), 3, 2)
    tensor([[[[2.]]]])
    """
    return _lp_pool(avg_pool3d, 3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(
    mean: Callable[..., Any], dims: int, x: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Any:
    window = sizes(kernel_size, dims, "kernel_size", 1)
    means = mean(x**norm_type, window, stride, 0, ceil_mode)
    # sign · relu(|x|) is x, but it passes no gradient at 0, where the root's is infinite (as in PyTorch).
    return (sign(means) * relu(abs_(means)) * math.prod(window)) ** (1.0 / norm_type)


def _check_divisor(name: str, divisor_override: int | None) -> None:
    if divisor_override == 0:
        raise RuntimeError(f"{name}: divisor_override must not be 0")

"""Adaptive pooling: as many windows as outputs are wanted, of sizes that follow from the input's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend.dispatch import kernel
from ..tape import Value
from .op import Op, check_dtypes
from .pool import BoxMaxima, check_not_empty, handed_out
from .shape import reshape
from .windows import batched, with_unit_axis, without_unit_axis

OutputSize = int | None | Sequence[int | None]


class AdaptiveMean2d(Op):
    """x (N, C, H, W) → the mean of each window (N, C, *output)"""

    __slots__ = ("output", "source")
    kernels_only = True

    def __init__(self, output):
        self.output = output

    def forward(self, x):
        self.source = x.shape
        return kernel("adaptive_avg_pool2d_forward", x)(x, self.output)

    def vjp(self, g):
        if isinstance(g, Value):
            return AdaptiveSpread2d(self.source)(g)
        return kernel("adaptive_avg_pool2d_backward", g)(g, self.source)


class AdaptiveSpread2d(Op):
    """Each value shared out evenly over its window: the transpose of AdaptiveMean2d."""

    __slots__ = ("shape", "output")
    kernels_only = True

    def __init__(self, shape):
        self.shape = shape

    def forward(self, g):
        self.output = g.shape[2:]
        return kernel("adaptive_avg_pool2d_backward", g)(g, self.shape)

    def vjp(self, g):
        return AdaptiveMean2d(self.output)(g)


def adaptive_avg_pool1d(input: Any, output_size: OutputSize) -> Any:
    """The means of `output_size` windows spread evenly over input (N, C, L) or (C, L); see `adaptive_avg_pool2d`.

    >>> F.adaptive_avg_pool1d(minipar.tensor([[1.0, 2.0, 6.0]]), 2)
    tensor([[1.5, 4. ]])
    """
    return _means("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: OutputSize) -> Any:
    """The means of OH × OW windows spread evenly over images (N, C, H, W) or (C, H, W): (N, C, OH, OW).

    Window i of H rows is [⌊i·H/OH⌋, ⌈(i + 1)·H/OH⌉). `output_size` is (OH, OW) or one int for both; None keeps the
    input's size. RuntimeError for a wrong rank, a negative size, an empty image or an integer dtype.

    >>> F.adaptive_avg_pool2d(minipar.arange(12.0).reshape(1, 3, 4), (1, 2))
    tensor([[[4.5, 6.5]]])
    """
    return _means("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: OutputSize) -> Any:
    """The means of windows spread evenly over volumes (N, C, D, H, W) or (C, D, H, W); see `adaptive_avg_pool2d`.

    >>> F.adaptive_avg_pool3d(minipar.ones(1, 2, 4, 5, 6), (1, 2, None)).shape
    (1, 2, 1, 2, 6)
    """
    return _means("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool1d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The maxima of `output_size` windows spread evenly over input (N, C, L) or (C, L); see `adaptive_max_pool2d`.

    >>> F.adaptive_max_pool1d(minipar.tensor([[1.0, 2.0, 6.0]]), 2, return_indices=True)
    (tensor([[2., 6.]]), tensor([[1, 2]]))
    """
    return _maxima("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The maxima of OH × OW windows spread evenly over images (N, C, H, W) or (C, H, W): (N, C, OH, OW).

    Windows, arguments and errors as in `adaptive_avg_pool2d`; with `return_indices` also each winner's flat index
    h·W + w (int64). At ties the first of the window wins, and has the whole gradient.

    >>> F.adaptive_max_pool2d(minipar.arange(12.0).reshape(1, 3, 4), (1, 2))
    tensor([[[ 9., 11.]]])
    """
    return _maxima("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The maxima of windows spread evenly over volumes (N, C, D, H, W) or (C, D, H, W); see `adaptive_max_pool2d`.

    >>> F.adaptive_max_pool3d(minipar.arange(8.0).reshape(1, 2, 2, 2), 1)
    tensor([[[[7.]]]])
    """
    return _maxima("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _means(name: str, dims: int, input: Any, output_size: OutputSize) -> Any:
    output = _output(name, dims, input, output_size)

    def pooled(x: Any) -> Any:
        if dims == 1:
            return without_unit_axis(AdaptiveMean2d((1, *output))(with_unit_axis(x)))
        if dims == 2:
            return AdaptiveMean2d(output)(x)
        n, c, depth, height, width = x.shape  # the mean of a box is the mean of the means of its slices
        high, wide = output[1:]
        slices = AdaptiveMean2d((high, wide))(reshape(x, (n, c * depth, height, width)))
        y = AdaptiveMean2d((output[0], high * wide))(reshape(slices, (n, c, depth, high * wide)))
        return reshape(y, (n, c, *output))

    return batched(name, dims, input, pooled)


def _maxima(name: str, dims: int, input: Any, output_size: OutputSize, return_indices: bool) -> Any:
    output = _output(name, dims, input, output_size)
    return handed_out(batched(name, dims, input, BoxMaxima("adaptive_max_pool", output)), return_indices)


def _output(name: str, dims: int, input: Any, output_size: OutputSize) -> tuple[int, ...]:
    """The wanted size of each spatial axis."""
    check_dtypes(name, input)
    check_not_empty(name, input)
    wanted = (output_size,) * dims if output_size is None or isinstance(output_size, int) else tuple(output_size)
    wanted = wanted * dims if len(wanted) == 1 else wanted
    if len(wanted) != dims or not all(n is None or (isinstance(n, int) and n >= 0) for n in wanted):
        raise RuntimeError(
            f"{name}: output_size must be an int of at least 0 or None, or {dims} of them, got {output_size!r}"
        )
    return tuple([there if n is None else n for n, there in zip(wanted, input.shape[-dims:])])

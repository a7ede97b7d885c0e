"""Adaptive pooling: as many windows as outputs are wanted, of sizes that follow from the input's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import tape
from ..backend.dispatch import kernel
from .op import array_of, check_dtypes
from .pool import check_not_empty, handed_out, pick
from .reduce import mean
from .resample import Resample, Taps
from .shape import reshape
from .windows import batched

OutputSize = int | None | Sequence[int | None]


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
        for axis, size in enumerate(output, 2):
            x = _mean_along(x, axis, size)
        return x

    return batched(name, dims, input, pooled)


def _mean_along(x: Any, axis: int, output: int) -> Any:
    size = x.shape[axis]
    if size == output:
        return x
    if output and size % output == 0:  # windows side by side
        return mean(reshape(x, (*x.shape[:axis], output, size // output, *x.shape[axis + 1 :])), axis + 1)
    start, end = adaptive_windows(size, output)
    count = end - start
    to = np.repeat(np.arange(output), count)
    of = np.arange(len(to)) - np.repeat(np.cumsum(count) - count - start, count)
    return Resample(Taps(to, of, 1 / count[to], output, size), axis)(x)


def adaptive_windows(size: int, output: int) -> tuple[np.ndarray, np.ndarray]:
    """(start, end) of each window: ⌊i·size/output⌋ and ⌈(i + 1)·size/output⌉."""
    i = np.arange(output)
    return i * size // max(output, 1), -(-(i + 1) * size // max(output, 1))


def _maxima(name: str, dims: int, input: Any, output_size: OutputSize, return_indices: bool) -> Any:
    output = _output(name, dims, input, output_size)

    def pooled(x: Any) -> tuple[Any, Any]:
        windows = [adaptive_windows(size, wanted) for size, wanted in zip(x.shape[2:], output)]
        winners = kernel("adaptive_max_winners", array_of(x))(array_of(x), windows)
        return pick(x, winners), tape.new_value(winners)

    return handed_out(batched(name, dims, input, pooled), return_indices)


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

"""Two-dimensional max and average pooling, tap by tap.

A window's taps are visited in row-major order; each tap is one strided slice of the input for *all* windows at once.
Positions outside the input never take part, so padding needs no copy of the input.

Shapes: x (N, C, H, W), y and g (N, C, OH, OW). ``kernel``, ``stride``, ``padding``, ``dilation`` are (h, w).
Raises ValueError, naming the sizes, where no window fits.
"""

from typing import Any

import numpy as np

from .namespace import accumulator_dtype, array_namespace
from .shapes import pool_output_size, tap_rectangles

Array = Any
Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]


def pool2d_output_size(
    x_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> Pair:
    """(OH, OW) of a pooling over (N, C, H, W)."""
    return (
        pool_output_size(x_shape[2], kernel[0], stride[0], padding[0], dilation[0], ceil_mode),
        pool_output_size(x_shape[3], kernel[1], stride[1], padding[1], dilation[1], ceil_mode),
    )


def max_pool2d_forward(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """(y, winners): the largest element of each window and its int64 flat index h·W + w in its input plane.

    As in PyTorch the first of equal elements wins, and a NaN wins over every number (the last NaN, if there are more).
    Raises ValueError if a dilated window has no tap inside the input.
    """
    xp = array_namespace(x)
    height, width = x.shape[2:]
    output = pool2d_output_size(x.shape, kernel, stride, padding, dilation, ceil_mode)
    y = xp.full((*x.shape[:2], *output), -xp.inf, x.dtype)
    first_row = first_tap_inside(height, output[0], stride[0], padding[0], dilation[0])
    first_column = first_tap_inside(width, output[1], stride[1], padding[1], dilation[1])
    winners = xp.empty(y.shape, xp.int64)
    winners[...] = xp.asarray(first_row[:, None] * width + first_column)
    indices = xp.arange(height * width).reshape(height, width)
    for _, where, source in tap_rectangles(x.shape[2:], output, kernel, stride, padding, dilation):
        candidate, best = x[:, :, *source], y[:, :, *where]
        better = (candidate > best) | (candidate != candidate)
        xp.copyto(best, candidate, where=better)
        xp.copyto(winners[:, :, *where], indices[source], where=better)
    return y, winners


def max_pool2d_backward(g: Array, winners: Array, x_shape: Shape4) -> Array:
    """dx (N, C, H, W): each output's gradient goes to its winner; the winner of several windows gets their sum."""
    xp = array_namespace(g)
    n, channels, height, width = x_shape
    dx = xp.zeros(n * channels * height * width, g.dtype)
    planes = xp.arange(n * channels).reshape(n, channels, 1, 1)
    xp.add.at(dx, (planes * (height * width) + winners).ravel(), g.ravel())
    return dx.reshape(x_shape)


def max_pool2d_taps(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """(y, taps) as max_pool2d_forward, but for the winners: each is a byte, its number i·kw + j in its window.

    Raises ValueError for windows of more than 256 taps.
    """
    xp = array_namespace(x)
    output = pool2d_output_size(x.shape, kernel, stride, padding, dilation, ceil_mode)
    check_taps(kernel, x.shape, output, stride, padding, dilation)
    y = xp.full((*x.shape[:2], *output), -xp.inf, x.dtype)
    taps = xp.full(y.shape, 255, xp.uint8)
    met = xp.zeros(output, bool)
    for (i, j), where, source in tap_rectangles(x.shape[2:], output, kernel, stride, padding, dilation):
        candidate, best = x[:, :, *source], y[:, :, *where]
        better = (candidate > best) | (candidate != candidate) | ~met[where]
        xp.copyto(best, candidate, where=better)
        xp.copyto(taps[:, :, *where], xp.uint8(i * kernel[1] + j), where=better)
        met[where] = True
    return y, taps


def max_pool2d_taps_backward(
    g: Array, taps: Array, x_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """dx (N, C, H, W): each output's gradient goes to the input under its winning tap."""
    xp = array_namespace(g)
    dx = xp.zeros(x_shape, g.dtype)
    for (i, j), where, source in tap_rectangles(x_shape[2:], g.shape[2:], kernel, stride, padding, dilation):
        dx[:, :, *source] += xp.where(taps[:, :, *where] == i * kernel[1] + j, g[:, :, *where], g.dtype.type(0))
    return dx


def check_taps(kernel: Pair, x_shape: Shape4, output: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """ValueError unless a tap's number is a byte and every window has one inside the input."""
    if kernel[0] * kernel[1] > 256:
        raise ValueError(f"a window of {kernel[0]} x {kernel[1]} taps has more than 256 of them")
    for i in (0, 1):
        first_tap_inside(x_shape[2 + i], output[i], stride[i], padding[i], dilation[i])


def avg_pool2d_forward(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """y (N, C, OH, OW): each window's sum over ``divisor_override``, or over its elements with or without padding."""
    xp = array_namespace(x)
    output = pool2d_output_size(x.shape, kernel, stride, padding, (1, 1), ceil_mode)
    total = xp.zeros((*x.shape[:2], *output), accumulator_dtype(x.dtype))
    for _, where, source in tap_rectangles(x.shape[2:], output, kernel, stride, padding, (1, 1)):
        total[:, :, *where] += x[:, :, *source]
    divisor = _divisor(x.shape[2:], output, kernel, stride, padding, count_include_pad, divisor_override)
    total /= xp.asarray(divisor, dtype=total.dtype)
    return total.astype(x.dtype, copy=False)


def avg_pool2d_backward(
    g: Array,
    x_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """dx (N, C, H, W): each window spreads its gradient, over the same divisor, evenly on the elements it covered."""
    xp = array_namespace(g)
    output = pool2d_output_size(x_shape, kernel, stride, padding, (1, 1), ceil_mode)
    dx = xp.zeros(x_shape, accumulator_dtype(g.dtype))
    divisor = _divisor(x_shape[2:], output, kernel, stride, padding, count_include_pad, divisor_override)
    share = g / xp.asarray(divisor, dtype=dx.dtype)
    for _, where, source in tap_rectangles(x_shape[2:], output, kernel, stride, padding, (1, 1)):
        dx[:, :, *source] += share[:, :, *where]
    return dx.astype(g.dtype, copy=False)


def first_tap_inside(size: int, output: int, stride: int, padding: int, dilation: int) -> np.ndarray:
    """int64 (output,): the input position of each window's first tap that is not in the left padding."""
    start = np.arange(output) * stride - padding
    first = start - np.minimum(start, 0) // dilation * dilation
    if first.max() >= size:
        raise ValueError(
            f"a window with dilation {dilation} and padding {padding} has no tap inside the input's {size}"
        )
    return first


def _divisor(
    size: Pair,
    output: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """(OH, OW), or 0-d: what each window's sum is divided by."""
    if divisor_override is not None:
        if divisor_override == 0:
            raise ValueError("divisor_override must not be zero")
        return np.asarray(divisor_override)
    rows, columns = (
        axis_windows(size[axis], output[axis], kernel[axis], stride[axis], padding[axis], count_include_pad)[2]
        for axis in (0, 1)
    )
    return rows[:, None] * columns


def axis_windows(
    size: int, output: int, kernel: int, stride: int, padding: int, count_include_pad: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, end, count), each int64 (output,), of the windows along one axis, as far as they lie in the input.

    What hangs over the padded input never counts.
    """
    margin = padding if count_include_pad else 0
    start = np.arange(output) * stride - padding
    end = start + kernel
    count = np.minimum(end, size + margin) - np.maximum(start, -margin)
    return np.maximum(start, 0), np.minimum(end, size), count

"""Unfolding images into the columns of their windows ("im2col"), and adding columns back ("col2im").

Each tap of the window is one strided slice of the images for all windows at once. Shapes: x (N, C, H, W), columns
(N, C·kh·kw, OH·OW). ``kernel``, ``stride``, ``padding``, ``dilation`` are (h, w). ValueError where no window fits.
"""

from typing import Any

from .namespace import accumulator_dtype, array_namespace
from .shapes import conv_output_size, tap_rectangles

Array = Any
Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]


def unfold2d(x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """Columns: element (c, i, j) of window l is x[c] at that window's row i and column j, zero outside."""
    n, channels, *size = x.shape
    output = _windows(size, kernel, stride, padding, dilation)
    columns = array_namespace(x).zeros((n, channels, *kernel, *output), x.dtype)
    for (i, j), where, source in tap_rectangles(size, output, kernel, stride, padding, dilation):
        columns[:, :, i, j, *where] = x[:, :, *source]
    return columns.reshape(n, channels * kernel[0] * kernel[1], output[0] * output[1])


def fold2d(columns: Array, x_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """x (N, C, H, W): every column's elements added where unfold2d had read them; its transpose, not its inverse."""
    n, channels, *size = x_shape
    output = _windows(size, kernel, stride, padding, dilation)
    columns = columns.reshape(n, channels, *kernel, *output)
    x = array_namespace(columns).zeros(x_shape, accumulator_dtype(columns.dtype))
    for (i, j), where, source in tap_rectangles(size, output, kernel, stride, padding, dilation):
        x[:, :, *source] += columns[:, :, i, j, *where]
    return x.astype(columns.dtype, copy=False)


def _windows(size: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    rows, columns = (conv_output_size(*axis) for axis in zip(size, kernel, stride, padding, dilation))
    return rows, columns

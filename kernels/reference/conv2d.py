"""Two-dimensional convolution (cross-correlation, as in every deep-learning library) and its two gradients.

Each of the three is a matrix product with the *windows* of the input: the (C·kh·kw) x (OH·OW) matrix whose columns
are the patches under the kernel ("im2col"; Chellapilla, Puri & Simard 2006). That matrix is kh·kw times as large as
the input, so it is never built whole: a tile of a few images is unfolded into a buffer that stays in the cache, used
at once, and overwritten by the next tile.

Shapes: x (N, C, H, W), w (O, C/groups, kh, kw), bias (O,), g (N, O, OH, OW). ``stride``, ``padding`` and ``dilation``
are (height, width). float16 is added up in float32. Raises ValueError, naming the sizes, where shapes do not fit.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .namespace import accumulator_dtype, array_namespace
from .shapes import conv_output_size, window_span

Array = Any
Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]

# A tile of unfolded windows, its share of the input and of the output fit together in a 1-2 MiB L2 cache.
TILE_BYTES = 1 << 20


def conv2d_forward(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> Array:
    """y (N, O, OH, OW): y[n, o] = bias[o] + sum over c, i, j of w[o, c, i, j] x[n, c, i-th row, j-th column].

    With ``relu``, 0 wherever that is below 0.
    """
    xp = array_namespace(x)
    output = _output_size(x.shape, w.shape, stride, padding, dilation, groups)
    y = xp.empty((len(x), len(w), *output), x.dtype)
    matrix = _weight_matrix(w, groups)
    for images, windows in _unfolded_tiles(x, w.shape[2:], output, stride, padding, dilation, groups):
        tile = y[images]
        xp.matmul(matrix, windows, out=_grouped(tile, groups))
        if bias is not None:
            tile += bias[:, None, None]
    return xp.maximum(y, 0, out=y) if relu else y


def conv2d_grad_weight(
    g: Array,
    x: Array,
    w_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    gate: Array | None = None,
    with_bias: bool = False,
    out: Array | None = None,
    bias_out: Array | None = None,
) -> Any:
    """dw (O, C/groups, kh, kw): each tap's correlation of the output gradient with the inputs it has seen.

    ``with_bias``: (dw, db), with db (O,) the output gradient's sums. They are written into ``out`` and ``bias_out``
    where those are given. Where ``gate``, an array like g, is at or below 0, g counts as 0: a ReLU with output gate.
    """
    xp = array_namespace(x)
    g = gated(g, gate)
    output = _output_size(x.shape, w_shape, stride, padding, dilation, groups)
    _check_gradient(g, (len(x), w_shape[0], *output))
    rows, columns = w_shape[0] // groups, w_shape[1] * w_shape[2] * w_shape[3]
    dw = xp.zeros((groups, rows, columns), accumulator_dtype(x.dtype))
    for images, windows in _unfolded_tiles(x, w_shape[2:], output, stride, padding, dilation, groups):
        gradient = _grouped(xp.ascontiguousarray(g[images], dtype=dw.dtype), groups)
        dw += xp.matmul(gradient, windows.swapaxes(2, 3)).sum(axis=0)
    dw = put_into(out, dw.reshape(w_shape).astype(x.dtype, copy=False))
    return (dw, put_into(bias_out, bias_gradient(g))) if with_bias else dw


def conv2d_grad_input(
    g: Array,
    w: Array,
    x_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    gate: Array | None = None,
) -> Array:
    """dx (N, C, H, W): every window's gradient, added back where the window was read ("col2im"); gated as above."""
    xp = array_namespace(g)
    g = gated(g, gate)
    n, channels, height, width = x_shape
    kernel, output = w.shape[2:], _output_size(x_shape, w.shape, stride, padding, dilation, groups)
    _check_gradient(g, (n, len(w), *output))
    matrix = _weight_matrix(w, groups).swapaxes(1, 2)
    tile = _images_per_tile(n, channels, kernel, output, matrix.dtype)
    windows = xp.empty((tile, channels, *kernel, *output), matrix.dtype)
    frame = xp.empty((tile, channels, *_framed(x_shape, padding)), matrix.dtype)
    dx = xp.empty(x_shape, g.dtype)
    for images in _tiles(n, tile):
        count = images.stop - images.start
        gradient = xp.ascontiguousarray(g[images], dtype=matrix.dtype)
        xp.matmul(matrix, _grouped(gradient, groups), out=_as_matrices(windows[:count], groups))
        frame[...] = 0
        for i in range(kernel[0]):
            rows = _strided(i * dilation[0], stride[0], output[0])
            for j in range(kernel[1]):
                columns = _strided(j * dilation[1], stride[1], output[1])
                frame[:count, :, rows, columns] += windows[:count, :, i, j]
        dx[images] = frame[:count, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width]
    return dx


def gated(g: Array, gate: Array | None) -> Array:
    """g, with 0 where ``gate`` is at or below 0: the gradient of a ReLU whose output is ``gate``."""
    if gate is None:
        return g
    if gate.shape != g.shape:
        raise ValueError(f"the gate must have the output gradient's shape {g.shape}, got {gate.shape}")
    xp = array_namespace(g)
    return xp.where(gate <= 0, g.dtype.type(0), g)


def bias_gradient(g: Array) -> Array:
    """Σ of each output channel's gradients (O,): of float16 in float32, and rounded once."""
    return g.sum((0, 2, 3), dtype=accumulator_dtype(g.dtype)).astype(g.dtype, copy=False)


def put_into(out: Array | None, result: Array) -> Array:
    """The result, in ``out`` if that is given."""
    if out is None:
        return result
    out[...] = result
    return out


def _unfolded_tiles(
    x: Array, kernel: Pair, output: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Iterator[tuple[slice, Array]]:
    """(images, their windows (images, groups, C/groups·kh·kw, OH·OW)); the buffer is overwritten by the next tile."""
    xp = array_namespace(x)
    (n, channels, height, width), dtype = x.shape, accumulator_dtype(x.dtype)
    tile = _images_per_tile(n, channels, kernel, output, dtype)
    frame = xp.zeros((tile, channels, *_framed(x.shape, padding)), dtype)
    inside = frame[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width]
    span = (window_span(kernel[0], dilation[0]), window_span(kernel[1], dilation[1]))
    sliding = xp.lib.stride_tricks.sliding_window_view(frame, span, axis=(2, 3))
    taps = sliding[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]].transpose(0, 1, 4, 5, 2, 3)
    windows = xp.empty(taps.shape, dtype)
    for images in _tiles(n, tile):
        count = images.stop - images.start
        inside[:count] = x[images]
        windows[:count] = taps[:count]
        yield images, _as_matrices(windows[:count], groups)


def _images_per_tile(n: int, channels: int, kernel: Pair, output: Pair, dtype: np.dtype) -> int:
    image_bytes = channels * kernel[0] * kernel[1] * output[0] * output[1] * dtype.itemsize
    return max(1, min(n, TILE_BYTES // max(1, image_bytes)))


def _tiles(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _strided(start: int, step: int, count: int) -> slice:
    return slice(start, start + (count - 1) * step + 1, step)


def _framed(x_shape: Shape4, padding: Pair) -> Pair:
    return x_shape[2] + 2 * padding[0], x_shape[3] + 2 * padding[1]


def _weight_matrix(w: Array, groups: int) -> Array:
    """w as (groups, O/groups, C/groups·kh·kw), contiguous: BLAS takes no other, and NumPy's own loop is slow."""
    xp = array_namespace(w)
    rows, columns = len(w) // groups, w.shape[1] * w.shape[2] * w.shape[3]
    return xp.ascontiguousarray(w, dtype=accumulator_dtype(w.dtype)).reshape(groups, rows, columns)


def _as_matrices(windows: Array, groups: int) -> Array:
    """A view of windows (n, C, kh, kw, OH, OW) as (n, groups, C/groups·kh·kw, OH·OW)."""
    n, channels, kh, kw, oh, ow = windows.shape
    return windows.reshape(n, groups, channels // groups * kh * kw, oh * ow)


def _grouped(y: Array, groups: int) -> Array:
    """A view of contiguous y (n, O, OH, OW) as (n, groups, O/groups, OH·OW)."""
    n, channels, oh, ow = y.shape
    return y.reshape(n, groups, channels // groups, oh * ow)


def _output_size(x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Pair:
    if groups < 1 or x_shape[1] % groups or w_shape[0] % groups:
        raise ValueError(f"groups must divide the channels in ({x_shape[1]}) and out ({w_shape[0]}), got {groups}")
    if w_shape[1] * groups != x_shape[1]:
        raise ValueError(
            f"the weight {tuple(w_shape)} with groups={groups} wants {w_shape[1] * groups} input channels, "
            f"the input {tuple(x_shape)} has {x_shape[1]}"
        )
    return (
        conv_output_size(x_shape[2], w_shape[2], stride[0], padding[0], dilation[0]),
        conv_output_size(x_shape[3], w_shape[3], stride[1], padding[1], dilation[1]),
    )


def _check_gradient(g: Array, expected: tuple[int, ...]) -> None:
    if g.shape != expected:
        raise ValueError(f"the output gradient must have the output's shape {expected}, got {g.shape}")

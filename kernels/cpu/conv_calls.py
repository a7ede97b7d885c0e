"""From a convolution's sizes to the arguments of the kernels that serve it, once for each geometry."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..reference.conv2d import _output_size
from .conv_choice import direct_serves, weight_kernel
from .conv_plan import Axis, DirectCut, backward_axes, cut, direct_cut, forward_axis, line, tile_share
from .tile import TALL, tile_shape
from .vectors import LANE_BYTES

Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]

SCRATCH = 1 << 22  # bytes for the pieces of a weight's gradient, about
ITEMS = 8  # of work that a weight's gradient is cut into, about
FEW_PIXELS = 256  # so few outputs a channel are not worth packing the weights for
FEW, ENOUGH = 16, 64  # so few pixels of an image are not worth a sum of their own, so many of several images are


class Call(NamedTuple):
    """One correlation, as ``correlate`` takes it before, between and behind the arrays."""

    tiling: tuple[Any, ...]
    framed: bool
    strides: tuple[int, int, int]
    packed: bool
    rest: tuple[Any, ...]


class DirectCall(NamedTuple):
    """One correlation, as ``correlate_direct`` takes it between and behind the arrays.

    `merged`: the image was taken as one row of pixels.
    """

    cut: tuple[int, ...]
    strides: tuple[int, int, int]
    rest: tuple[Any, ...]
    merged: bool = False


class WeightCall(NamedTuple):
    """A weight's gradient: which kernel serves ("direct", "narrow", "pixels"), and its arguments around the arrays."""

    by: str
    tiling: tuple[tuple[int, ...], ...]
    parts: int
    scratch: Shape4
    rest: tuple[Any, ...]
    merged: bool


@lru_cache(4096)
def output_shape(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[Shape4, int]:
    """The output's shape, after all checks, and the multiply-adds."""
    height, width = _output_size(x_shape, w_shape, stride, padding, dilation, groups)
    shape = (x_shape[0], w_shape[0], height, width)
    return shape, int(np.prod(shape)) * int(np.prod(w_shape[1:]))


@lru_cache(4096)
def forward_calls(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int, itemsize: int,
    threads: int,
) -> list[Call | DirectCall]:  # fmt: skip
    n, _, *size = x_shape
    m, per_group, *window = w_shape
    output, _ = output_shape(x_shape, w_shape, stride, padding, dilation, groups)
    if _merges(window, stride, padding):
        size, output = [1, size[0] * size[1]], (*output[:2], 1, output[2] * output[3])
    rows, columns = (
        forward_axis(size[i], output[2 + i], window[i], stride[i], padding[i], dilation[i]) for i in (0, 1)
    )
    taps = window[0] * window[1]
    strides = (m // groups * per_group * taps, per_group * taps, taps)
    packed = n * output[2] * output[3] > FEW_PIXELS
    merged = _merges(window, stride, padding)
    return [_call(n, groups, per_group, m // groups, rows, columns, strides, packed, window, itemsize, threads, merged)]


@lru_cache(4096)
def pooled_call(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int, itemsize: int,
    threads: int,
) -> DirectCall | None:  # fmt: skip
    """As ``correlate_pooled`` takes it, which serves where ``correlate_direct`` would; else None."""
    (whole,) = forward_calls(x_shape, w_shape, stride, padding, dilation, groups, itemsize, threads)
    if type(whole) is not DirectCall:
        return None
    n, _, *size = x_shape
    m, per_group, *window = w_shape
    output, _ = output_shape(x_shape, w_shape, stride, padding, dilation, groups)
    (down, row_taps), (across, column_taps) = (
        line(forward_axis(size[i], output[2 + i], window[i], stride[i], padding[i], dilation[i]), i == 1)
        for i in (0, 1)
    )
    pooled = output[2] // 2, output[3] // 2
    panel = TALL.vectors * LANE_BYTES // itemsize
    pairs = (axis._replace(count=count, hop=2 * axis.hop) for axis, count in zip((down, across), pooled))
    cut_ = direct_cut(n, per_group, -(-m // groups // panel), panel, *pairs, itemsize, threads)
    if cut_.columns < pooled[1]:
        return None
    along = int(tile_share(2 * pooled[1]) < tile_share(2 * cut_.rows))
    rest = (n, groups, per_group, m // groups), tuple(down), tuple(across), pooled, tuple(window), row_taps, column_taps
    return DirectCall((*cut_[:4], along), whole.strides, rest)


@lru_cache(4096)
def input_calls(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int, itemsize: int,
    threads: int,
) -> tuple[list[Call | DirectCall], bool]:  # fmt: skip
    """A correlation for each pair of remainders by the strides; and whether they reach every input."""
    n, _, *size = x_shape
    m, per_group, *window = w_shape
    output, _ = output_shape(x_shape, w_shape, stride, padding, dilation, groups)
    if _merges(window, stride, padding):
        size, output = [1, size[0] * size[1]], (*output[:2], 1, output[2] * output[3])
    axes = [backward_axes(size[i], output[2 + i], window[i], stride[i], padding[i], dilation[i]) for i in (0, 1)]
    taps = window[0] * window[1]
    strides = (m // groups * per_group * taps, taps, per_group * taps)
    pairs = [(rows, columns) for rows in axes[0] for columns in axes[1]]
    seen = [pair for pair in pairs if None not in pair] if 0 not in output and 0 not in x_shape else []
    merged = _merges(window, stride, padding)
    calls = [
        _call(n, groups, m // groups, per_group, *pair, strides, True, window, itemsize, threads, merged)
        for pair in seen
    ]
    return calls, len(seen) == len(pairs)


def _call(
    n: int, groups: int, channels: int, m: int, rows: Axis, columns: Axis, strides: Any, packed: bool, window: Any,
    itemsize: int, threads: int, merged: bool,
) -> Call | DirectCall:  # fmt: skip
    """For `groups` groups of `channels` channels in and m out."""
    out = (rows.first, rows.spacing, rows.room, columns.first, columns.spacing, columns.room)
    if direct_serves(n, channels, m, rows, columns, LANE_BYTES // itemsize, packed):
        (down, row_taps), (across, column_taps) = line(rows, False), line(columns, True)
        panel = TALL.vectors * LANE_BYTES // itemsize
        pieces = direct_cut(n, channels, -(-m // panel), panel, down, across, itemsize, threads)
        rest = (n, groups, channels, m), tuple(down), tuple(across), out, tuple(window), row_taps, column_taps
        return DirectCall(tuple(pieces), strides, rest, merged)
    most, vectors = tile_shape(m)
    shape = (vectors, -(-m // -(-m // most)), vectors * (LANE_BYTES // itemsize))
    cut_ = cut(n, channels, m, rows.count, columns.count, rows.frame, columns.frame, itemsize, threads)
    framed = not (rows.inside and columns.inside)
    sizes = (n, groups, channels, rows.size, columns.size, m, rows.count, columns.count)
    rest = (
        sizes, out, (rows.step, columns.step), tuple(window), rows.phases, columns.phases, rows.places, columns.places,
        rows.taps, columns.taps,
    )  # fmt: skip
    return Call((shape, tuple(cut_)), framed, strides, packed, rest)


@lru_cache(4096)
def weight_call(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int, itemsize: int
) -> WeightCall:
    """The same for any number of threads, on which no bit may depend."""
    n, _, *size = x_shape
    m, per_group, *window = w_shape
    output, _ = output_shape(x_shape, w_shape, stride, padding, dilation, groups)
    if _merges(window, stride, padding):
        size, output = [1, size[0] * size[1]], (*output[:2], 1, output[2] * output[3])
    rows, columns = (
        forward_axis(size[i], output[2 + i], window[i], stride[i], padding[i], dilation[i]) for i in (0, 1)
    )
    k, lanes = per_group * window[0] * window[1], LANE_BYTES // itemsize
    o = m // groups
    by = weight_kernel(per_group, o, columns, lanes)
    (down, _), (across, _) = line(rows, False), line(columns, True)
    sizes, pixels = (n, groups, per_group, o), n * rows.count * columns.count
    merged = _merges(window, stride, padding)
    if by == "narrow":
        parts = min(ITEMS, max(1, per_group // lanes)) if n < ITEMS else 1
        pieces = _pieces(min(ITEMS // parts, pixels // ENOUGH))
        cut_ = _small_images(direct_cut(n, -(-per_group // parts), 1, o, down, across, itemsize, pieces))
        most, vectors = tile_shape(o)
        tiling, scratch = (cut_, (vectors, -(-o // -(-o // most)))), (pieces, groups, o, k + 1)
        return WeightCall(by, tiling, parts, scratch, (sizes, tuple(down), tuple(across)), merged)
    room = -(-o // lanes) * lanes
    pieces = _pieces(min(ITEMS, SCRATCH // (groups * (k + 1) * room * itemsize), pixels // ENOUGH))
    scratch = pieces, groups, k + 1, room
    if by == "direct":
        parts = max(1, min(ITEMS // pieces, k // TALL.rows))
        cut_ = _small_images(direct_cut(n, per_group, 1, room, down, across, itemsize, pieces))
        return WeightCall(by, (cut_,), parts, scratch, (sizes, tuple(down), tuple(across)), merged)
    parts = max(1, min(ITEMS // pieces, k // 56))
    cut_ = tuple(cut(n, per_group, 0, rows.count, columns.count, rows.frame, columns.frame, itemsize, pieces))
    rest = (
        (n, groups, per_group, *size, o, rows.count, columns.count), (rows.step, columns.step), rows.phases,
        columns.phases, rows.places, columns.places,
    )  # fmt: skip
    return WeightCall(by, (cut_,), parts, scratch, rest, merged)


def _pieces(most: int) -> int:
    """A power of two: batches are that too, mostly, and no image is cut to make the pieces even."""
    return 1 << max(1, most).bit_length() - 1


def _small_images(cut: DirectCut) -> tuple[int, ...]:
    """Images are summed one by one, but the smallest together."""
    alone = cut.rows * cut.columns > FEW
    return tuple(cut._replace(images=1 if alone else min(cut.images, -(-ENOUGH // cut.columns))))


@lru_cache(4096)
def covers(x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> bool:
    """Is the window the whole image, and every channel seen by all?"""
    return x_shape[1:] == w_shape[1:] and padding == (0, 0) and dilation == (1, 1) and groups == 1


def _merges(window: list[int], stride: Pair, padding: Pair) -> bool:
    """Is every output made of the one pixel under it? Then an image may be taken as one row of pixels."""
    return window == [1, 1] and stride == (1, 1) and padding == (0, 0)

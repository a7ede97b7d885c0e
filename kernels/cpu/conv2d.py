"""Two-dimensional convolution and its gradients, compiled: the same signatures as ``kernels.reference.conv2d``.

This is the door: shapes are checked here, by the reference's own rules, and turned into arguments for the kernels,
which check nothing. That is done once for each geometry. Where vectors of output channels are well filled the kernels
of ``conv_direct`` and ``conv_direct_weight`` serve, else those of ``conv_correlate`` and ``conv_weight``, whose vectors
lie along the pixels.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..reference.conv2d import _check_gradient, _output_size, put_into
from .compile import carray, check_real
from .conv_correlate import correlate
from .conv_direct import correlate_direct
from .conv_direct_weight import correlate_direct_weight
from .conv_plan import Axis, backward_axes, cut, direct_cut, forward_axis, line, tile_share
from .conv_weight import correlate_weight
from .threads import threads_for
from .tile import COLUMN_BIAS, ROW_BIAS, TALL, ZERO, tile_shape
from .vectors import LANE_BYTES

Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]

SCRATCH = 1 << 22  # bytes for the pieces of a weight's gradient, about
ITEMS = 8  # of work that a weight's gradient is cut into, about
FEW_PIXELS = 256  # so few outputs a channel are not worth packing the weights for
FILLED = 0.75  # of the lanes of vectors of output channels: fewer, and vectors of pixels are better
SHARE = 0.5  # of its time that the tile multiplies (see tile_share)
LEAST_RUN, LEAST_PIXELS = 3, 16  # rows of a tile, and pixels summed at a time, in a weight's gradient


def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> np.ndarray:
    """y (N, O, OH, OW) for x (N, C, H, W) and w (O, C/groups, kh, kw) of one dtype, float32 or float64.

    See the reference. TypeError for another dtype or two, ValueError where shapes do not fit.
    """
    _check_dtypes("x", x, w, bias)
    geometry = x.shape, w.shape, stride, padding, dilation, groups
    shape, work = _output(*geometry)
    y = np.empty(shape, x.dtype)
    if bias is not None and bias.shape != shape[1:2]:
        raise ValueError(f"the bias must have shape {shape[1:2]}, got {bias.shape}")
    if y.size:
        threads = threads_for(work, work)
        of = carray(x).reshape(-1)
        calls = _forward_calls(*geometry, x.itemsize, threads)
        _run(calls, threads, of, None, w, None if bias is None else carray(bias), relu, y)
    return y


def conv2d_grad_input(
    g: np.ndarray,
    w: np.ndarray,
    x_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    gate: np.ndarray | None = None,
) -> np.ndarray:
    """dx (N, C, H, W) for g (N, O, OH, OW) and w; where ``gate``, an array like g, is at or below 0, g counts as 0.

    See the reference. TypeError for another dtype or two, ValueError where shapes do not fit.
    """
    _check_dtypes("g", g, w, gate)
    geometry = tuple(x_shape), w.shape, stride, padding, dilation, groups
    shape, work = _output(*geometry)
    _check_gradients(g, shape, gate)
    threads = threads_for(work, work)
    calls, complete = _input_calls(*geometry, g.itemsize, threads)
    dx = np.empty(x_shape, g.dtype) if complete else np.zeros(x_shape, g.dtype)
    of = carray(g).reshape(-1)
    _run(calls, threads, of, gate, w, None, False, dx)
    return dx


def conv2d_grad_weight(
    g: np.ndarray,
    x: np.ndarray,
    w_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    gate: np.ndarray | None = None,
    with_bias: bool = False,
    out: np.ndarray | None = None,
    bias_out: np.ndarray | None = None,
) -> Any:
    """dw (O, C/groups, kh, kw) for g (N, O, OH, OW) and x (N, C, H, W); ``with_bias``: (dw, the sums db (O,) of g).

    Written into ``out`` and ``bias_out`` where those are given. ``gate`` as in conv2d_grad_input. See the
    reference. TypeError for another dtype or two, ValueError where shapes do not fit.
    """
    _check_dtypes("g", g, x, gate, out, bias_out)
    geometry = x.shape, tuple(w_shape), stride, padding, dilation, groups
    shape, work = _output(*geometry)
    _check_gradients(g, shape, gate)
    dw, db = _room(out, geometry[1], x.dtype), _room(bias_out, shape[1:2], x.dtype)
    serve, parts, scratch, cut_, arguments = _weight_call(*geometry, x.itemsize)
    of, source = carray(g).reshape(-1), carray(x).reshape(-1)
    through = of if gate is None else carray(gate).reshape(-1)
    serve(
        threads_for(work, scratch[0] * parts), cut_, parts, np.empty(scratch, x.dtype), source, of, through,
        gate is not None, dw.reshape(-1), db, *arguments,
    )  # fmt: skip
    dw, db = (dw if dw is out else put_into(out, dw)), (db if db is bias_out else put_into(bias_out, db))
    return (dw, db) if with_bias else dw


class _Call(NamedTuple):
    """One correlation, as ``correlate`` takes it before, between and behind the arrays."""

    tiling: tuple[Any, ...]
    framed: bool
    strides: tuple[int, int, int]
    packed: bool
    rest: tuple[Any, ...]


class _DirectCall(NamedTuple):
    """One correlation, as ``correlate_direct`` takes it between and behind the arrays."""

    cut: tuple[int, ...]
    strides: tuple[int, int, int]
    rest: tuple[Any, ...]


def _run(calls: Any, threads: int, of: Any, gate: Any, w: Any, bias: Any, relu: bool, y: Any) -> None:
    gated, biased = gate is not None, bias is not None
    through = carray(gate).reshape(-1) if gated else of
    weights, to, bias = carray(w).reshape(-1), y.reshape(-1), bias if biased else of
    for call in calls:
        if type(call) is _DirectCall:
            cut_, strides, rest = call
            start = COLUMN_BIAS if biased else ZERO
            correlate_direct(threads, cut_, of, through, gated, weights, strides, bias, start, relu, to, *rest)
            continue
        tiling, framed, strides, packed, rest = call
        start = ROW_BIAS if biased else ZERO
        correlate(
            threads, *tiling, of, through, gated, framed or gated, weights, strides, packed, bias, start, relu, to,
            *rest,
        )  # fmt: skip


@lru_cache(4096)
def _output(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[Shape4, int]:
    """The output's shape, after all checks, and the multiply-adds."""
    height, width = _output_size(x_shape, w_shape, stride, padding, dilation, groups)
    shape = (x_shape[0], w_shape[0], height, width)
    return shape, int(np.prod(shape)) * int(np.prod(w_shape[1:]))


@lru_cache(4096)
def _forward_calls(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int, itemsize: int,
    threads: int,
) -> list[_Call | _DirectCall]:  # fmt: skip
    n, _, *size = x_shape
    m, per_group, *window = w_shape
    output, _ = _output(x_shape, w_shape, stride, padding, dilation, groups)
    if window == [1, 1] and stride == (1, 1) and padding == (0, 0):  # an image is one row of pixels
        size, output = [1, size[0] * size[1]], (*output[:2], 1, output[2] * output[3])
    rows, columns = (
        forward_axis(size[i], output[2 + i], window[i], stride[i], padding[i], dilation[i]) for i in (0, 1)
    )
    taps = window[0] * window[1]
    strides = (m // groups * per_group * taps, per_group * taps, taps)
    packed = n * output[2] * output[3] > FEW_PIXELS
    return [_call(n, groups, per_group, m // groups, rows, columns, strides, packed, window, itemsize, threads)]


@lru_cache(4096)
def _input_calls(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int, itemsize: int,
    threads: int,
) -> tuple[list[_Call | _DirectCall], bool]:  # fmt: skip
    """A correlation for each pair of remainders by the strides; and whether they reach every input."""
    n, _, *size = x_shape
    m, per_group, *window = w_shape
    output, _ = _output(x_shape, w_shape, stride, padding, dilation, groups)
    if window == [1, 1] and stride == (1, 1) and padding == (0, 0):
        size, output = [1, size[0] * size[1]], (*output[:2], 1, output[2] * output[3])
    axes = [backward_axes(size[i], output[2 + i], window[i], stride[i], padding[i], dilation[i]) for i in (0, 1)]
    taps = window[0] * window[1]
    strides = (m // groups * per_group * taps, taps, per_group * taps)
    pairs = [(rows, columns) for rows in axes[0] for columns in axes[1]]
    seen = [pair for pair in pairs if None not in pair] if 0 not in output and 0 not in x_shape else []
    calls = [_call(n, groups, m // groups, per_group, *pair, strides, True, window, itemsize, threads) for pair in seen]
    return calls, len(seen) == len(pairs)


def _call(
    n: int, groups: int, channels: int, m: int, rows: Axis, columns: Axis, strides: Any, packed: bool, window: Any,
    itemsize: int, threads: int,
) -> _Call | _DirectCall:  # fmt: skip
    """For `groups` groups of `channels` channels in and m out."""
    out = (rows.first, rows.spacing, rows.room, columns.first, columns.spacing, columns.room)
    if _direct(n, m, rows.count, columns.count, itemsize):
        (down, row_taps), (across, column_taps) = line(rows, False), line(columns, True)
        panel = TALL.vectors * LANE_BYTES // itemsize
        pieces = direct_cut(n, channels, -(-m // panel), panel, down, across, itemsize, threads)
        rest = (n, groups, channels, m), tuple(down), tuple(across), out, tuple(window), row_taps, column_taps
        return _DirectCall(tuple(pieces), strides, rest)
    most, vectors = tile_shape(m)
    shape = (vectors, -(-m // -(-m // most)), vectors * (LANE_BYTES // itemsize))
    cut_ = cut(n, channels, m, rows.count, columns.count, rows.frame, columns.frame, itemsize, threads)
    framed = not (rows.inside and columns.inside)
    sizes = (n, groups, channels, rows.size, columns.size, m, rows.count, columns.count)
    rest = (
        sizes, out, (rows.step, columns.step), tuple(window), rows.phases, columns.phases, rows.places, columns.places,
        rows.taps, columns.taps,
    )  # fmt: skip
    return _Call((shape, tuple(cut_)), framed, strides, packed, rest)


@lru_cache(4096)
def _weight_call(
    x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int, itemsize: int
) -> tuple[Any, int, Shape4, tuple[int, ...], tuple[Any, ...]]:
    """(kernel, parts, shape of the scratch memory, cut, further arguments), whatever the number of threads is."""
    n, _, *size = x_shape
    m, per_group, *window = w_shape
    output, _ = _output(x_shape, w_shape, stride, padding, dilation, groups)
    if window == [1, 1] and stride == (1, 1) and padding == (0, 0):
        size, output = [1, size[0] * size[1]], (*output[:2], 1, output[2] * output[3])
    rows, columns = (
        forward_axis(size[i], output[2 + i], window[i], stride[i], padding[i], dilation[i]) for i in (0, 1)
    )
    k, lanes = per_group * window[0] * window[1], LANE_BYTES // itemsize
    room = -(-m // groups // lanes) * lanes
    pieces = max(1, min(ITEMS, SCRATCH // (groups * (k + 1) * room * itemsize)))
    scratch = pieces, groups, k + 1, room
    if _direct_weight(per_group, m // groups, rows, columns, itemsize):
        (down, _), (across, _) = line(rows, False), line(columns, True)
        parts = max(1, min(ITEMS // pieces, k // TALL.rows))
        cut_ = direct_cut(n, per_group, 1, room, down, across, itemsize, pieces)
        sizes = n, groups, per_group, m // groups
        return correlate_direct_weight, parts, scratch, tuple(cut_), (sizes, tuple(down), tuple(across))
    parts = max(1, min(ITEMS // pieces, k // 56))
    cut_ = cut(n, per_group, 0, rows.count, columns.count, rows.frame, columns.frame, itemsize, pieces)
    sizes = (n, groups, per_group, *size, m // groups, rows.count, columns.count)
    arguments = sizes, (rows.step, columns.step), rows.phases, columns.phases, rows.places, columns.places
    return correlate_weight, parts, scratch, tuple(cut_), arguments


def _direct(n: int, m: int, high: int, wide: int, itemsize: int) -> bool:
    """Does ``conv_direct`` serve: are its vectors of m channels and its rows of pixels filled, is packing worth it?"""
    lanes = LANE_BYTES // itemsize
    filled = m / (-(-m // lanes) * lanes)
    return filled >= FILLED and n * high * wide > FEW_PIXELS and max(map(tile_share, (n, high, wide))) >= SHARE


def _direct_weight(channels: int, m: int, rows: Axis, columns: Axis, itemsize: int) -> bool:
    lanes = LANE_BYTES // itemsize
    run = channels * len(columns.taps)
    return m / (-(-m // lanes) * lanes) >= FILLED and run >= LEAST_RUN and rows.count * columns.count >= LEAST_PIXELS


def _check_dtypes(name: str, array: np.ndarray, *others: np.ndarray | None) -> None:
    check_real(name, array)
    for other in others:
        if other is not None and other.dtype != array.dtype:
            raise TypeError(f"all operands must be {array.dtype} as {name} is, got {other.dtype}")


def _check_gradients(g: np.ndarray, shape: Shape4, gate: np.ndarray | None) -> None:
    _check_gradient(g, shape)
    if gate is not None and gate.shape != shape:
        raise ValueError(f"the gate must have the output's shape {shape}, got {gate.shape}")


def _room(out: np.ndarray | None, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """What a kernel may write into: `out`, if it is contiguous."""
    if out is not None and out.shape != shape:
        raise ValueError(f"the array to write into must have shape {shape}, got {out.shape}")
    return out if out is not None and out.flags.carray else np.empty(shape, dtype)

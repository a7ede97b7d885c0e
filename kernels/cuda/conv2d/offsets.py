"""The precomputed offset table: where the inputs of an output pixel lie, worked out once for each geometry.

In the matrix product that a convolution is, line k of the second matrix holds, for every pixel of the output, the input
under one tap (r, s) of one channel c. That matrix is never made: wherever a pixel's window begins, the input of line k
lies ``offset`` numbers further, ``down`` rows and ``right`` columns from there, and these three depend on k alone. The
kernels read them from this table instead of dividing k by R S and S for every number they fetch.

The gradient by the input is the same product over the gradient g, once for each *phase*: with stride 2, an input pixel
in an even row was reached by other taps than one in an odd row, but all in even rows by the same. Within a phase the g
of a tap lies at a fixed distance again: a phase is a convolution of stride 1, with those taps only that reach it, and
no product with the zeros between the strides is ever computed. A stride of 1 has one phase.

The table, int64: HEADER numbers for each phase, then the phases' entries, each ``down << 48 | right << 32 | offset``.
Entries are rounded up to a multiple of STEP by entries so far down that they lie outside of every image.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, int32, uint32

from ...reference.namespace import array_namespace
from ..intrinsics import INLINED
from .geometry import KEPT, Geometry

# What the header says of a phase: how many entries (K) there are and where the first is; where its weights begin; its
# pixels' rows and columns; where its first pixel lies in the target; and how far from a pixel's place in the source its
# window begins.
HEADER = 9
STEP = 32  # the kernels read entries in steps that divide this
OUTSIDE = 0x7FFF << 48
FAR = 0x7FFF  # rows and columns of the source, with all that hangs over, must stay below


class Axis(NamedTuple):
    """One axis of a phase: its ``taps``, at ``distances`` from where the window begins, ``shift`` from the pixel."""

    first: int
    pixels: int
    taps: tuple[int, ...]
    distances: tuple[int, ...]
    shift: int


Phases = list[tuple[Axis, Axis]]  # rows and columns


@lru_cache(KEPT)
def fits(geometry: Geometry) -> bool:
    """Whether every distance of this geometry finds room in a table."""
    sides = zip((geometry.H, geometry.W), (geometry.R, geometry.S), geometry.dilation, geometry.padding)
    return all(size + taps * dilation + 2 * padding < FAR for size, taps, dilation, padding in sides)


def forward_phase(geometry: Geometry) -> tuple[Axis, Axis]:
    """All taps, from the padding on: the one phase of the forward."""

    def axis(i: int, pixels: int, taps: int) -> Axis:
        distances = tuple(tap * geometry.dilation[i] for tap in range(taps))
        return Axis(0, pixels, tuple(range(taps)), distances, -geometry.padding[i])

    return axis(0, geometry.P, geometry.R), axis(1, geometry.Q, geometry.S)


def grad_input_phases(geometry: Geometry) -> Phases:
    """The phases that have pixels."""

    def axis(i: int, first: int, size: int, taps: int) -> Axis:
        stride, padding, dilation = geometry.stride[i], geometry.padding[i], geometry.dilation[i]
        reaching = tuple(tap for tap in range(taps) if (first + padding - tap * dilation) % stride == 0)
        places = [(first + padding - tap * dilation) // stride for tap in reaching]
        shift = min(places, default=0)
        return Axis(first, -(-(size - first) // stride), reaching, tuple(place - shift for place in places), shift)

    rows = [axis(0, a, geometry.H, geometry.R) for a in range(min(geometry.stride[0], geometry.H))]
    columns = [axis(1, b, geometry.W, geometry.S) for b in range(min(geometry.stride[1], geometry.W))]
    return [(row, column) for row in rows for column in columns]


def make_table(
    phases: list[tuple[Axis, Axis]], channels: int, height: int, width: int, weights_of_k: int
) -> np.ndarray:
    """The table of these phases over ``channels`` images of height x width, with ``weights_of_k`` for each entry."""
    headers, entries = [], []
    begin, weights = HEADER * len(phases), 0
    for rows, columns in phases:
        K = channels * len(rows.taps) * len(columns.taps)
        first = (rows.first, columns.first)
        headers.append((K, begin, weights, rows.pixels, columns.pixels, *first, rows.shift, columns.shift))
        c, down, right = (
            axis.reshape(-1)
            for axis in np.meshgrid(
                np.arange(channels), np.int64(rows.distances), np.int64(columns.distances), indexing="ij"
            )
        )
        padded = np.full(max(STEP, -(-K // STEP) * STEP), OUTSIDE, np.int64)
        padded[:K] = down << 48 | right << 32 | (c * height + down) * width + right
        entries.append(padded)
        begin += padded.size
        weights += K * weights_of_k
    return np.concatenate([np.array(headers, np.int64).reshape(-1), *entries])


@lru_cache(KEPT)
def forward_table(geometry: Geometry) -> np.ndarray:
    """Over the input channels of a group; the weights are read as they are."""
    return make_table([forward_phase(geometry)], geometry.D, geometry.H, geometry.W, 0)


@lru_cache(KEPT)
def grad_input_table(geometry: Geometry) -> np.ndarray:
    """Over the output channels of a group; the weights are those of ``grad_input_weights``."""
    phases = grad_input_phases(geometry)
    return make_table(phases, geometry.group_outputs, geometry.P, geometry.Q, geometry.C)


def grad_input_weights(w: Any, geometry: Geometry) -> Any:
    """The weights, flat, in the order in which the phases read them: phase, group, k = (o, r, s), input channel."""
    xp = array_namespace(w)
    if geometry.stride == (1, 1):
        return xp.ascontiguousarray(_by_taps(w, geometry)).reshape(-1)
    return xp.take(w, on_device(order_of_weights, _of_least_image(geometry), w))


def _by_taps(w: Any, geometry: Geometry) -> Any:
    shape = (geometry.groups, geometry.group_outputs, *geometry.w_shape[1:])
    return w.reshape(shape).transpose(0, 1, 3, 4, 2)


@lru_cache(KEPT)
def _of_least_image(geometry: Geometry) -> Geometry:
    """With the same order of weights: an order is as large as the weights, and images of any size are to share it."""
    H, W = min(geometry.H, geometry.stride[0]), min(geometry.W, geometry.stride[1])
    return geometry._replace(H=H, W=W, P=1, Q=1)


@lru_cache(KEPT)
def order_of_weights(geometry: Geometry) -> np.ndarray:
    """Which of the weights comes where. Of taps that reach no pixel nothing is read: the end has the first weight."""
    places = _by_taps(np.arange(math.prod(geometry.w_shape), dtype=np.int32), geometry)
    order, begin = np.zeros(places.size, np.int32), 0
    for rows, columns in grad_input_phases(geometry):
        part = places[:, :, rows.taps][:, :, :, columns.taps].reshape(-1)
        order[begin : begin + part.size] = part
        begin += part.size
    return order


def on_device(make: Callable[[Geometry], np.ndarray], geometry: Geometry, like: Any) -> Any:
    """The table that ``make`` makes for a geometry, where ``like`` lies; made and copied there once."""
    geometry = _of_one_image(geometry)  # their number makes no difference
    if isinstance(like, np.ndarray):
        return make(geometry)
    return _copied(make, geometry, like.device.id)


@lru_cache(KEPT)
def _of_one_image(geometry: Geometry) -> Geometry:
    return geometry._replace(N=1)


@lru_cache(KEPT)
def _copied(make: Callable[[Geometry], np.ndarray], geometry: Geometry, device: int) -> Any:
    """Other streams may read the copy too, so it is waited for."""
    import cupy

    copy = cupy.asarray(make(geometry))
    cupy.cuda.get_current_stream().synchronize()
    return copy


# How the kernels read a table.


@cuda.jit(device=True, **INLINED)
def phase_of(table, phase, N):
    """A phase's K, its first entry, its first weight, and its pixels in N images."""
    header = int32(phase * HEADER)
    K = int32(table[header])
    entries = int32(table[int32(header + 1)])
    weights = int32(table[int32(header + 2)])
    pixels = int32(N * int32(table[int32(header + 3)]) * int32(table[int32(header + 4)]))
    return K, entries, weights, pixels


@cuda.jit(device=True, **INLINED)
def window_of(table, phase, pixel, N, D, H, W, groups, group, move_h, move_w):
    """Where a pixel's window begins: its row and column in an image of H x W, and its place in the whole source.

    For what is no pixel, that of the first one.
    """
    n, p, q, _ = coordinates(table, phase, pixel, N)
    header = int32(phase * HEADER)
    row = int32(p * move_h + int32(table[int32(header + 7)]))
    column = int32(q * move_w + int32(table[int32(header + 8)]))
    return row, column, int32((n * groups + group) * D * H * W + row * W + column)


@cuda.jit(device=True, **INLINED)
def place_of(table, phase, pixel, N, M, P, Q, groups, group, step_h, step_w):
    """Where a pixel goes in the first target channel of its group; -1 for what is no pixel."""
    n, p, q, exists = coordinates(table, phase, pixel, N)
    header = int32(phase * HEADER)
    p = int32(p * step_h + int32(table[int32(header + 5)]))
    q = int32(q * step_w + int32(table[int32(header + 6)]))
    return int32((n * groups + group) * M * P * Q + p * Q + q) if exists else int32(-1)


@cuda.jit(device=True, **INLINED)
def coordinates(table, phase, pixel, N):
    """A pixel's image, row and column within its phase, and whether it exists; else those of the first pixel."""
    rows = int32(table[int32(phase * HEADER + 3)])
    columns = int32(table[int32(phase * HEADER + 4)])
    exists = pixel < N * rows * columns
    number = uint32(pixel if exists else 0)
    line = uint32(number // uint32(columns))
    n = int32(line // uint32(rows))
    return n, int32(line - n * rows), int32(number - line * columns), exists

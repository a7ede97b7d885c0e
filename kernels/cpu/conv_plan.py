"""How a convolution is cut up: what one axis looks like to the kernels, and which pixels are worked on together.

All of it follows from the sizes alone, so it is found once for each geometry and remembered.
"""

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np

from .tile import TALL
from .vectors import LANE_BYTES

FRAME_BYTES = 1 << 18  # of framed input that is worked on at a time: it stays in the second-level cache
PANELS = 4  # and it makes at least as many panels of pixels as this, where there are so many


class Axis(NamedTuple):
    """One axis of a correlation: output i is a sum over taps t of input[i·step + shift[t]]·weight[tap[t]].

    In a frame the inputs that lie `step` apart are neighbours: it holds a row for each remainder (`phases`: where it
    begins in the input), so that neighbouring outputs read neighbouring numbers at any stride. Tap t finds input i in
    row `places[0, t]` at i + `places[1, t]`. The outputs i = 0, 1, …, `count` − 1 go to first, first + spacing, … of
    `room` places.
    """

    size: int
    count: int
    step: int
    phases: np.ndarray
    places: np.ndarray
    taps: np.ndarray
    first: int
    spacing: int
    room: int

    @property
    def frame(self) -> tuple[int, int]:
        """Rows of a frame an input row needs, and how much longer each is than there are outputs."""
        return len(self.phases), int(self.places[1].max())

    @property
    def inside(self) -> bool:
        """Can the input be read where it lies: one row of it, which never hangs over the edge?"""
        end = int(self.phases[0]) + self.count - 1 + self.frame[1]
        return self.step == 1 and self.phases[0] >= 0 and end < self.size


def axis(size: int, count: int, step: int, shifts: list[int], taps: list[int], first=0, spacing=1, room=None) -> Axis:
    start = np.array(shifts, np.int64) - min(shifts)
    remainders, rows = np.unique(start % step, return_inverse=True)
    return Axis(
        size, count, step, remainders + min(shifts), np.stack((rows, start // step)), np.array(taps, np.int64), first,
        spacing, count if room is None else room,
    )  # fmt: skip


def forward_axis(size: int, output: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """Output i reads input i·stride + t·dilation − padding at tap t."""
    return axis(size, output, stride, [t * dilation - padding for t in range(kernel)], list(range(kernel)))


def backward_axes(size: int, output: int, kernel: int, stride: int, padding: int, dilation: int) -> list[Axis | None]:
    """The same axis from the input's side: h gets from output i by tap t where i·stride = h + padding − t·dilation.

    One Axis for each remainder of h by the stride, for its inputs see the same taps; None where it sees none, and the
    gradient is 0.
    """
    axes: list[Axis | None] = []
    for first in range(min(stride, size)):
        taps = [t for t in range(kernel) if (first + padding - t * dilation) % stride == 0]
        shifts = [(first + padding - t * dilation) // stride for t in taps]
        count = -(-(size - first) // stride)
        axes.append(axis(output, count, 1, shifts, taps, first, stride, size) if taps else None)
    return axes


class Cut(NamedTuple):
    """Pixels that are worked on together: of up to `images` images, or a block of rows × columns of one."""

    images: int
    rows: int
    columns: int
    row_parts: int  # among how many threads the output channels are divided


@lru_cache(4096)
def cut(
    n: int, channels: int, out_channels: int, height: int, width: int, row_frame: tuple[int, int],
    column_frame: tuple[int, int], itemsize: int, threads: int,
) -> Cut:  # fmt: skip
    """For n images of `channels` and outputs of height × width; *_frame: (rows of phases, reach) of each axis."""
    lanes = LANE_BYTES // itemsize
    budget = FRAME_BYTES // itemsize // max(channels, 1)

    def frame(rows: int, columns: int) -> int:
        return row_frame[0] * (rows + row_frame[1]) * column_frame[0] * (columns + column_frame[1])

    least = PANELS * 2 * lanes
    row_parts = 1
    if n * height * width < threads * least and out_channels >= 16 * threads:
        row_parts = threads
    parts = threads // row_parts
    if 0 in (n, height, width):
        return Cut(1, 1, 1, row_parts)
    if n >= parts and frame(height, width) <= budget:
        return Cut(max(1, min(-(-n // parts), budget // frame(height, width))), height, width, row_parts)
    rows = height
    while rows > 1 and (frame(rows, width) > budget or n * -(-height // rows) < parts) and rows * width > least:
        rows = -(-rows // 2)
    columns = width
    if rows == 1 or height == 1:
        while frame(rows, columns) > budget and columns > least:
            columns = -(-columns // 2)
        while n * height * -(-width // columns) < parts and columns > least:
            columns = -(-columns // 2)
    return Cut(1, rows, columns, row_parts)


class Line(NamedTuple):
    """One axis of a correlation in a channels-last frame (see ``conv_image``), where all distances are constant.

    The frame holds every `read`-th of `size` inputs, from `start` on for output 0; output i + 1 reads `hop` places (and
    `step` inputs) behind output i, and of its `taps` each reads `delta` places behind the one before.
    """

    size: int
    count: int
    start: int
    step: int
    read: int
    hop: int
    delta: int
    taps: int

    def slots(self, count: int) -> int:
        return (count - 1) * self.hop + (self.taps - 1) * self.delta + 1


def line(axis: Axis, dense: bool) -> tuple[Line, np.ndarray]:
    """The same axis, and its taps in the order in which they lie; `dense`: the frame leaves out no input."""
    shifts = axis.places[1] * axis.step + axis.phases[axis.places[0]]
    order = np.argsort(shifts)
    delta = int(shifts[order[1]] - shifts[order[0]]) if len(shifts) > 1 else axis.step
    read = 1 if dense else gcd(axis.step, delta)
    delta = delta // read if len(shifts) > 1 else 1
    found = Line(axis.size, axis.count, int(shifts.min()), axis.step, read, axis.step // read, delta, len(shifts))
    return found, axis.taps[order]


class DirectCut(NamedTuple):
    """As `Cut`, and along what the tile's rows lie: columns (0), rows (1) or images (2)."""

    images: int
    rows: int
    columns: int
    row_parts: int
    along: int


@lru_cache(4096)
def direct_cut(
    n: int, channels: int, panels: int, beside: int, rows: Line, columns: Line, itemsize: int, threads: int
) -> DirectCut:
    """For n images of `channels` and output channels in `panels` that may be divided among threads.

    Frames, and `beside` numbers beside each output, stay in the second-level cache.
    """
    budget = FRAME_BYTES // itemsize
    few = n * rows.count * columns.count < 4 * TALL.rows * threads
    row_parts = threads if few and panels >= threads else 1
    parts = threads // row_parts

    def size(high: int, wide: int) -> int:
        return rows.slots(high) * columns.slots(wide) * channels + high * wide * beside

    def uneven(pieces: int) -> bool:
        return n * pieces < 4 * parts and n * pieces % parts != 0

    if 0 in (n, rows.count, columns.count):
        return DirectCut(1, 1, 1, row_parts, 0)
    high, wide, images = rows.count, columns.count, 1
    while high > 1 and (size(high, wide) > budget or uneven(-(-rows.count // high))):
        high = -(-high // 2)
    if high == 1:
        while wide > TALL.rows and (size(high, wide) > budget or uneven(rows.count * -(-columns.count // wide))):
            wide = -(-wide // 2)
    if (high, wide) == (rows.count, columns.count):
        images = max(1, min(-(-n // parts), budget // size(high, wide)))
    along = max((0, 1, 2), key=lambda i: tile_share((wide, high, images)[i]))
    return DirectCut(images, high, wide, row_parts, along)


def tile_share(pixels: int) -> float:
    """What share of its time the tile multiplies, if so many pixels lie along its rows."""
    blocks = -(-pixels // TALL.rows)
    return pixels / (blocks * (max(-(-pixels // blocks), 5) + 1))

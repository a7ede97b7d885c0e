"""Which kernel serves a convolution: what each would cost, estimated from the sizes.

The numbers are nanoseconds, fitted to 200 measured convolutions (AVX-512, one thread; the sizes of `minipar bench
--sweep`), which then take 1 % longer than if the faster kernel had served each. Elsewhere they need be right only in
proportion: what they must not miss is a kernel many times slower than the other, as vectors of pixels are for small
images and large strides, and vectors of channels where few are used.
"""

from .conv_plan import Axis, line, tile_share
from .tile import tile_shape
from .vectors import LANE_BYTES

FILLED = 0.75  # of the lanes of vectors of output channels: fewer, and a weight's gradient is better turned over
LEAST_RUN = 3  # rows of a tile in it

MULTIPLY = 0.27  # a row of a tile two vectors of channels wide, for each number that a pixel sees
ALONE = 0.54  # what part of that a row takes that is one vector wide
MULTIPLY_PIXELS = 0.28  # two vectors of pixels
TURN_IN, TURN_OUT, SPREAD = 23, 31, 3  # a square of numbers turned over, there and back; a row laid out with gaps
GATHER, COPY, SCATTER = 0.65, 2.2, 0.5  # a vector or a stretch of im2col, a row of a frame, a row of the result
APART_IN, APART_OUT = 0.7, 0.5  # a number that is read or written alone, for want of neighbours
PANEL = 210  # what is done once for each panel of pixels
PACK_CHANNELS, PACK_PIXELS = 3, 5  # a vector of weights
CACHE, FETCH = 1 << 20, 2.5  # bytes of weights that stay near; a vector of more, which each panel wants again


def direct_serves(n: int, channels: int, m: int, rows: Axis, columns: Axis, lanes: int, packed: bool) -> bool:
    """Does ``conv_direct`` serve n images of `channels`, m channels out, or ``conv_correlate``?"""
    if channels == m == 1:  # a kernel a channel: sums of shifted images
        return False
    sizes = n, channels, m, rows, columns, lanes
    return _by_channels(*sizes) < _by_pixels(*sizes, packed)


def weight_kernel(channels: int, m: int, columns: Axis, lanes: int) -> str:
    """``conv_direct_weight`` ("direct"), ``conv_narrow_weight`` ("narrow") or ``conv_weight`` ("pixels")."""
    if channels == m == 1:
        return "pixels"
    if m / (-(-m // lanes) * lanes) < FILLED:
        return "narrow"
    return "direct" if channels * len(columns.taps) >= LEAST_RUN else "pixels"


def _by_channels(n: int, channels: int, m: int, rows: Axis, columns: Axis, lanes: int) -> float:
    """Nanoseconds with vectors of output channels."""
    depth, pixels = channels * len(rows.taps) * len(columns.taps), rows.count * columns.count
    vectors, used = -(-m // lanes), max(map(tile_share, (n, rows.count, columns.count)))
    multiply = n * pixels * depth * (vectors // 2 + vectors % 2 * ALONE) / used * MULTIPLY
    (down, _), (across, _) = line(rows, False), line(columns, True)
    high, wide = min(down.slots(rows.count), rows.size), min(across.slots(columns.count), columns.size)
    turn_in = n * high * -(-wide // lanes) * -(-channels // lanes) * TURN_IN
    turn_out = n * -(-pixels // lanes) * vectors * TURN_OUT
    spread = n * rows.count * m * SPREAD if columns.spacing > 1 else 0
    return multiply + turn_in + turn_out + spread + depth * m / lanes * PACK_CHANNELS


def _by_pixels(n: int, channels: int, m: int, rows: Axis, columns: Axis, lanes: int, packed: bool) -> float:
    """Nanoseconds with vectors of pixels."""
    depth, pixels = channels * len(rows.taps) * len(columns.taps), n * rows.count * columns.count
    most, vectors = tile_shape(m)
    blocks = -(-m // most)
    height, panels = -(-m // blocks), pixels / (vectors * lanes)
    multiply = panels * depth * blocks * max(height * vectors, vectors + height) / 2 * MULTIPLY_PIXELS
    gather = depth * (pixels / lanes + n * rows.count) * GATHER
    copies = 0 if rows.inside and columns.inside else n * channels * rows.count * len(rows.phases) * len(columns.phases)
    copy = copies * (COPY + (columns.count * APART_IN if columns.step > 2 else 0))
    scatter = n * rows.count * m * (SCATTER + (columns.count * APART_OUT if columns.spacing > 2 else 0))
    pack = depth * m / lanes * PACK_PIXELS if packed else 0
    fetch = depth * m / lanes * FETCH if depth * m // lanes * LANE_BYTES > CACHE else 0
    return multiply + gather + copy + scatter + panels * (PANEL + fetch) + pack

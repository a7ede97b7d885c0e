"""The matrix product for operands of any strides: a panel of B in the first cache, register tiles over the rows of A.

B is cut into panels, `width` columns by `depth` rows, over which the tile runs for all rows of A before the next panel
comes. A panel is packed where B's columns are not contiguous (a transposed weight) or its rows lie too far apart; A is
read where it lies unless its rows would fall on a few places of the cache. These are the loops of Goto and van de
Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), without the packing that a tile of broadcast numbers
does not need.

Each element's sum runs over k in order, whatever the sizes, the packing and the threads are: a longer product is added
to what C already holds. Only where k is contiguous in both operands and one of them has few rows (`dots`) is it summed
in another order, which depends on k alone.
"""

import numba
import numpy as np

from .dots import dots
from .pack import pack
from .shared_function import shared
from .tile import ACCUMULATE, COLUMN_BIAS, FLAT, ROW_BIAS, SINGLE, TALL, tile
from .vectors import LANE_BYTES, at, item_bytes, keep, line, stack_room

PANEL_BYTES = 48 * 1024  # of B that the tile runs over: about a first-level cache
CHUNK_BYTES = 1536  # times `depth`: of A that a panel meets before the next panel comes; half of a second-level cache
FEW_ROWS, FEW_COLUMNS = 8, 4  # up to here, dots are faster than turning B over
ALONE = 1_000_000  # multiply-adds that one thread is done with before a second one pays

_panel_room = stack_room(PANEL_BYTES)
_tall, _flat, _single = (tile(None, *shape) for shape in (TALL, FLAT, SINGLE))


@numba.njit(error_model="numpy")
def share(total, piece, thread, threads):
    """(first, number) of a thread's share of `total`, in whole pieces but for the last."""
    pieces = -(-total // piece)
    first = min(total, thread * pieces // threads * piece)
    return first, min(total, (thread + 1) * pieces // threads * piece) - first


@numba.njit(error_model="numpy")
def _panels(a, a_row, a_k, b, b_k, b_column, m, n, size, c, c_row, start, bias, relu):
    rows, vectors = SINGLE if m <= SINGLE.rows else FLAT if m <= FLAT.rows else TALL
    item = item_bytes(a)
    depth = _even_pieces(size, PANEL_BYTES // (vectors * LANE_BYTES))
    chunk = _even_pieces(m, CHUNK_BYTES // item)
    if m > rows and _far(max(abs(a_row), abs(a_k)) * item):
        memory = np.empty(chunk * depth * item + 64, np.uint8)
        _chunks(
            a, a_row, a_k, b, b_k, b_column, m, n, size, c, c_row, start, bias, relu,
            rows, vectors, depth, chunk, line(memory, a), True,
        )  # fmt: skip
        keep(memory)
    else:
        _chunks(
            a, a_row, a_k, b, b_k, b_column, m, n, size, c, c_row, start, bias, relu,
            rows, vectors, depth, chunk, a, False,
        )  # fmt: skip


@numba.njit(error_model="numpy")
def _chunks(
    a, a_row, a_k, b, b_k, b_column, m, n, size, c, c_row, start, bias, relu, rows, vectors, depth, chunk, room, pack_a
):
    """Chunks of A's rows, in them stretches of k, in them panels of B. `room`: where to pack A, if it is packed."""
    item = item_bytes(a)
    width = vectors * (LANE_BYTES // item)
    pack_b = b_column != 1 or (m > 2 * rows and _far(b_k * item))
    packed_b = _panel_room(b)
    for i in range(0, m, chunk):
        m_here = min(chunk, m - i)
        for k in range(0, max(size, 1), depth):
            size_here = min(depth, size - k)
            start_here = start if k == 0 else ACCUMULATE
            relu_here = relu and k + size_here == size
            block, block_row, block_k = at(a, i * a_row + k * a_k), a_row, a_k
            if pack_a and a_row == 1:
                pack(block, a_k, 1, room, m_here, m_here, size_here)
                block, block_row, block_k = room, 1, m_here
            elif pack_a:
                pack(block, a_row, a_k, room, size_here, size_here, m_here)
                block, block_row, block_k = room, size_here, 1
            for j in range(0, n, width):
                n_here = min(width, n - j)
                panel, panel_k = at(b, k * b_k + j * b_column), b_k
                if pack_b:
                    pack(panel, b_k, b_column, packed_b, width, n_here, size_here)
                    panel, panel_k = packed_b, width
                of_bias = at(bias, j if start == COLUMN_BIAS else i if start == ROW_BIAS else 0)
                _rows(
                    block, block_row, block_k, panel, panel_k, m_here, n_here, size_here,
                    at(c, i * c_row + j), c_row, start_here, of_bias, relu_here, rows, vectors,
                )  # fmt: skip


@numba.njit(error_model="numpy")
def _rows(a, a_row, a_k, b, b_k, m, n, size, c, c_row, start, bias, relu, rows, vectors):
    """A panel's columns of C, in blocks of rows as equal as can be: one row alone would waste the tile."""
    height = _even_pieces(m, rows)
    for i in range(0, m, height):
        r = min(height, m - i)
        bias_o = i if start == ROW_BIAS else 0
        if vectors == TALL.vectors:
            _tall(
                a, i * a_row, a_row, a_k, 0, b, 0, b_k, 0, 1, size, c, i * c_row, c_row, r, n, start, bias, bias_o, relu
            )
        elif vectors == FLAT.vectors:
            _flat(
                a, i * a_row, a_row, a_k, 0, b, 0, b_k, 0, 1, size, c, i * c_row, c_row, r, n, start, bias, bias_o, relu
            )
        else:
            _single(
                a, i * a_row, a_row, a_k, 0, b, 0, b_k, 0, 1, size, c, i * c_row, c_row, r, n, start, bias, bias_o, relu
            )


@numba.njit(error_model="numpy")
def _even_pieces(total, most):
    """The size of the fewest equal pieces of `total`, each `most` or less; at least 1."""
    count = -(-total // most)
    return -(-total // count) if count else 1


@numba.njit(error_model="numpy")
def _far(stride):
    """Do rows that lie so many bytes apart fall on few places of a cache? Those of 4096 bytes share one."""
    return abs(stride) >= 4096 and stride % 2048 == 0


@shared("pointer int64 int64 pointer int64 int64 int64 int64 int64 pointer int64 int64 pointer boolean int64 int64")
def product(a, a_row, a_k, b, b_k, b_column, m, n, size, c, c_row, start, bias, relu, thread, threads):
    """C (m, n) = start + A (m, size) · B (size, n), cut off below 0 if `relu`; the rows of C are contiguous.

    a, b, c and bias are pointers, strides count elements, and nothing is checked. For `start` see `tile`. Of `threads`
    that call this alike, each computes its share of C.
    """
    by_dots = a_k == 1 and b_k == 1 and size > 1 and (m <= FEW_ROWS or n <= FEW_COLUMNS)
    if threads > 1:
        width = TALL.vectors * (LANE_BYTES // item_bytes(a))
        if m > n or n < threads * width:
            first, m = share(m, 1, thread, threads)
            a, c, bias = at(a, first * a_row), at(c, first * c_row), at(bias, first if start == ROW_BIAS else 0)
        else:
            first, n = share(n, width, thread, threads)
            b, c, bias = at(b, first * b_column), at(c, first), at(bias, first if start == COLUMN_BIAS else 0)
    flipped = ROW_BIAS if start == COLUMN_BIAS else COLUMN_BIAS if start == ROW_BIAS else start
    if by_dots and n == 1:
        dots(b, b_column, a, a_row, 1, m, size, c, 1, c_row, flipped, bias, relu)
    elif by_dots:
        dots(a, a_row, b, b_column, m, n, size, c, c_row, 1, start, bias, relu)
    elif n == 1 and a_row == 1 and c_row == 1:  # a column of C, as a row of its transpose: whole vectors of it
        _panels(b, b_column, b_k, a, a_k, 1, 1, m, size, c, m, flipped, bias, relu)
    else:
        _panels(a, a_row, a_k, b, b_k, b_column, m, n, size, c, c_row, start, bias, relu)

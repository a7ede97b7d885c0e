"""How the steps of recurrent networks lie in memory, and products over packed weights.

**Rows.** All steps of all sequences are the rows of matrices, one step after the other (see `reference.packed`): step t
holds the rows ``starts[t]`` to ``starts[t + 1]``. Matrix ``kept`` holds in row r the state that the step meets and the
step's input, side by side, so what a step computes is one product, [h | x] [W_hh | W_ih]ᵀ, and the weights' gradients
need nothing else. A step writes its new state where the next step meets it; the last state of sequence n goes to row
N + n, after the N rows of all steps.

The functions here take pointers and count in elements, and check nothing: the entry points of `recurrent_walks` do.
"""

import numpy as np
from numba import njit
from numba.extending import register_jitable

from .gemm import product as gemm
from .over_rows import over_rows
from .pack import pack
from .row_sums import column_sums
from .tile import ACCUMULATE, FLAT, SINGLE, TALL, ZERO, tile
from .vectors import LANE_BYTES, at, item_bytes, pointer

inlined = njit(error_model="numpy")

BLOCK = 512  # rows at a time in the gradients of weights: always the same ones, whatever the threads

_tall, _flat, _single = (tile(None, *shape) for shape in (TALL, FLAT, SINGLE))


@register_jitable
def padded(width: int) -> int:
    """How wide to make the rows of a large matrix: whole cache lines, and not a multiple of 1 KiB.

    Rows at such a distance would fall into the same few places of a cache.
    """
    width = -(-width // 16) * 16
    return width + 16 if width and width % 256 == 0 else width


@register_jitable
def room(rows: int, width: int, other: int) -> int:
    """Elements for two matrices of so many rows, one after the other, from the first cache line of an array on."""
    return rows * (padded(width) + padded(other)) + 16


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@inlined
def row_starts(sizes, steps, batch, rows):
    """starts (T + 1,) of the rows of steps: of packed sequences by their `sizes`, or of `batch` each without."""
    starts = np.empty(steps + 1, np.int64)
    starts[0] = 0
    for t in range(steps):
        size = sizes[t] if sizes.size else batch
        if size < 0 or size > (sizes[t - 1] if sizes.size and t else batch):
            raise ValueError("batch sizes must descend from the number of initial states, and none be below 0")
        starts[t + 1] = starts[t] + size
    if starts[steps] != rows:
        raise ValueError("batch sizes must add up to the rows of x")
    return starts


@inlined
def size_of(starts, step):
    """How many sequences have this step; none has a step before the first or after the last."""
    return starts[step + 1] - starts[step] if 0 <= step < starts.size - 1 else 0


@inlined
def outside(starts, step, n, steps_of_row):
    """The row of the user's arrays for step and sequence: by time, or by sequence if each has `steps_of_row` steps."""
    return n * steps_of_row + step if steps_of_row else starts[step] + n


@inlined
def part_of(part, starts, following, n0, end):
    """The sequences that go on from a step (part 0), or that end with it (1): the first, the last + 1, and the row of
    the first one's new state. What goes on lands where the `following` step meets it, what ends after all rows."""
    stays = max(n0, min(end, size_of(starts, following)))
    if part == 0:
        return n0, stays, n0 + (starts[following] if stays > n0 else 0)
    return stays, end, stays + starts[starts.size - 1]


@inlined
def share_of(thread, total, threads):
    """The first of a thread's share of `total`."""
    return thread * total // threads


@over_rows
def copy_rows(source):
    return source


@over_rows
def add_rows(a, b):
    return a + b


@inlined
def clear(to, count):
    for j in range(count):
        to[j] = 0


# ── products over packed weights ──────────────────────────────────────────────────────────────────────────────────


@inlined
def tile_of(batch, threads):
    """Rows and vectors of the tile for the walks of a batch that threads share."""
    rows = -(-batch // threads)
    return SINGLE if rows <= SINGLE.rows else FLAT if rows <= FLAT.rows else TALL


@inlined
def panel_width(vectors, like):
    """Columns of a panel of a tile of so many vectors, of numbers that `like` points to."""
    return vectors * (LANE_BYTES // item_bytes(like))


@inlined
def panels(columns, rows, width):
    """Elements that `columns` of a matrix of `rows` rows take, packed into panels of that width."""
    return -(-columns // width) * width * rows


@inlined
def product(a, a_row, b, depth, c, c_row, m, n, start, bias, rows, vectors):
    """C (m, n) = start + A (m, depth) B, B in packed panels of `depth` rows.

    The rows of A and C are contiguous; `start` and `bias` as for the tile, whose size `rows` and `vectors` are.
    """
    width, no = panel_width(vectors, a), False
    tiles = -(-m // rows)
    for j in range(0, n, width):
        columns = min(width, n - j)
        panel = at(b, j * depth)
        for i in range(tiles):  # of as equal heights as can be: a low tile cannot keep the processor busy
            r = i * m // tiles
            count = (i + 1) * m // tiles - r
            p, q = at(a, r * a_row), at(c, r * c_row + j)
            if vectors == TALL.vectors:
                _tall(p, 0, a_row, 1, 0, panel, 0, width, 0, 1, depth, q, 0, c_row, count, columns, start, bias, j, no)
            elif vectors == FLAT.vectors:
                _flat(p, 0, a_row, 1, 0, panel, 0, width, 0, 1, depth, q, 0, c_row, count, columns, start, bias, j, no)
            else:
                _single(
                    p, 0, a_row, 1, 0, panel, 0, width, 0, 1, depth, q, 0, c_row, count, columns, start, bias, j, no
                )


@inlined
def pack_transposed(w, inner, count, width, depth, to):
    """`count` rows of w (count, inner), contiguous, as the columns of panels: their first `inner` of `depth` rows."""
    for j in range(0, count, width):
        pack(at(w, j * inner), 1, inner, at(to, j * depth), width, min(width, count - j), inner)


@inlined
def pack_rows(w, rows, columns, width, depth, to):
    """w (rows, columns), contiguous, in panels of `width` columns: their first `rows` of `depth` rows."""
    for j in range(0, columns, width):
        pack(at(w, j), columns, 1, at(to, j * depth), width, min(width, columns - j), rows)


@inlined
def pack_jointly(w_ih, w_hh, b_ih, b_hh, inputs, hidden, panel, weights, bias):
    """[W_hh | W_ih]ᵀ in panels, and the sum of the biases: for cells whose gates take both in one sum."""
    depth, columns = hidden + inputs, w_hh.shape[0]
    pack_transposed(pointer(w_hh), hidden, columns, panel, depth, weights)
    pack_transposed(pointer(w_ih), inputs, columns, panel, depth, at(weights, hidden * panel))
    clear(bias, columns)
    if b_ih.size:
        copy_rows(1, columns, pointer(b_ih), 0, bias, 0)
    if b_hh.size:
        add_rows(1, columns, bias, 0, pointer(b_hh), 0, bias, 0)


# ── gradients of weights ──────────────────────────────────────────────────────────────────────────────────────────


@inlined
def weight_gradients(d, d_row, met, met_row, inputs, rows, dw, db, first, end):
    """Rows first … end of dw (·, inputs) = dᵀ met, and of db = the sums of d's columns; column g of d is for row g."""
    count = end - first
    if count < 1:
        return
    lanes = LANE_BYTES // item_bytes(d)
    # Rows of a few inputs would leave most of a vector idle: then met's columns are the rows of the product.
    turned = dw.size > 0 and 4 * inputs * -(-count // lanes) < 3 * count * -(-inputs // lanes)
    transposed = np.empty(inputs * count if turned else 0, dw.dtype)
    for k in range(0, max(rows, 1), BLOCK):
        size, block, of_met = min(BLOCK, rows - k), at(d, first + k * d_row), at(met, k * met_row)
        start = ACCUMULATE if k else ZERO
        if turned:
            gemm(of_met, 1, met_row, block, d_row, 1, inputs, count, size, pointer(transposed), count, start, d, False,
                 0, 1)  # fmt: skip
        elif dw.size:
            gemm(block, 1, d_row, of_met, met_row, 1, count, inputs, size, at(pointer(dw), first * inputs), inputs,
                 start, d, False, 0, 1)  # fmt: skip
        if db.size:
            column_sums(size, count, block, d_row, at(pointer(db), first), k > 0)
    if turned:
        for i in range(count):
            for j in range(inputs):
                dw[first + i, j] = transposed[j * count + i]

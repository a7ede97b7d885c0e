"""What the compiled recurrent networks share: how steps lie in memory, and products over packed weights.

**Rows.** All steps of all sequences are the rows of matrices, one step after the other (see `reference.packed`): step t
holds the rows ``starts[t]`` to ``starts[t + 1]``. Matrix ``kept`` (N + B, width) holds in row r the state that the step
meets and the step's input, side by side, so what a step computes is one product, [h | x] [W_hh | W_ih]ᵀ, and the
weights' gradients need nothing else. A step writes its new state where the next step meets it; the last state of
sequence n goes to row N + n.

**Threads** share out the sequences, walk all steps without meeting, and then share out the rows of the weights'
gradients: no sum is split, so the bits do not depend on their number (Appleyard, Kocisky & Blunsom 2016, for GPUs).

The functions here take pointers and count in elements, and check nothing: the entry points do.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from .approximate import sigmoid, tanh
from .gemm import product as gemm
from .threads import threads_for
from .tile import ACCUMULATE, FLAT, SINGLE, TALL, ZERO, tile
from .vectors import LANE_BYTES, at, item_bytes, pointer

inlined = njit(error_model="numpy")

BLOCK = 512  # rows at a time in the gradients of weights: always the same ones, whatever the threads
REALS = ("float32", "float64")
# What stands for an absent array in a compiled call.
NOTHING, NO_MATRIX, NO_BLOCK = ({np.dtype(r): np.empty((0,) * n, r) for r in REALS} for n in (1, 2, 3))
ALONE = 16_000_000  # multiply-adds, 0.15 ms: for less it does not pay to wake a second thread, whose core may be busy
NO_SIZES = np.empty(0, np.int64)

_tall, _flat, _single = (tile(None, *shape) for shape in (TALL, FLAT, SINGLE))


def padded(width: int) -> int:
    """How wide to make the rows of a large matrix: whole cache lines, and not a multiple of 1 KiB.

    Rows at such a distance would fall into the same few places of a cache.
    """
    width = -(-width // 16) * 16
    return width + 16 if width % 256 == 0 else width


def walkers(work: int, batch: int) -> int:
    """How many threads share the sequences of a batch, for so many multiply-adds."""
    return 1 if work < ALONE else threads_for(work, batch)


def sizes_array(batch_sizes: Sequence[int] | None) -> np.ndarray:
    return NO_SIZES if batch_sizes is None else np.array(batch_sizes, np.int64)


def weight_rooms(
    w_ih: np.ndarray, w_hh: np.ndarray, needs: Sequence[bool], out: Sequence[np.ndarray | None]
) -> list[np.ndarray | None]:
    """Arrays for the gradients of w_ih, w_hh, b_ih and b_hh, which are the last four that `needs` tells of."""
    shapes = w_ih.shape, w_hh.shape, w_ih.shape[:1], w_ih.shape[:1]
    return [
        None if not need else np.empty(shape, w_ih.dtype) if place is None else place
        for need, shape, place in zip(needs[-4:], shapes, out)
    ]


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
def product(a, a_row, b, depth, first, size, c, c_row, m, n, start, bias, relu, rows, vectors):
    """C (m, n) = start + A (m, size) B, B being rows `first` … `first` + `size` of packed panels of `depth` rows.

    The rows of A and C are contiguous; `start`, `bias` and `relu` as for the tile, whose size `rows` and `vectors` are.
    """
    if m < 1:
        return
    width = panel_width(vectors, a)
    tiles = -(-m // rows)
    for j in range(0, n, width):
        columns = min(width, n - j)
        panel = at(b, j * depth + first * width)
        for i in range(tiles):  # of as equal heights as can be: a low tile cannot keep the processor busy
            r = i * m // tiles
            count = (i + 1) * m // tiles - r
            p, q = at(a, r * a_row), at(c, r * c_row + j)
            if vectors == TALL.vectors:
                _tall(p, 0, a_row, 1, 0, panel, 0, width, 0, 1, size, q, 0, c_row, count, columns, start, bias, j, relu)
            elif vectors == FLAT.vectors:
                _flat(p, 0, a_row, 1, 0, panel, 0, width, 0, 1, size, q, 0, c_row, count, columns, start, bias, j, relu)
            else:
                _single(
                    p, 0, a_row, 1, 0, panel, 0, width, 0, 1, size, q, 0, c_row, count, columns, start, bias, j, relu
                )


@inlined
def pack_transposed(w, inner, count, width, depth, to):
    """`count` rows of w (count, inner), contiguous, as the columns of panels: their first `inner` of `depth` rows."""
    for j in range(0, count, width):
        columns = min(width, count - j)
        panel, source = at(to, j * depth), at(w, j * inner)
        for k in range(inner):
            for c in range(columns):
                panel[k * width + c] = source[c * inner + k]


@inlined
def pack(w, rows, columns, width, to):
    """w (rows, columns), contiguous, in panels of `width` columns."""
    for j in range(0, columns, width):
        panel, taken = at(to, j * rows), min(width, columns - j)
        for k in range(rows):
            copy(at(w, k * columns + j), at(panel, k * width), taken)


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
def landing(starts, following, stays, n):
    """The row for sequence n's new state: where the following step meets it, or, from `stays` on, after all rows."""
    return n + (starts[following] if n < stays else starts[starts.size - 1])


@inlined
def outside(starts, step, n, steps_of_row):
    """The row of the user's arrays for step and sequence: by time, or by sequence if each has `steps_of_row` steps."""
    return n * steps_of_row + step if steps_of_row else starts[step] + n


@inlined
def arrive(kept, width, h0, hidden, x, inputs, starts, step, before, steps_of_row, n0, end):
    """Fill the rows of a step's sequences n0 … end: the input's part, and h0 where a sequence begins.

    `before` is the step that was walked before, which has left its states there; -1: none.
    """
    first = starts[step]
    for n in range(n0, end):
        copy(at(x, outside(starts, step, n, steps_of_row) * inputs), at(kept, (first + n) * width + hidden), inputs)
    for n in range(max(n0, size_of(starts, before)), end):
        copy(at(h0, n * hidden), at(kept, (first + n) * width), hidden)


@inlined
def add_to_bias(d, d_row, k, end, db, count):
    """db (count,) += the sum of the rows k … end of d; for k = 0, it is set."""
    if k == 0:
        clear(db, count)
    whole = k + (end - k) // 4 * 4
    for r in range(k, whole, 4):  # four at a time: each sum in memory is waited for
        add_four(at(d, r * d_row), d_row, db, count)
    for r in range(whole, end):
        add_to(at(d, r * d_row), db, count)


@inlined
def add_four(d, d_row, to, count):
    p, q, r, s = d, at(d, d_row), at(d, 2 * d_row), at(d, 3 * d_row)
    for j in range(count):
        to[j] += (p[j] + q[j]) + (r[j] + s[j])


@inlined
def add_weight_block(d, d_row, met, met_row, k, size, dw, first, count):
    """Rows first … first + count of dw (·, n) (+)= the sum of d[r, g] met[r] over `size` rows r; for k = 0, set."""
    n = dw.shape[1]
    if dw.size:
        gemm(d, 1, d_row, met, met_row, 1, count, n, size, at(pointer(dw), first * n), n, ACCUMULATE if k else ZERO,
             d, False, 0, 1)  # fmt: skip


@inlined
def multiply(a, b, to, count):
    for j in range(count):
        to[j] = a[j] * b[j]


@inlined
def times_slope(y, g, count):
    """g ← g y (1 − y): the gradient through y = sigmoid(x)."""
    for j in range(count):
        g[j] *= y[j] - y[j] * y[j]


@inlined
def times_tanh_slope(y, g, count):
    """g ← g (1 − y²): the gradient through y = tanh(x)."""
    for j in range(count):
        g[j] -= g[j] * y[j] * y[j]


@inlined
def sigmoid_of(row, count):
    for j in range(count):
        row[j] = sigmoid(row[j])


# Each of these comes in place too: a loop whose operands overlap runs one element after the other.


@inlined
def tanh_in_place(row, count):
    for j in range(count):
        row[j] = tanh(row[j])


@inlined
def multiply_by(a, to, count):
    for j in range(count):
        to[j] *= a[j]


@inlined
def add_to(a, to, count):
    for j in range(count):
        to[j] += a[j]


@inlined
def tanh_of(a, to, count):
    for j in range(count):
        to[j] = tanh(a[j])


@inlined
def add(a, b, to, count):
    for j in range(count):
        to[j] = a[j] + b[j]


@inlined
def copy(a, to, count):
    for j in range(count):
        to[j] = a[j]


@inlined
def clear(to, count):
    for j in range(count):
        to[j] = 0


@inlined
def share_of(thread, total, threads):
    """The first of a thread's share of `total`."""
    return thread * total // threads

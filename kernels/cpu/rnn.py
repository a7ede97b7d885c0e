"""The Elman recurrence and its gradient in compiled loops: same signatures as kernels.reference.rnn.

One call walks all steps, and a second one walks them back and then computes every gradient. See `recurrent` for how the
rows lie in memory and what threads share out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import prange

from ..reference.rnn import check_nonlinearity
from . import arena
from .compile import carray, compiled
from .recurrent import (
    BLOCK,
    NO_BLOCK,
    NO_MATRIX,
    NOTHING,
    REALS,
    add,
    add_to_bias,
    add_weight_block,
    arrive,
    clear,
    copy,
    inlined,
    landing,
    outside,
    pack,
    pack_transposed,
    padded,
    panel_width,
    panels,
    product,
    row_starts,
    share_of,
    size_of,
    sizes_array,
    tanh_in_place,
    tile_of,
    times_tanh_slope,
    walkers,
    weight_rooms,
)  # fmt: skip
from .tile import COLUMN_BIAS, ZERO
from .vectors import at, keep, pointer


@inlined
def _relu_slope(y, g, zero, count):
    for j in range(count):
        g[j] = g[j] if y[j] > zero else zero


@inlined
def _walk(
    x, inputs, h0, hidden, weights, bias, starts, h, kept, width, by_sequence, reverse, relu, n0, n1, rows, vectors
):
    """All steps of sequences n0 … n1."""
    steps, depth = starts.size - 1, hidden + inputs
    before = -1
    for s in range(steps):
        step = steps - 1 - s if reverse else s
        following = step - 1 if reverse else step + 1
        first, end = starts[step], min(n1, size_of(starts, step))
        stays = max(n0, min(end, size_of(starts, following)))
        arrive(kept, width, h0, hidden, x, inputs, starts, step, before, by_sequence, n0, end)
        for part in range(2):  # the sequences that go on, and those that end here
            begin, stop = (n0, stays) if part == 0 else (stays, end)
            to = at(kept, landing(starts, following, stays, begin) * width)
            product(at(kept, (first + begin) * width), width, weights, depth, 0, depth, to, width, stop - begin, hidden,
                    COLUMN_BIAS, bias, relu, rows, vectors)  # fmt: skip
            for n in range(begin, stop):
                state = at(to, (n - begin) * width)
                if not relu:
                    tanh_in_place(state, hidden)
                copy(state, at(h, outside(starts, step, n, by_sequence) * hidden), hidden)
        before = step


_FORWARD = (
    "void({r}[:,:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[::1], {r}[::1], int64[::1], {r}[:,:,::1], {r}[:,::1], "
    "{r}[:,::1], boolean, boolean, boolean, int64)"
)


@compiled([_FORWARD.format(r=r) for r in REALS], parallel=True)
def _forward(x, h0, w_ih, w_hh, b_ih, b_hh, sizes, h, h_n, kept, batch_first, reverse, relu, threads):
    """Fills h, h_n and kept. Empty arrays stand for absent ones: b_ih and b_hh, and sizes where all lengths are one."""
    (batch, hidden), inputs, width = h0.shape, x.shape[2], kept.shape[1]
    rows = x.shape[0] * x.shape[1]
    by_sequence = x.shape[1] if batch_first else 0
    steps = sizes.size if sizes.size else by_sequence if batch_first else x.shape[0]
    if w_ih.shape != (hidden, inputs) or w_hh.shape != (hidden, hidden) or b_ih.size != b_hh.size:
        raise ValueError("the weights must have shapes (H, I), (H, H), (H,) and (H,)")
    if b_ih.size not in (0, hidden) or h.size != rows * hidden or h_n.shape != h0.shape:
        raise ValueError("the biases must have shape (H,), and the results those of x and h0")
    if kept.shape[0] != rows + batch or width < hidden + inputs:
        raise ValueError("kept must hold a row for each of x and of h0")
    starts = row_starts(sizes, steps, batch, rows)
    tile_rows, vectors = tile_of(batch, threads)
    panel, depth = panel_width(vectors, pointer(x)), hidden + inputs
    packed = np.empty(panels(hidden, depth, panel), x.dtype)
    weights = pointer(packed)
    pack_transposed(pointer(w_hh), hidden, hidden, panel, depth, weights)
    pack_transposed(pointer(w_ih), inputs, hidden, panel, depth, at(weights, hidden * panel))
    sums = np.empty(hidden, x.dtype)  # np.zeros, in a parallel kernel, wakes the threads
    bias = pointer(sums)
    if b_ih.size:
        add(pointer(b_ih), pointer(b_hh), bias, hidden)
    else:
        clear(bias, hidden)
    px, p0, ph, pk = pointer(x), pointer(h0), pointer(h), pointer(kept)
    if threads == 1:
        _walk(px, inputs, p0, hidden, weights, bias, starts, ph, pk, width, by_sequence, reverse, relu,
              0, batch, tile_rows, vectors)  # fmt: skip
    else:
        for p in prange(threads):
            _walk(px, inputs, p0, hidden, weights, bias, starts, ph, pk, width, by_sequence, reverse, relu,
                  share_of(p, batch, threads), share_of(p + 1, batch, threads), tile_rows, vectors)  # fmt: skip
    for n in range(batch):
        copy(at(pk, (rows + n) * width), at(pointer(h_n), n * hidden), hidden)
    keep(packed)
    keep(sums)


@inlined
def _walk_back(g, starts, kept, kept_row, hidden, w_hh, w_ih, inputs, d, width, dh, dx, given, wanted, by_sequence,
               reverse, relu, zero, n0, n1, rows, vectors):  # fmt: skip
    """d, dh and (if `wanted`) dx of sequences n0 … n1, through all steps back; g only if it is `given`."""
    steps = starts.size - 1
    for s in range(steps):
        step = s if reverse else steps - 1 - s
        following = step - 1 if reverse else step + 1
        first, end = starts[step], min(n1, size_of(starts, step))
        stays = max(n0, min(end, size_of(starts, following)))
        for n in range(n0, end):
            state = at(kept, landing(starts, following, stays, n) * kept_row)
            row, above = at(d, (first + n) * width), at(dh, n * hidden)
            if given:
                add(above, at(g, outside(starts, step, n, by_sequence) * hidden), row, hidden)
            else:
                copy(above, row, hidden)
            if relu:
                _relu_slope(state, row, zero, hidden)
            else:
                times_tanh_slope(state, row, hidden)
        here, count = at(d, (first + n0) * width), end - n0
        product(here, width, w_hh, hidden, 0, hidden, at(dh, n0 * hidden), hidden, count, hidden,
                ZERO, d, False, rows, vectors)  # fmt: skip
        if wanted:
            dx_row = max(1, by_sequence) * inputs
            to = at(dx, outside(starts, step, n0, by_sequence) * inputs)
            product(here, width, w_ih, hidden, 0, hidden, to, dx_row, count, inputs, ZERO, d, False, rows, vectors)


@inlined
def _weights(d, width, kept, kept_row, rows, dw_ih, dw_hh, db_ih, db_hh, hidden, thread, threads):
    """A thread's share of the gradients of weights and biases."""
    first = share_of(thread, hidden, threads)
    count = share_of(thread + 1, hidden, threads) - first
    part = at(d, first)
    for k in range(0, max(rows, 1), BLOCK):
        size = min(BLOCK, rows - k)
        block, met = at(part, k * width), at(kept, k * kept_row)
        add_weight_block(block, width, met, kept_row, k, size, dw_hh, first, count)
        add_weight_block(block, width, at(met, hidden), kept_row, k, size, dw_ih, first, count)
        if db_ih.size:
            add_to_bias(part, width, k, k + size, at(pointer(db_ih), first), count)
    if db_hh.size:
        copy(at(pointer(db_ih), first), at(pointer(db_hh), first), count)


_BACKWARD = (
    "void({r}[:,:,::1], {r}[:,::1], int64[::1], int64, {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], "
    "{r}[:,:,::1], {r}[:,::1], {r}[:,::1], {r}[::1], {r}[::1], boolean, boolean, boolean, int64)"
)


@compiled([_BACKWARD.format(r=r) for r in REALS], parallel=True)
def _backward(
    g, g_n, sizes, steps, kept, w_ih, w_hh, d, dh, dx, dw_ih, dw_hh, db_ih, db_hh, batch_first, reverse, relu, threads
):
    """Fills d, dh, dx and the gradients of the weights; empty arrays stand for absent and unwanted ones."""
    (batch, hidden), (rows, width), inputs = dh.shape, d.shape, w_ih.shape[1]
    by_sequence = steps if batch_first else 0
    if w_ih.shape[0] != hidden or w_hh.shape != (hidden, hidden) or width < hidden:
        raise ValueError("the weights must have shapes (H, I) and (H, H)")
    if kept.shape[0] != rows + batch or kept.shape[1] < hidden + inputs:
        raise ValueError("kept must be forward's")
    if g.size not in (0, rows * hidden) or g_n.size not in (0, batch * hidden) or dx.size not in (0, rows * inputs):
        raise ValueError("the gradients must have the shapes of what they belong to")
    if (
        dw_ih.size not in (0, w_ih.size)
        or dw_hh.size not in (0, w_hh.size)
        or (dw_ih.size and dw_ih.shape[1] != inputs)
    ):
        raise ValueError("the gradients must have the shapes of what they belong to")
    if db_ih.size not in (0, hidden) or db_hh.size not in (0, db_ih.size):
        raise ValueError("the gradients must have the shapes of what they belong to")
    starts = row_starts(sizes, steps, batch, rows)
    pd, pdh, wanted = pointer(d), pointer(dh), dx.size > 0
    if g_n.size:
        copy(pointer(g_n), pdh, batch * hidden)
    else:
        clear(pdh, batch * hidden)
    tile_rows, vectors = tile_of(batch, threads)
    panel = panel_width(vectors, pd)
    packed_hh = np.empty(panels(hidden, hidden, panel), d.dtype)
    packed_ih = np.empty(panels(inputs, hidden, panel) if wanted else 0, d.dtype)
    pack(pointer(w_hh), hidden, hidden, panel, pointer(packed_hh))
    if wanted:
        pack(pointer(w_ih), hidden, inputs, panel, pointer(packed_ih))
    pg, pk, pdx, p_hh, p_ih = pointer(g), pointer(kept), pointer(dx), pointer(packed_hh), pointer(packed_ih)
    kept_row, given, zero = kept.shape[1], g.size > 0, d.dtype.type(0)
    if threads == 1:
        _walk_back(pg, starts, pk, kept_row, hidden, p_hh, p_ih, inputs, pd, width, pdh, pdx, given, wanted,
                   by_sequence, reverse, relu, zero, 0, batch, tile_rows, vectors)  # fmt: skip
        _weights(pd, width, pk, kept_row, rows, dw_ih, dw_hh, db_ih, db_hh, hidden, 0, 1)
    else:
        for p in prange(threads):
            _walk_back(pg, starts, pk, kept_row, hidden, p_hh, p_ih, inputs, pd, width, pdh, pdx, given, wanted,
                       by_sequence, reverse, relu, zero, share_of(p, batch, threads), share_of(p + 1, batch, threads),
                       tile_rows, vectors)  # fmt: skip
        for p in prange(threads):
            _weights(pd, width, pk, kept_row, rows, dw_ih, dw_hh, db_ih, db_hh, hidden, p, threads)
    keep(packed_hh)
    keep(packed_ih)


def rnn_sequence(
    x: np.ndarray, h0: np.ndarray, w_ih: np.ndarray, w_hh: np.ndarray, b_ih: np.ndarray | None,
    b_hh: np.ndarray | None, batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, nonlinearity: str,
) -> tuple[np.ndarray, np.ndarray, Any]:  # fmt: skip
    """See the reference. float32 or float64, all of one dtype; ValueError for shapes that do not fit."""
    if nonlinearity not in ("tanh", "relu"):
        check_nonlinearity(nonlinearity)
    dtype, (batch, hidden) = x.dtype, h0.shape
    block = x if x.ndim == 3 else x[None]
    rows, inputs = block.shape[0] * block.shape[1], block.shape[2]
    h, h_n = arena.empty((*x.shape[:-1], hidden), dtype), np.empty((batch, hidden), dtype)
    kept = arena.empty((rows + batch, padded(hidden + inputs)), dtype)
    nothing = NOTHING[dtype]
    _forward(
        carray(block), carray(h0), carray(w_ih), carray(w_hh),
        nothing if b_ih is None else carray(b_ih), nothing if b_hh is None else carray(b_hh), sizes_array(batch_sizes),
        h if x.ndim == 3 else h[None], h_n, kept, batch_first and x.ndim == 3, reverse, nonlinearity == "relu",
        walkers(rows * hidden * (hidden + inputs), batch),
    )  # fmt: skip
    return h, h_n, kept


def rnn_sequence_backward(
    g: np.ndarray | None, g_n: np.ndarray | None, x: np.ndarray, saved: Any, w_ih: np.ndarray, w_hh: np.ndarray,
    batch_sizes: Sequence[int] | None, batch_first: bool, reverse: bool, nonlinearity: str, needs: Sequence[bool],
    out: Sequence[np.ndarray | None] = (None,) * 4,
) -> tuple[np.ndarray | None, ...]:  # fmt: skip
    """See the reference."""
    dtype, hidden, nothing = x.dtype, w_hh.shape[0], NOTHING[x.dtype]
    in_block = x.ndim == 3
    rows = x.shape[0] * x.shape[1] if in_block else x.shape[0]
    batch, inputs = len(saved) - rows, x.shape[-1]
    none2, none3 = NO_MATRIX[dtype], NO_BLOCK[dtype]
    by_sequence = batch_first and in_block
    steps = len(batch_sizes) if batch_sizes is not None else x.shape[1] if by_sequence else x.shape[0]
    d, dh = arena.empty((rows, padded(hidden)), dtype), np.empty((batch, hidden), dtype)
    dx = arena.empty(x.shape, dtype) if needs[0] else None
    dw_ih, dw_hh, db_ih, db_hh = weight_rooms(w_ih, w_hh, needs, out)
    both = db_ih if db_ih is not None else db_hh  # the two biases have one gradient
    _backward(
        none3 if g is None else carray(g if in_block else g[None]), none2 if g_n is None else carray(g_n),
        sizes_array(batch_sizes), steps, saved, carray(w_ih), carray(w_hh), d, dh,
        none3 if dx is None else dx if in_block else dx[None], none2 if dw_ih is None else dw_ih,
        none2 if dw_hh is None else dw_hh, nothing if both is None else both,
        nothing if db_hh is None or both is db_hh else db_hh, by_sequence, reverse, nonlinearity == "relu",
        walkers(2 * rows * hidden * (hidden + inputs), batch),
    )  # fmt: skip
    return dx, dh, dw_ih, dw_hh, db_ih, db_hh

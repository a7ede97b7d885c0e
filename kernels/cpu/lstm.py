"""Long short-term memory and its gradient in compiled loops: same signatures as kernels.reference.lstm.

As `rnn`, with four gates a step and a cell beside the state. Projections (w_hr) are left to the reference.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import prange

from ..reference import lstm as reference
from . import arena
from .compile import carray, compiled
from .recurrent import (
    BLOCK,
    NO_BLOCK,
    NO_MATRIX,
    NOTHING,
    REALS,
    add,
    add_to,
    add_to_bias,
    add_weight_block,
    arrive,
    clear,
    copy,
    inlined,
    landing,
    multiply,
    multiply_by,
    outside,
    pack,
    pack_transposed,
    padded,
    panel_width,
    panels,
    product,
    row_starts,
    share_of,
    sigmoid_of,
    size_of,
    sizes_array,
    tanh_in_place,
    tanh_of,
    tile_of,
    times_slope,
    times_tanh_slope,
    walkers,
    weight_rooms,
)  # fmt: skip
from .tile import COLUMN_BIAS, ZERO
from .vectors import at, keep, pointer


@inlined
def _cell(i, f, g, before, to, count):
    for j in range(count):
        to[j] = f[j] * before[j] + i[j] * g[j]


@inlined
def _walk(x, inputs, h0, c0, hidden, weights, bias, starts, h, kept, width, gates, gates_row, cells, tanh_c,
          by_sequence, reverse, n0, n1, rows, vectors):  # fmt: skip
    """All steps of sequences n0 … n1. Cells lie as states do: `cells` holds in row r the cell that the step meets."""
    steps, depth = starts.size - 1, hidden + inputs
    before = -1
    for s in range(steps):
        step = steps - 1 - s if reverse else s
        following = step - 1 if reverse else step + 1
        first, end = starts[step], min(n1, size_of(starts, step))
        stays = max(n0, min(end, size_of(starts, following)))
        arrive(kept, width, h0, hidden, x, inputs, starts, step, before, by_sequence, n0, end)
        for n in range(max(n0, size_of(starts, before)), end):
            copy(at(c0, n * hidden), at(cells, (first + n) * hidden), hidden)
        product(at(kept, (first + n0) * width), width, weights, depth, 0, depth, at(gates, (first + n0) * gates_row),
                gates_row, end - n0, 4 * hidden, COLUMN_BIAS, bias, False, rows, vectors)  # fmt: skip
        for n in range(n0, end):
            i = at(gates, (first + n) * gates_row)
            f, g, o = at(i, hidden), at(i, 2 * hidden), at(i, 3 * hidden)
            sigmoid_of(i, 2 * hidden)
            tanh_in_place(g, hidden)
            sigmoid_of(o, hidden)
            to = landing(starts, following, stays, n)
            cell, squashed = at(cells, to * hidden), at(tanh_c, (first + n) * hidden)
            _cell(i, f, g, at(cells, (first + n) * hidden), cell, hidden)
            tanh_of(cell, squashed, hidden)
            multiply(o, squashed, at(kept, to * width), hidden)
            copy(at(kept, to * width), at(h, outside(starts, step, n, by_sequence) * hidden), hidden)
        before = step


# The checks are functions of their own, for Numba's analysis of parallel functions trips over so many shapes.
@inlined
def _check(x, h0, c0, w_ih, w_hh, b_ih, b_hh, h, h_n, c_n, kept, gates, cells, tanh_c):
    batch, hidden = h0.shape
    rows, inputs, width, gates_row = x.shape[0] * x.shape[1], x.shape[2], kept.shape[1], gates.shape[1]
    if w_ih.shape != (4 * hidden, inputs) or w_hh.shape != (4 * hidden, hidden) or c0.shape != h0.shape:
        raise ValueError("the weights must have shapes (4H, I) and (4H, H), and c0 that of h0")
    if b_ih.size != b_hh.size or b_ih.size not in (0, 4 * hidden) or h.size != rows * hidden:
        raise ValueError("the biases must have shape (4H,)")
    if h_n.shape != h0.shape or c_n.shape != h0.shape or tanh_c.shape != (rows, hidden):
        raise ValueError("the results must have the shapes of x and of the states")
    if kept.shape[0] != rows + batch or width < hidden + inputs or cells.shape != (rows + batch, hidden):
        raise ValueError("kept and cells must hold a row for each of x and of h0")
    if gates.shape[0] != rows or gates_row < 4 * hidden:
        raise ValueError("gates must hold a row for each of x")


@inlined
def _check_back(g, g_hn, g_cn, kept, gates, cells, tanh_c, w_ih, w_hh, d, dh, dc, dx, dw_ih, dw_hh, db_ih, db_hh):
    (batch, hidden), (rows, width), inputs, gates_row = dh.shape, d.shape, w_ih.shape[1], gates.shape[1]
    if w_ih.shape[0] != 4 * hidden or w_hh.shape != (4 * hidden, hidden) or width < 4 * hidden or dc.shape != dh.shape:
        raise ValueError("the weights must have shapes (4H, I) and (4H, H)")
    if kept.shape[0] != rows + batch or kept.shape[1] < hidden + inputs or cells.shape != (rows + batch, hidden):
        raise ValueError("kept and cells must be forward's")
    if gates.shape[0] != rows or gates_row < 4 * hidden or tanh_c.shape != (rows, hidden):
        raise ValueError("gates and tanh_c must be forward's")
    if g.size not in (0, rows * hidden) or dx.size not in (0, rows * inputs):
        raise ValueError("the gradients must have the shapes of what they belong to")
    if g_hn.size not in (0, batch * hidden) or g_cn.size not in (0, batch * hidden):
        raise ValueError("the gradients must have the shapes of what they belong to")
    if (dw_ih.size and dw_ih.shape != w_ih.shape) or (dw_hh.size and dw_hh.shape != w_hh.shape):
        raise ValueError("the gradients must have the shapes of what they belong to")
    if db_ih.size not in (0, 4 * hidden) or db_hh.size not in (0, db_ih.size):
        raise ValueError("the gradients must have the shapes of what they belong to")


_FORWARD = (
    "void({r}[:,:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[::1], {r}[::1], int64[::1], {r}[:,:,::1], "
    "{r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], boolean, boolean, int64)"
)


@compiled([_FORWARD.format(r=r) for r in REALS], parallel=True)
def _forward(
    x, h0, c0, w_ih, w_hh, b_ih, b_hh, sizes, h, h_n, c_n, kept, gates, cells, tanh_c, batch_first, reverse, threads
):
    """Fills h, h_n, c_n and what the gradient needs. Empty arrays stand for absent ones, as in `rnn`."""
    batch, hidden = h0.shape
    inputs, width, gates_row = x.shape[2], kept.shape[1], gates.shape[1]
    rows = x.shape[0] * x.shape[1]
    by_sequence = x.shape[1] if batch_first else 0
    steps = sizes.size if sizes.size else by_sequence if batch_first else x.shape[0]
    _check(x, h0, c0, w_ih, w_hh, b_ih, b_hh, h, h_n, c_n, kept, gates, cells, tanh_c)
    starts = row_starts(sizes, steps, batch, rows)
    tile_rows, vectors = tile_of(batch, threads)
    panel, depth = panel_width(vectors, pointer(x)), hidden + inputs
    packed = np.empty(panels(4 * hidden, depth, panel), x.dtype)
    weights = pointer(packed)
    pack_transposed(pointer(w_hh), hidden, 4 * hidden, panel, depth, weights)
    pack_transposed(pointer(w_ih), inputs, 4 * hidden, panel, depth, at(weights, hidden * panel))
    sums = np.empty(4 * hidden, x.dtype)
    bias = pointer(sums)
    if b_ih.size:
        add(pointer(b_ih), pointer(b_hh), bias, 4 * hidden)
    else:
        clear(bias, 4 * hidden)
    px, p0, pc0, ph, pk, pg = pointer(x), pointer(h0), pointer(c0), pointer(h), pointer(kept), pointer(gates)
    pc, pt = pointer(cells), pointer(tanh_c)
    if threads == 1:
        _walk(px, inputs, p0, pc0, hidden, weights, bias, starts, ph, pk, width, pg, gates_row, pc, pt,
              by_sequence, reverse, 0, batch, tile_rows, vectors)  # fmt: skip
    else:
        for p in prange(threads):
            _walk(px, inputs, p0, pc0, hidden, weights, bias, starts, ph, pk, width, pg, gates_row, pc, pt,
                  by_sequence, reverse, share_of(p, batch, threads), share_of(p + 1, batch, threads),
                  tile_rows, vectors)  # fmt: skip
    for n in range(batch):
        copy(at(pk, (rows + n) * width), at(pointer(h_n), n * hidden), hidden)
        copy(at(pc, (rows + n) * hidden), at(pointer(c_n), n * hidden), hidden)
    keep(packed)
    keep(sums)


@inlined
def _into_cell(dc, dh, o, squashed, count):
    """dc ← dc + dh o (1 − tanh²c)"""
    for j in range(count):
        through = dh[j] * o[j]
        dc[j] += through - through * squashed[j] * squashed[j]


@inlined
def _walk_back(g, starts, hidden, gates, gates_row, cells, tanh_c, w_hh, w_ih, inputs, d, width, dh, dc, dx, given,
               wanted, by_sequence, reverse, n0, n1, rows, vectors):  # fmt: skip
    """d (the gradient of the gates before their functions), dh, dc and (if `wanted`) dx of sequences n0 … n1."""
    steps = starts.size - 1
    for s in range(steps):
        step = s if reverse else steps - 1 - s
        first, end = starts[step], min(n1, size_of(starts, step))
        for n in range(n0, end):
            i = at(gates, (first + n) * gates_row)
            f, c, o = at(i, hidden), at(i, 2 * hidden), at(i, 3 * hidden)
            di = at(d, (first + n) * width)
            df, dg, do = at(di, hidden), at(di, 2 * hidden), at(di, 3 * hidden)
            state, cell, squashed = at(dh, n * hidden), at(dc, n * hidden), at(tanh_c, (first + n) * hidden)
            if given:
                add_to(at(g, outside(starts, step, n, by_sequence) * hidden), state, hidden)
            _into_cell(cell, state, o, squashed, hidden)
            multiply(cell, c, di, hidden)
            multiply(cell, at(cells, (first + n) * hidden), df, hidden)
            times_slope(i, di, 2 * hidden)
            multiply(cell, i, dg, hidden)
            times_tanh_slope(c, dg, hidden)
            multiply(state, squashed, do, hidden)
            times_slope(o, do, hidden)
            multiply_by(f, cell, hidden)
        here, count = at(d, (first + n0) * width), end - n0
        product(here, width, w_hh, 4 * hidden, 0, 4 * hidden, at(dh, n0 * hidden), hidden, count, hidden,
                ZERO, d, False, rows, vectors)  # fmt: skip
        if wanted:
            dx_row = max(1, by_sequence) * inputs
            to = at(dx, outside(starts, step, n0, by_sequence) * inputs)
            product(
                here, width, w_ih, 4 * hidden, 0, 4 * hidden, to, dx_row, count, inputs, ZERO, d, False, rows, vectors
            )


@inlined
def _weights(d, width, kept, kept_row, rows, dw_ih, dw_hh, db_ih, db_hh, hidden, thread, threads):
    """A thread's share of the gradients of weights and biases."""
    first = share_of(thread, 4 * hidden, threads)
    count = share_of(thread + 1, 4 * hidden, threads) - first
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
    "void({r}[:,:,::1], {r}[:,::1], {r}[:,::1], int64[::1], int64, {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], "
    "{r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,:,::1], {r}[:,::1], {r}[:,::1], {r}[::1], "
    "{r}[::1], boolean, boolean, int64)"
)


@compiled([_BACKWARD.format(r=r) for r in REALS], parallel=True)
def _backward(
    g, g_hn, g_cn, sizes, steps, kept, gates, cells, tanh_c, w_ih, w_hh, d, dh, dc, dx, dw_ih, dw_hh, db_ih, db_hh,
    batch_first, reverse, threads,
):  # fmt: skip
    """Fills d, dh, dc, dx and the gradients of the weights; empty arrays stand for absent and unwanted ones."""
    batch, hidden = dh.shape
    rows, width = d.shape
    inputs, gates_row = w_ih.shape[1], gates.shape[1]
    by_sequence = steps if batch_first else 0
    _check_back(g, g_hn, g_cn, kept, gates, cells, tanh_c, w_ih, w_hh, d, dh, dc, dx, dw_ih, dw_hh, db_ih, db_hh)
    starts = row_starts(sizes, steps, batch, rows)
    pd, pdh, pdc, wanted = pointer(d), pointer(dh), pointer(dc), dx.size > 0
    clear(pdh, batch * hidden)
    clear(pdc, batch * hidden)
    if g_hn.size:
        copy(pointer(g_hn), pdh, batch * hidden)
    if g_cn.size:
        copy(pointer(g_cn), pdc, batch * hidden)
    tile_rows, vectors = tile_of(batch, threads)
    panel = panel_width(vectors, pd)
    packed_hh = np.empty(panels(hidden, 4 * hidden, panel), d.dtype)
    packed_ih = np.empty(panels(inputs, 4 * hidden, panel) if wanted else 0, d.dtype)
    pack(pointer(w_hh), 4 * hidden, hidden, panel, pointer(packed_hh))
    if wanted:
        pack(pointer(w_ih), 4 * hidden, inputs, panel, pointer(packed_ih))
    pg, pk, pdx, p_hh, p_ih = pointer(g), pointer(kept), pointer(dx), pointer(packed_hh), pointer(packed_ih)
    pa, pc, pt, kept_row, given = pointer(gates), pointer(cells), pointer(tanh_c), kept.shape[1], g.size > 0
    if threads == 1:
        _walk_back(pg, starts, hidden, pa, gates_row, pc, pt, p_hh, p_ih, inputs, pd, width, pdh, pdc, pdx, given,
                   wanted, by_sequence, reverse, 0, batch, tile_rows, vectors)  # fmt: skip
        _weights(pd, width, pk, kept_row, rows, dw_ih, dw_hh, db_ih, db_hh, hidden, 0, 1)
    else:
        for p in prange(threads):
            _walk_back(pg, starts, hidden, pa, gates_row, pc, pt, p_hh, p_ih, inputs, pd, width, pdh, pdc, pdx, given,
                       wanted, by_sequence, reverse, share_of(p, batch, threads), share_of(p + 1, batch, threads),
                       tile_rows, vectors)  # fmt: skip
        for p in prange(threads):
            _weights(pd, width, pk, kept_row, rows, dw_ih, dw_hh, db_ih, db_hh, hidden, p, threads)
    keep(packed_hh)
    keep(packed_ih)


def lstm_sequence(
    x: np.ndarray, h0: np.ndarray, c0: np.ndarray, w_ih: np.ndarray, w_hh: np.ndarray, b_ih: np.ndarray | None,
    b_hh: np.ndarray | None, w_hr: np.ndarray | None, batch_sizes: Sequence[int] | None, batch_first: bool,
    reverse: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:  # fmt: skip
    """See the reference. float32 or float64, all of one dtype; ValueError for shapes that do not fit."""
    if w_hr is not None:
        with np.errstate(all="ignore"):  # as of a compiled kernel, no warnings of infinities are expected
            return reference.lstm_sequence(x, h0, c0, w_ih, w_hh, b_ih, b_hh, w_hr, batch_sizes, batch_first, reverse)
    dtype, (batch, hidden) = x.dtype, h0.shape
    in_block = x.ndim == 3
    block = x if in_block else x[None]
    rows, inputs, nothing = block.shape[0] * block.shape[1], block.shape[2], NOTHING[dtype]
    h = arena.empty((*x.shape[:-1], hidden), dtype)
    h_n, c_n = np.empty((batch, hidden), dtype), np.empty((batch, hidden), dtype)
    kept = arena.empty((rows + batch, padded(hidden + inputs)), dtype)
    gates = arena.empty((rows, padded(4 * hidden)), dtype)
    cells, tanh_c = arena.empty((rows + batch, hidden), dtype), arena.empty((rows, hidden), dtype)
    _forward(
        carray(block), carray(h0), carray(c0), carray(w_ih), carray(w_hh),
        nothing if b_ih is None else carray(b_ih), nothing if b_hh is None else carray(b_hh), sizes_array(batch_sizes),
        h if in_block else h[None], h_n, c_n, kept, gates, cells, tanh_c, batch_first and in_block, reverse,
        walkers(4 * rows * hidden * (hidden + inputs), batch),
    )  # fmt: skip
    return h, h_n, c_n, (kept, gates, cells, tanh_c)


def lstm_sequence_backward(
    g: np.ndarray | None, g_hn: np.ndarray | None, g_cn: np.ndarray | None, x: np.ndarray, saved: Any,
    w_ih: np.ndarray, w_hh: np.ndarray, w_hr: np.ndarray | None, batch_sizes: Sequence[int] | None, batch_first: bool,
    reverse: bool, needs: Sequence[bool], out: Sequence[np.ndarray | None] = (None,) * 4,
) -> tuple[np.ndarray | None, ...]:  # fmt: skip
    """See the reference."""
    if w_hr is not None:
        with np.errstate(all="ignore"):
            return reference.lstm_sequence_backward(
                g, g_hn, g_cn, x, saved, w_ih, w_hh, w_hr, batch_sizes, batch_first, reverse, needs, out
            )
    dtype, hidden, nothing = x.dtype, w_hh.shape[1], NOTHING[x.dtype]
    none2, none3, in_block = NO_MATRIX[dtype], NO_BLOCK[dtype], x.ndim == 3
    kept, gates, cells, tanh_c = saved
    rows = len(gates)
    batch, by_sequence = len(kept) - rows, batch_first and in_block
    steps = len(batch_sizes) if batch_sizes is not None else x.shape[1] if by_sequence else x.shape[0]
    d = arena.empty((rows, padded(4 * hidden)), dtype)
    dh, dc = np.empty((batch, hidden), dtype), np.empty((batch, hidden), dtype)
    dx = arena.empty(x.shape, dtype) if needs[0] else None
    dw_ih, dw_hh, db_ih, db_hh = weight_rooms(w_ih, w_hh, needs[3:7], out)
    both = db_ih if db_ih is not None else db_hh  # the two biases have one gradient
    _backward(
        none3 if g is None else carray(g if in_block else g[None]), none2 if g_hn is None else carray(g_hn),
        none2 if g_cn is None else carray(g_cn), sizes_array(batch_sizes), steps, kept, gates, cells, tanh_c,
        carray(w_ih), carray(w_hh), d, dh, dc, none3 if dx is None else dx if in_block else dx[None],
        none2 if dw_ih is None else dw_ih, none2 if dw_hh is None else dw_hh, nothing if both is None else both,
        nothing if db_hh is None or both is db_hh else db_hh, by_sequence, reverse,
        walkers(8 * rows * hidden * (hidden + w_ih.shape[1]), batch),
    )  # fmt: skip
    return dx, dh, dc, dw_ih, dw_hh, db_ih, db_hh, None

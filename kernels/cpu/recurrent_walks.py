"""The compiled walks of recurrent networks: through all steps, and back. The cells are `rnn`, `lstm` and `gru`.

One call walks all steps, and a second one walks them back and then computes every gradient. See `recurrent_rows` for
how the steps lie in memory. A cell computes one step for some rows, forwards and back; what it must remember of a row
beside the state and the input lies in a second matrix, ``gates``.

**Threads** share out the sequences, walk all steps without meeting, and then share out the rows of the weights'
gradients: no sum is split, so the bits do not depend on their number (Appleyard, Kocisky & Blunsom 2016, for GPUs).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from .compile import compiled
from .recurrent_rows import (
    clear,
    copy_rows,
    inlined,
    outside,
    pack_rows,
    padded,
    panel_width,
    panels,
    part_of,
    product,
    room,
    row_starts,
    share_of,
    size_of,
    tile_of,
    weight_gradients,
)
from .tile import ACCUMULATE, ZERO
from .vectors import at, item_bytes, keep, line, pointer

REALS = ("float32", "float64")


class Cell(NamedTuple):
    """A kind of network. Its widths are in units of H, the size of the state."""

    name: str
    gates: int  # the rows of w_ih and w_hh
    remembered: int  # the columns of `gates`
    memory: int  # the column of `gates` where the cell's second state stands; -1: it has none
    slopes: int  # the columns of d, the gradients of what the products gave
    offset: int  # where in d the gradients for w_hh begin. Before stand those that are for the last gate of w_ih alone
    pack: Callable[..., Any]  # (w_ih, w_hh, b_ih, b_hh, inputs, hidden, panel, weights, bias): makes the operands
    step: Callable[..., Any]  # (layer, row, count, to, h, h_row): one step of `count` sequences, from `row` on
    back: Callable[..., Any]  # (layer, row, count, to, g, g_row, d, d_row, dh, dc): the same step back


class Layer(NamedTuple):
    """What a cell is told beside the rows: pointers and sizes, in compiled code."""

    hidden: int
    inputs: int
    kept: Any  # (N + B, kept_row): the state that a row meets, and its input
    kept_row: int
    gates: Any  # (N + B, gates_row)
    gates_row: int
    weights: Any  # as the cell has packed them
    bias: Any
    relu: bool
    rows: int  # of the tile, and its vectors
    vectors: int


class Walks(NamedTuple):
    """The compiled walks of a cell."""

    cell: Cell
    forward: Any
    backward: Any


_FORWARD = (
    "void({r}[:,:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[:,::1], {r}[::1], {r}[::1], int64[::1], {r}[:,:,::1], "
    "{r}[:,::1], {r}[:,::1], {r}[::1], boolean, boolean, boolean, int64)"
)
_BACKWARD = (
    "void({r}[:,:,::1], {r}[:,::1], {r}[:,::1], int64[::1], int64, {r}[::1], {r}[:,::1], {r}[:,::1], {r}[::1], "
    "{r}[:,::1], {r}[:,::1], {r}[:,:,::1], {r}[:,::1], {r}[:,::1], {r}[::1], {r}[::1], "
    "boolean, boolean, boolean, boolean, int64)"
)


@inlined
def _check_sizes(gates, hidden, inputs, rows, batch, remembered, w_ih, w_hh, b_ih, b_hh, saved):
    if w_ih.shape != (gates * hidden, inputs) or w_hh.shape != (gates * hidden, hidden):
        raise ValueError("the weights must have shapes (G H, I) and (G H, H)")
    if b_ih.size not in (0, gates * hidden) or b_hh.size not in (0, gates * hidden):
        raise ValueError("the biases must have shape (G H,)")
    if saved.size < room(rows + batch, hidden + inputs, remembered * hidden):
        raise ValueError("what is saved must hold a row for each of x and of the first state")


@inlined
def _check_like(state, hidden, batch, wanted):
    if (wanted or state.size) and state.shape != (batch, hidden):
        raise ValueError("the states, and their gradients, must have shape (B, H)")


@inlined
def _check_gradients(g, dx, dw_ih, dw_hh, w_ih, w_hh, d, rows, slopes, hidden):
    if g.size not in (0, rows * hidden) or dx.size not in (0, rows * w_ih.shape[1]):
        raise ValueError("the gradients must have the shapes of what they belong to")
    if (dw_ih.size and dw_ih.shape != w_ih.shape) or (dw_hh.size and dw_hh.shape != w_hh.shape):
        raise ValueError("the gradients must have the shapes of what they belong to")
    if d.size < room(rows, slopes * hidden, 0):
        raise ValueError("d must hold a row for each of x")


@inlined
def _start(given, to):
    """The gradient of the last states, or zeros."""
    if given.size:
        copy_rows(1, given.size, pointer(given), 0, pointer(to), 0)
    else:
        clear(pointer(to), to.size)


@inlined
def _opened(saved, starts, hidden, inputs, remembered, weights, bias, relu, batch, threads):
    kept_row = padded(hidden + inputs)
    rows, vectors = tile_of(batch, threads)
    kept = line(saved, weights)
    gates = at(kept, (starts[starts.size - 1] + batch) * kept_row)
    return Layer(hidden, inputs, kept, kept_row, gates, padded(remembered * hidden), weights, bias, relu, rows, vectors)


@inlined
def _begin(layer, memory, h0, c0, starts, step, before, n0, end):
    """The states of the sequences that begin with this step; `before` is the step that was walked before, -1: none."""
    hidden, begin = layer.hidden, max(n0, size_of(starts, before))
    row, count = starts[step] + begin, end - begin
    copy_rows(count, hidden, at(h0, begin * hidden), hidden, at(layer.kept, row * layer.kept_row), layer.kept_row)
    if memory >= 0:
        to = at(layer.gates, row * layer.gates_row + memory * hidden)
        copy_rows(count, hidden, at(c0, begin * hidden), hidden, to, layer.gates_row)


def _named(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the user reads this name while the kernel is compiled."""

    def rename(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__name__ = name
        return function

    return rename


def walks(cell: Cell) -> Walks:
    """The compiled walks of a kind of network."""
    gates, remembered, memory, slopes, offset = cell[1:6]
    cell_pack, cell_step, cell_back = cell.pack, cell.step, cell.back

    @inlined
    def walk(x, h0, c0, weights, bias, starts, h, saved, by_sequence, reverse, relu, thread, threads):
        """A thread's share of the sequences through all steps."""
        batch, hidden = h0.shape
        inputs, steps = x.shape[2], starts.size - 1
        layer = _opened(saved, starts, hidden, inputs, remembered, weights, bias, relu, batch, threads)
        n0, n1 = share_of(thread, batch, threads), share_of(thread + 1, batch, threads)
        row_of_sequence, before = max(1, by_sequence), -1
        for s in range(steps):
            step = steps - 1 - s if reverse else s
            following = step - 1 if reverse else step + 1
            first, end = starts[step], min(n1, size_of(starts, step))
            if end <= n0:
                continue
            of_x = at(pointer(x), outside(starts, step, n0, by_sequence) * inputs)
            beside_state = at(layer.kept, (first + n0) * layer.kept_row + hidden)
            copy_rows(end - n0, inputs, of_x, row_of_sequence * inputs, beside_state, layer.kept_row)
            _begin(layer, memory, pointer(h0), pointer(c0), starts, step, before, n0, end)
            for part in range(2):
                begin, stop, to = part_of(part, starts, following, n0, end)
                if stop > begin:
                    cell_step(layer, first + begin, stop - begin, to,
                              at(pointer(h), outside(starts, step, begin, by_sequence) * hidden),
                              row_of_sequence * hidden)  # fmt: skip
            before = step

    @compiled([_FORWARD.format(r=r) for r in REALS], parallel=True)
    @_named(f"{cell.name}_forward")
    def forward(x, h0, c0, w_ih, w_hh, b_ih, b_hh, sizes, h, h_n, c_n, saved, batch_first, reverse, relu, threads):
        """Fills h, h_n, c_n and saved. Empty arrays stand for absent ones: c0, b_ih, b_hh, and sizes for a block."""
        (batch, hidden), inputs, rows = h0.shape, x.shape[2], x.shape[0] * x.shape[1]
        by_sequence = x.shape[1] if batch_first else 0
        steps = sizes.size if sizes.size else by_sequence if batch_first else x.shape[0]
        _check_sizes(gates, hidden, inputs, rows, batch, remembered, w_ih, w_hh, b_ih, b_hh, saved)
        _check_like(h_n, hidden, batch, True)
        _check_like(c0, hidden, batch, memory >= 0)
        _check_like(c_n, hidden, batch, memory >= 0)
        if h.size != rows * hidden:
            raise ValueError("h must hold a row for each of x")
        starts = row_starts(sizes, steps, batch, rows)
        panel = panel_width(tile_of(batch, threads)[1], pointer(x))
        item = item_bytes(pointer(x))
        memory_of_weights = np.empty(gates * panels(hidden, hidden + inputs, panel) * item + 64, np.uint8)
        weights = line(memory_of_weights, pointer(x))
        sums = np.empty((gates + 1) * hidden, x.dtype)
        bias = pointer(sums)
        cell_pack(w_ih, w_hh, b_ih, b_hh, inputs, hidden, panel, weights, bias)
        if threads == 1:
            walk(x, h0, c0, weights, bias, starts, h, saved, by_sequence, reverse, relu, 0, 1)
        else:
            for p in prange(threads):
                walk(x, h0, c0, weights, bias, starts, h, saved, by_sequence, reverse, relu, p, threads)
        layer = _opened(saved, starts, hidden, inputs, remembered, weights, bias, relu, batch, 1)
        last = at(layer.kept, rows * layer.kept_row)
        copy_rows(batch, hidden, last, layer.kept_row, pointer(h_n), hidden)
        if memory >= 0:
            last = at(layer.gates, rows * layer.gates_row + memory * hidden)
            copy_rows(batch, hidden, last, layer.gates_row, pointer(c_n), hidden)
        keep(memory_of_weights)
        keep(sums)

    @inlined
    def walk_back(g, starts, inputs, saved, of_h, of_x, d, dh, dc, dx, by_sequence, reverse, relu, whole, thread,
                  threads):  # fmt: skip
        """d, dh, dc and dx of a thread's share of the sequences, through all steps back."""
        (batch, hidden), d_row, of_d = dh.shape, padded(slopes * dh.shape[1]), line(d, of_h)
        steps = starts.size - 1
        layer = _opened(saved, starts, hidden, inputs, remembered, of_h, of_h, relu, batch, threads)
        rows, vectors = layer.rows, layer.vectors
        n0, n1 = share_of(thread, batch, threads), share_of(thread + 1, batch, threads)
        row_of_sequence = max(1, by_sequence)
        nothing = np.empty(hidden, d.dtype)  # one row of zeros for all, where h has no gradient
        clear(pointer(nothing), hidden)
        for s in range(steps):
            step = s if reverse else steps - 1 - s
            following = step - 1 if reverse else step + 1
            first, end = starts[step], min(n1, size_of(starts, step))
            if end <= n0:
                continue
            for part in range(2):
                begin, stop, to = part_of(part, starts, following, n0, end)
                if stop > begin:
                    of_g, g_row = pointer(nothing), 0
                    if g.size:
                        of_g = at(pointer(g), outside(starts, step, begin, by_sequence) * hidden)
                        g_row = row_of_sequence * hidden
                    cell_back(layer, first + begin, stop - begin, to, of_g, g_row,
                              at(of_d, (first + begin) * d_row), d_row, at(pointer(dh), begin * hidden),
                              at(pointer(dc), begin * hidden))  # fmt: skip
            here, count = at(of_d, (first + n0) * d_row), end - n0
            if whole or s < steps - 1:
                product(at(here, offset * hidden), d_row, of_h, gates * hidden, at(pointer(dh), n0 * hidden), hidden,
                        count, hidden, ACCUMULATE if offset else ZERO, here, rows, vectors)  # fmt: skip
            if dx.size:
                to_x = at(pointer(dx), outside(starts, step, n0, by_sequence) * inputs)
                product(here, d_row, of_x, gates * hidden, to_x, row_of_sequence * inputs, count, inputs, ZERO, here,
                        rows, vectors)  # fmt: skip
        keep(nothing)

    @inlined
    def add_up(d, saved, rows, hidden, inputs, dw_ih, dw_hh, db_ih, db_hh, thread, threads):
        """A thread's share of the gradients of weights and biases."""
        d_row, kept_row, of_d = padded(slopes * hidden), padded(hidden + inputs), line(d, pointer(saved))
        first, end = share_of(thread, gates * hidden, threads), share_of(thread + 1, gates * hidden, threads)
        met, turned = (
            line(saved, of_d),
            (gates - offset) * hidden,
        )  # the row of w_ih from which on d's first columns serve
        weight_gradients(at(of_d, offset * hidden), d_row, met, kept_row, hidden, rows, dw_hh,
                         db_hh if offset or not db_ih.size else db_hh[:0], first, end)  # fmt: skip
        weight_gradients(at(of_d, offset * hidden), d_row, at(met, hidden), kept_row, inputs, rows, dw_ih, db_ih,
                         min(first, turned), min(end, turned))  # fmt: skip
        weight_gradients(at(of_d, -turned), d_row, at(met, hidden), kept_row, inputs, rows, dw_ih, db_ih,
                         max(first, turned), max(end, turned))  # fmt: skip
        if not offset and db_ih.size and db_hh.size:  # the two biases stand in one sum
            copy_rows(1, end - first, at(pointer(db_ih), first), 0, at(pointer(db_hh), first), 0)

    @compiled([_BACKWARD.format(r=r) for r in REALS], parallel=True)
    @_named(f"{cell.name}_backward")
    def backward(
        g, g_hn, g_cn, sizes, steps, saved, w_ih, w_hh, d, dh, dc, dx, dw_ih, dw_hh, db_ih, db_hh, batch_first,
        reverse, relu, whole, threads,
    ):  # fmt: skip
        """Fills d, dh, dc, dx and the gradients of the weights; empty arrays stand for absent and unwanted ones.

        dh and dc are the first states' only if they are wanted as a `whole`; else the last product is spared.
        """
        (batch, hidden), inputs = dh.shape, w_ih.shape[1]
        rows = sizes.sum() if sizes.size else steps * batch
        _check_sizes(gates, hidden, inputs, rows, batch, remembered, w_ih, w_hh, db_ih, db_hh, saved)
        _check_gradients(g, dx, dw_ih, dw_hh, w_ih, w_hh, d, rows, slopes, hidden)
        _check_like(g_hn, hidden, batch, False)
        _check_like(g_cn, hidden, batch, False)
        _check_like(dc, hidden, batch, memory >= 0)
        starts = row_starts(sizes, steps, batch, rows)
        _start(g_hn, dh)
        _start(g_cn, dc)
        panel, depth = panel_width(tile_of(batch, threads)[1], pointer(d)), gates * hidden
        elements = panels(hidden, depth, panel)
        packed = np.empty((elements + panels(inputs, depth, panel)) * item_bytes(pointer(d)) + 64, np.uint8)
        of_h = line(packed, pointer(d))
        of_x = at(of_h, elements)
        pack_rows(pointer(w_hh), depth, hidden, panel, depth, of_h)
        if dx.size:  # in the order of d's columns: the last gates first where they stand first
            turned = depth - offset * hidden
            pack_rows(at(pointer(w_ih), turned * inputs), depth - turned, inputs, panel, depth, of_x)
            pack_rows(pointer(w_ih), turned, inputs, panel, depth, at(of_x, (depth - turned) * panel))
        by_sequence = steps if batch_first else 0
        if threads == 1:
            walk_back(g, starts, inputs, saved, of_h, of_x, d, dh, dc, dx, by_sequence, reverse, relu, whole, 0, 1)
            add_up(d, saved, rows, hidden, inputs, dw_ih, dw_hh, db_ih, db_hh, 0, 1)
        else:
            for p in prange(threads):
                walk_back(g, starts, inputs, saved, of_h, of_x, d, dh, dc, dx, by_sequence, reverse, relu, whole, p,
                          threads)  # fmt: skip
            for p in prange(threads):
                add_up(d, saved, rows, hidden, inputs, dw_ih, dw_hh, db_ih, db_hh, p, threads)
        keep(packed)

    return Walks(cell, forward, backward)

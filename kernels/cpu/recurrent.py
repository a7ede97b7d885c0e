"""The compiled recurrent networks' one door: from a call as in kernels.reference to a compiled walk.

`rnn`, `lstm` and `gru` hold their cells' mathematics and call these two; `recurrent_walks` walks.
"""

from collections.abc import Sequence

import numpy as np

from .compile import carray
from .recurrent_rows import room
from .recurrent_walks import REALS, Walks
from .threads import threads_for

# What stands for an absent array in a compiled call.
NOTHING, NO_MATRIX, NO_BLOCK = ({np.dtype(r): np.empty((0,) * n, r) for r in REALS} for n in (1, 2, 3))
NO_SIZES = np.empty(0, np.int64)
ALONE = 16_000_000  # multiply-adds, 0.15 ms: for less it does not pay to wake a second thread, whose core may be busy


def walkers(work: int, batch: int) -> int:
    """How many threads share the sequences of a batch, for so many multiply-adds."""
    return 1 if work < ALONE else threads_for(work, batch)


def sequence(
    network: Walks, x: np.ndarray, h0: np.ndarray, c0: np.ndarray | None, w_ih: np.ndarray, w_hh: np.ndarray,
    b_ih: np.ndarray | None, b_hh: np.ndarray | None, batch_sizes: Sequence[int] | None, batch_first: bool,
    reverse: bool, relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """h, h_n, c_n (empty without c0) and what the gradient needs; ValueError for shapes that do not fit."""
    cell, dtype, (batch, hidden) = network.cell, x.dtype, h0.shape
    in_block, nothing, none = x.ndim == 3, NOTHING[dtype], NO_MATRIX[dtype]
    block = x if in_block else x[None]
    steps, width, inputs = block.shape
    rows = steps * width
    c_n = none if c0 is None else np.empty((batch, hidden), dtype)
    size = room(rows + batch, hidden + inputs, cell.remembered * hidden)
    h, h_n, saved = np.empty((*x.shape[:-1], hidden), dtype), np.empty((batch, hidden), dtype), np.empty(size, dtype)
    network.forward(
        carray(block), carray(h0), none if c0 is None else carray(c0), carray(w_ih), carray(w_hh),
        nothing if b_ih is None else carray(b_ih), nothing if b_hh is None else carray(b_hh),
        NO_SIZES if batch_sizes is None else np.array(batch_sizes, np.int64), h if in_block else h[None], h_n, c_n,
        saved, batch_first and in_block, reverse, relu, walkers(cell.gates * rows * hidden * (hidden + inputs), batch),
    )  # fmt: skip
    return h, h_n, c_n, saved


def sequence_backward(
    network: Walks, g: np.ndarray | None, g_hn: np.ndarray | None, g_cn: np.ndarray | None, x: np.ndarray,
    saved: np.ndarray, w_ih: np.ndarray, w_hh: np.ndarray, batch_sizes: Sequence[int] | None, batch_first: bool,
    reverse: bool, needs: Sequence[bool], out: Sequence[np.ndarray | None], relu: bool = False,
) -> list[np.ndarray | None]:  # fmt: skip
    """The gradients of x, the first states, w_ih, w_hh, b_ih and b_hh, None where `needs` wants none.

    Those of the four last are written to where `out` says, if it does.
    """
    cell, dtype, hidden = network.cell, x.dtype, w_hh.shape[1]
    in_block, nothing, none2, none3 = x.ndim == 3, NOTHING[dtype], NO_MATRIX[dtype], NO_BLOCK[dtype]
    shape = x.shape
    by_sequence = batch_first and in_block
    rows, inputs = (shape[0] * shape[1] if in_block else shape[0]), shape[-1]
    steps = len(batch_sizes) if batch_sizes is not None else shape[by_sequence]
    batch = batch_sizes[0] if batch_sizes is not None else shape[not by_sequence]
    states, size = 1 if cell.memory < 0 else 2, room(rows, cell.slopes * hidden, 0)
    d, dx = np.empty(size, dtype), np.empty(shape, dtype) if needs[0] else None
    dh = np.empty((batch, hidden), dtype)
    dc = none2 if states == 1 else np.empty((batch, hidden), dtype)
    gradients: list[np.ndarray | None] = []
    for need, weight, place in zip(needs[1 + states : 5 + states], (w_ih, w_hh, w_ih[:, 0], w_ih[:, 0]), out):
        gradients.append(None if not need else place if place is not None else np.empty(weight.shape, dtype))
    dw_ih, dw_hh, db_ih, db_hh = gradients
    wanted = True in needs[1 : 1 + states]
    network.backward(
        none3 if g is None else carray(g if in_block else g[None]), none2 if g_hn is None else carray(g_hn),
        none2 if g_cn is None else carray(g_cn), NO_SIZES if batch_sizes is None else np.array(batch_sizes, np.int64),
        steps, saved, carray(w_ih), carray(w_hh), d, dh, dc, none3 if dx is None else dx if in_block else dx[None],
        none2 if dw_ih is None else dw_ih, none2 if dw_hh is None else dw_hh, nothing if db_ih is None else db_ih,
        nothing if db_hh is None else db_hh, by_sequence, reverse, relu, wanted,
        walkers(2 * cell.gates * rows * hidden * (hidden + inputs), batch),
    )  # fmt: skip
    first = (dh if needs[1] else None,) if states == 1 else (dh if needs[1] else None, dc if needs[2] else None)
    return [dx, *first, *gradients]

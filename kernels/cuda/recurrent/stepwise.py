"""A product and a kernel for each step: for hidden sizes whose weights no block can keep (see ``persistent``).

The hand-written product makes what the hidden states contribute to the gates of all sequences; the kernel does the
rest of the step, a thread to a unit of a sequence. Backward, the kernel leaves the slopes, and the product makes of
them what comes to the previous state, which the next kernel adds to the rest.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint32

from ...reference.namespace import array_namespace
from ...reference.packed import packed_steps
from .. import launcher
from ..matmul import matmul
from ..plan import Kernel, Plan, blocks_for, flat
from .cells import cell
from .walk import Walk

Array = Any

THREADS = 128


def walk_forward(
    a: Array, h0: Array, c0: Array | None, w_hh: Array, b_hh: Array | None, walk: Walk, name: str
) -> tuple[Array, Array, Array, tuple[Array, Array, Array]]:
    """What ``persistent.plan_forward`` leaves."""
    xp, dtype, hidden = array_namespace(a), np.dtype(a.dtype), h0.shape[1]
    h_n, c_n = h0.copy(), xp.empty((len(h0), 0), dtype) if c0 is None else c0.copy()
    kept = xp.empty((len(a), cell(name, dtype).kept * hidden), dtype)
    before, h = (xp.empty((len(a), hidden), dtype) for _ in "12")
    for rows, size in packed_steps(walk.sizes, walk.reverse):
        product = matmul(h_n[:size], w_hh.T)
        launcher.launch(plan_step, a, kept, before, h, h_n, c_n, product, b_hh, rows.start, name)
    return h, h_n, c_n, (a, kept, before)


def walk_back(
    gates: Array, kept: Array, before: Array, g: Array | None, dh: Array, dc: Array | None, w_hh: Array, walk: Walk,
    name: str,
) -> tuple[Array, Array, Array, Array | None]:  # fmt: skip
    """What ``persistent.plan_backward`` leaves."""
    xp, dtype = array_namespace(gates), np.dtype(gates.dtype)
    of_cell = cell(name, dtype)
    db, dh, dc = xp.empty(gates.shape, dtype), dh.copy(), None if dc is None else dc.copy()
    da = xp.empty(gates.shape, dtype) if of_cell.slopes > of_cell.gates else db
    product = dh[:0]
    for rows, size in packed_steps(walk.sizes, not walk.reverse):
        launcher.launch(plan_step_back, gates, kept, before, g, da, db, dh, dc, product, rows.start, size, name)
        product = matmul(db[rows], w_hh)
    launcher.launch(plan_step_back, gates, kept, before, g, da, db, dh, dc, product, 0, 0, name)
    return da, db, dh, dc


def plan_step(
    a: Array, kept: Array, before: Array, h: Array, state: Array, memory: Array, product: Array, bias: Array | None,
    first: int, name: str,
) -> Plan:  # fmt: skip
    """The launch that makes of a step's ``product`` (size, G·H) the next states; the step's rows begin at ``first``."""
    size, hidden = len(product), state.shape[1]
    arrays = a, kept, before, h, state, memory, product, product if bias is None else bias
    args = *map(flat, arrays), first, size, hidden, int(bias is not None)
    return Plan(step_kernel(name, np.dtype(a.dtype)), blocks_for(size * hidden, THREADS), args, state)


def plan_step_back(
    gates: Array, kept: Array, before: Array, g: Array | None, da: Array, db: Array, dh: Array, dc: Array | None,
    product: Array, first: int, size: int, name: str,
) -> Plan:  # fmt: skip
    """The launch that makes the slopes of a step of ``size`` sequences, whose rows begin at ``first``.

    ``product`` is what comes to the states of its first sequences from the step that was walked before.
    """
    made, hidden = len(product), dh.shape[1]
    arrays = gates, kept, before, gates if g is None else g, da, db, dh, dh if dc is None else dc, product
    args = *map(flat, arrays), first, size, made, hidden, int(g is not None)
    blocks = blocks_for(max(size, made) * hidden, THREADS)
    return Plan(step_back_kernel(name, np.dtype(gates.dtype)), blocks, args, dh)


@cache
def step_kernel(name: str, dtype: np.dtype) -> Kernel:
    """A step of all sequences that have it."""
    number = getattr(numba, dtype.name)
    G, K, _, with_memory, forward, _ = cell(name, dtype)
    room = max(K, 1)

    def recurrent_step(gates, kept, before, h_all, state, memory, product, bias, first, size, H, biased):
        a = cuda.local.array(G, number)
        b = cuda.local.array(G, number)
        extra = cuda.local.array(room, number)
        i = int32(cuda.grid(1))
        if i < size * H:
            sequence = int32(uint32(i) // uint32(H))
            unit = int32(i - sequence * H)
            row = int32(first + sequence)
            for gate in range(G):
                a[gate] = gates[(row * G + gate) * H + unit]
                b[gate] = product[(sequence * G + gate) * H + unit]
                if biased:
                    b[gate] += bias[gate * H + unit]
            h = state[i]
            c = memory[i] if with_memory else number(0)
            before[row * H + unit] = h
            h, c = forward(a, b, h, c, extra)
            state[i] = h
            h_all[row * H + unit] = h
            if with_memory:
                memory[i] = c
            for gate in range(G):
                gates[(row * G + gate) * H + unit] = a[gate]
            for k in range(K):
                kept[(row * K + k) * H + unit] = extra[k]

    return Kernel(recurrent_step, dtype, pointers=8, threads=THREADS)


@cache
def step_back_kernel(name: str, dtype: np.dtype) -> Kernel:
    """The slopes of a step of all sequences that have it."""
    number = getattr(numba, dtype.name)
    G, K, S, memory, _, backward = cell(name, dtype)
    room, own_a = max(K, 1), S > G

    def recurrent_step_back(gates, kept, before, g, da, db, dh, dc, product, first, size, made, H, given):
        values = cuda.local.array(G, number)
        extra = cuda.local.array(room, number)
        slopes = cuda.local.array(S, number)
        i = int32(cuda.grid(1))
        if i < max(size, made) * H:
            of_h = dh[i]
            if i < made * H:
                of_h += product[i]
            if i < size * H:
                sequence = int32(uint32(i) // uint32(H))
                unit = int32(i - sequence * H)
                row = int32(first + sequence)
                if given:
                    of_h += g[row * H + unit]
                for gate in range(G):
                    values[gate] = gates[(row * G + gate) * H + unit]
                for k in range(K):
                    extra[k] = kept[(row * K + k) * H + unit]
                of_c = dc[i] if memory else number(0)
                of_h, of_c = backward(values, extra, before[row * H + unit], of_h, of_c, slopes)
                if memory:
                    dc[i] = of_c
                for gate in range(G):
                    db[(row * G + gate) * H + unit] = slopes[gate]
                    if own_a:
                        da[(row * G + gate) * H + unit] = slopes[S - 1 if gate == G - 1 else gate]
            dh[i] = of_h

    return Kernel(recurrent_step_back, dtype, pointers=9, threads=THREADS)

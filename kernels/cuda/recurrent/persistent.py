"""All steps of all sequences in one launch: a block walks a sequence, and keeps W_hh in its registers.

Nothing that a step needs crosses blocks: the steps of a sequence wait for each other at a block's barrier, of which a
step has two, and no launch lies between them. A thread belongs to one gate of one unit. Forward it keeps that row of
W_hh, and multiplies it with the hidden state; backward it keeps a unit's column of one gate, and multiplies it with the
slopes of that gate. The first H threads then do what the cell does to a unit. What they need from memory they ask for
before the product, so that it comes meanwhile. (Diamos et al. 2016, "Persistent RNNs", with a block for a GPU.)

A block takes another sequence when it is through with one: W_hh is read BLOCKS times at most.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from ...reference.namespace import array_namespace
from ..plan import Kernel, Plan, flat
from ..rows import WARP
from .cells import cell
from .walk import Walk

Array = Any

BLOCKS = 256  # at most
REGISTERS = 65536  # of a multiprocessor, on every GPU since 2012
OF_A_THREAD = 255  # of those, at most
BESIDE = 40  # registers of a thread beside its weights, at least
UNROLLED = 128  # the compiler unrolls no longer loop, and only what has no loop around it can be in registers


def width_that_fits(gates: int, hidden: int, dtype: np.dtype) -> int | None:
    """The units of a block, ``hidden`` made up to full warps, if registers hold the weights of all gates; else None."""
    width = -(-hidden // WARP) * WARP
    threads, registers = gates * width, width * dtype.itemsize // 4 + BESIDE
    fits = width <= UNROLLED and registers <= OF_A_THREAD and threads * registers <= REGISTERS
    return width if fits else None


def plan_forward(
    a: Array, h0: Array, c0: Array | None, w_hh: Array, b_hh: Array | None, walk: Walk, name: str, width: int
) -> Plan:
    """The launch that leaves (h (N, H), h_n, c_n (B, H), (gates (N, G·H), kept (N, K·H), h before (N, H))).

    Those of the cell ``name``; ``a`` becomes the gates; without memory, c_n is empty. W_hh is transposed first, so that
    neighbouring threads read neighbouring numbers.
    """
    xp, dtype, hidden = array_namespace(a), np.dtype(a.dtype), h0.shape[1]
    of_cell = cell(name, dtype)
    kept, before, h, h_n, c_n = (
        xp.empty((rows, numbers * hidden), dtype)
        for rows, numbers in ((len(a), of_cell.kept), (len(a), 1), (len(a), 1), (len(h0), 1), (len(h0), of_cell.memory))
    )
    arrays = a, kept, before, h, h0, h0 if c0 is None else c0, h_n, c_n, w_hh.T, h0 if b_hh is None else b_hh
    flags = int(b_hh is not None), int(walk.ragged), int(walk.reverse)
    args = *map(flat, arrays), walk.places(xp), walk.steps, walk.batch, hidden, *flags
    blocks = min(walk.batch, BLOCKS) if h.size else 0
    return Plan(forward_kernel(name, dtype, width), blocks, args, (h, h_n, c_n, (a, kept, before)))


def plan_backward(
    gates: Array, kept: Array, before: Array, g: Array | None, dh: Array, dc: Array | None, w_hh: Array, walk: Walk,
    name: str, width: int,
) -> Plan:  # fmt: skip
    """The launch that leaves (da, db (N, G·H), dh0, dc0 (B, H)) from the gradients of h (None: zero), h_n and c_n.

    da and db are the gradients of what inputs and states contributed to the gates: one array, where they are equal.
    """
    xp, dtype = array_namespace(gates), np.dtype(gates.dtype)
    of_cell = cell(name, dtype)
    db, dh0 = xp.empty(gates.shape, dtype), xp.empty(dh.shape, dtype)
    da = xp.empty(gates.shape, dtype) if of_cell.slopes > of_cell.gates else db
    dc0 = None if dc is None else xp.empty(dc.shape, dtype)
    memory = (dh, dh0) if dc is None else (dc, dc0)
    arrays = gates, kept, before, gates if g is None else g, dh, memory[0], da, db, dh0, memory[1], w_hh
    flags = int(g is not None), int(walk.ragged), int(walk.reverse)
    args = *map(flat, arrays), walk.places(xp), walk.steps, walk.batch, dh.shape[1], *flags
    blocks = min(walk.batch, BLOCKS) if before.size else 0
    return Plan(backward_kernel(name, dtype, width), blocks, args, (da, db, dh0, dc0))


@cache
def forward_kernel(name: str, dtype: np.dtype, width: int) -> Kernel:
    """h after each step, and what the gradient needs."""
    number = getattr(numba, dtype.name)
    G, K, _, memory, forward, _ = cell(name, dtype)
    threads, room, shape = G * width, max(K, 1), (1, width)
    multiplied = _multiplied(number, width)

    def recurrent_forward(
        gates, kept, before, h_all, h0, c0, h_n, c_n, weight, bias, places, T, B, H, biased, ragged, backwards
    ):
        state = cuda.shared.array(shape, number, alignment=16)
        product = cuda.shared.array(threads, number)
        weights = cuda.local.array(width, number)
        a = cuda.local.array(G, number)
        b = cuda.local.array(G, number)
        extra = cuda.local.array(room, number)
        thread = int32(cuda.threadIdx.x)
        unit = int32(thread % width)
        line = int32(thread // width * H + unit)
        at = line  # counted up: offsets made of k would all be in registers together
        for k in range(width):
            weights[k] = weight[at] if unit < H and k < H else number(0)
            at = int32(at + G * H)
        shift = bias[line] if biased and unit < H else number(0)
        for sequence in range(int32(cuda.blockIdx.x), B, int32(cuda.gridDim.x)):
            c = number(0)
            if thread < width:
                state[0, thread] = h0[sequence * H + thread] if thread < H else number(0)
            if memory and thread < H:
                c = c0[sequence * H + thread]
            cuda.syncthreads()  # the first state is there
            steps = places[T + sequence] if ragged else T
            for step in range(steps):
                t = int32(steps - 1 - step if backwards else step)
                row = int32((places[t] if ragged else t * B) + sequence)
                if thread < H:
                    for gate in range(G):
                        a[gate] = gates[(row * G + gate) * H + thread]
                product[thread] = multiplied(weights, state, 0) + shift
                cuda.syncthreads()  # all products are there, and nobody reads the state any more
                if thread < H:
                    for gate in range(G):
                        b[gate] = product[gate * width + thread]
                    h = state[0, thread]
                    before[row * H + thread] = h
                    h, c = forward(a, b, h, c, extra)
                    state[0, thread] = h
                    h_all[row * H + thread] = h
                    for gate in range(G):
                        gates[(row * G + gate) * H + thread] = a[gate]
                    for k in range(K):
                        kept[(row * K + k) * H + thread] = extra[k]
                cuda.syncthreads()  # the new state is there
            if thread < H:
                h_n[sequence * H + thread] = state[0, thread]
                if memory:
                    c_n[sequence * H + thread] = c

    return Kernel(recurrent_forward, dtype, pointers=10, threads=threads, others={"places": "int32*"})


@cache
def backward_kernel(name: str, dtype: np.dtype, width: int) -> Kernel:
    """The slopes of each step, and the gradients of the first states."""
    number = getattr(numba, dtype.name)
    G, K, S, memory, _, backward = cell(name, dtype)
    threads, room, shape = G * width, max(K, 1), (G, width)
    own_a, multiplied = S > G, _multiplied(number, width)

    def recurrent_backward(
        gates, kept, before, g, dh_n, dc_n, da, db, dh0, dc0, weight, places, T, B, H, given, ragged, backwards
    ):
        of_gates = cuda.shared.array(shape, number, alignment=16)
        product = cuda.shared.array(threads, number)
        weights = cuda.local.array(width, number)
        values = cuda.local.array(G, number)
        extra = cuda.local.array(room, number)
        slopes = cuda.local.array(S, number)
        thread = int32(cuda.threadIdx.x)
        unit = int32(thread % width)
        mine = int32(thread // width)
        at = int32(mine * H * H + unit)
        for k in range(width):
            weights[k] = weight[at] if unit < H and k < H else number(0)
            at = int32(at + H)
        for sequence in range(int32(cuda.blockIdx.x), B, int32(cuda.gridDim.x)):
            dh = number(0)
            dc = number(0)
            if thread < H:
                dh = dh_n[sequence * H + thread]
                if memory:
                    dc = dc_n[sequence * H + thread]
            of_gates[mine, unit] = number(0)
            cuda.syncthreads()  # nothing comes to the last step from one behind it
            steps = places[T + sequence] if ragged else T
            for step in range(steps):
                t = int32(step if backwards else steps - 1 - step)
                row = int32((places[t] if ragged else t * B) + sequence)
                h = number(0)
                if thread < H:
                    h = before[row * H + thread]
                    for gate in range(G):
                        values[gate] = gates[(row * G + gate) * H + thread]
                    for k in range(K):
                        extra[k] = kept[(row * K + k) * H + thread]
                product[thread] = multiplied(weights, of_gates, mine)
                cuda.syncthreads()  # all products are there, and nobody reads the slopes any more
                if thread < H:
                    for gate in range(G):
                        dh += product[gate * width + thread]
                    if given:
                        dh += g[row * H + thread]
                    dh, dc = backward(values, extra, h, dh, dc, slopes)
                    for gate in range(G):
                        of_gates[gate, thread] = slopes[gate]
                        db[(row * G + gate) * H + thread] = slopes[gate]
                        if own_a:
                            da[(row * G + gate) * H + thread] = slopes[S - 1 if gate == G - 1 else gate]
                cuda.syncthreads()  # the slopes of this step are there
            product[thread] = multiplied(weights, of_gates, mine)
            cuda.syncthreads()  # what comes to the first state is there
            if thread < H:
                for gate in range(G):
                    dh += product[gate * width + thread]
                dh0[sequence * H + thread] = dh
                if memory:
                    dc0[sequence * H + thread] = dc

    return Kernel(recurrent_backward, dtype, pointers=11, threads=threads, others={"places": "int32*"})


def _multiplied(number: Any, width: int) -> Callable[..., Any]:
    """A device function: Σ of a thread's weights times a line of numbers."""

    @cuda.jit(device=True, forceinline=True)
    def multiplied(weights, numbers, line):
        even = number(0)
        odd = number(0)
        for k in range(0, width, 2):  # two sums, of which neither waits for the other
            even += weights[k] * numbers[line, k]
            odd += weights[k + 1] * numbers[line, k + 1]
        return even + odd

    return multiplied

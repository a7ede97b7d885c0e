"""Dropout on the GPU: a launch forward and one backward; what is kept is drawn where it is needed.

A draw is a function of its place alone (Philox, ``kernels.reference.philox``), so every thread finds the words of its
own four elements, from a counter and in some forty multiplications, and nothing random is read from memory: the same
bits as on a CPU, whichever rank computes which rows. The threads of a warp then hand one another what they have drawn,
so that neighbours read and write neighbouring numbers. x is seen as (outer, samples, inner, repeats), as in
``kernels.reference.dropout``; where one draw stands for several numbers, a second launch applies it to them.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32, uint8, uint32, uint64

from ..reference.dropout import least_kept
from ..reference.namespace import array_namespace
from ..reference.philox import MULTIPLIERS, ROUNDS, WEYL
from . import launcher
from .plan import WARP, Kernel, Plan, blocks_for, check_operands, check_size, flat
from .rows import ALL_LANES

Array = Any
Sizes = tuple[int, int, int, int]

THREADS = 256


def dropout_forward(
    x: Array, ticket: np.ndarray, sizes: Sizes, p: float, scale: float, shifts: tuple[float, float] = (0.0, 0.0)
) -> tuple[Array, Array]:
    """See the reference. TypeError unless x has float32 or float64; ValueError where the sizes do not fit."""
    y, kept = launcher.launch(plan_forward, x, ticket, sizes, p, scale, shifts)
    return (y if sizes[3] == 1 else launcher.launch(plan_apply, x, kept, scale, shifts)), kept


def dropout_backward(g: Array, kept: Array, scale: float) -> Array:
    """See the reference. TypeError unless g has float32 or float64; ValueError where the sizes do not fit."""
    return launcher.launch(plan_apply, g, kept, scale)


def plan_forward(
    x: Array, ticket: np.ndarray, sizes: Sizes, p: float, scale: float, shifts: tuple[float, float]
) -> Plan:
    """The launch that leaves (y, kept); y is left as it is where a draw stands for several numbers."""
    xp, dtype = array_namespace(x), check_operands(x=x)
    outer, samples, inner, repeats = sizes
    if min(sizes) < 0 or outer * samples * inner * repeats != x.size:
        raise ValueError(f"sizes must be those of x of shape {x.shape}, got {tuple(sizes)}")
    key0, key1, low, high, first = map(int, ticket)
    if not 0 <= first <= 2**32 - samples:
        raise ValueError(f"the numbers of samples must lie in [0, 2**32), not {first} to {first + samples - 1}")
    blocks = blocks_for(outer * inner, 4)
    check_size("x", (max(x.size, samples * blocks),))
    y, kept = xp.empty(x.shape, dtype), xp.empty(outer * samples * inner, np.uint8)
    words = [np.uint32(word) for word in (key0, key1, low, high, first, least_kept(p))]
    numbers = [dtype.type(number) for number in (scale, *shifts)]
    sizes_of = blocks, outer, samples, inner, int(repeats == 1), int(any(shifts))
    args = flat(x), y.reshape(-1), kept, *sizes_of, *words, *numbers
    return Plan(forward_kernel(dtype), blocks_for(samples * blocks, THREADS), args, (y, kept))


def plan_apply(x: Array, kept: Array, scale: float, shifts: tuple[float, float] = (0.0, 0.0)) -> Plan:
    """The launch that leaves x · noise, shifted; each of ``kept`` (K,), uint8, speaks for x.size / K numbers."""
    dtype = check_operands(x=x)
    if kept.dtype != np.uint8 or (x.size and (not kept.size or x.size % kept.size)):
        raise ValueError(f"kept must be uint8, one for so many of {x.size} numbers, got {kept.dtype} {kept.shape}")
    check_size("x", x.shape)
    y, repeats = array_namespace(x).empty(x.shape, dtype), x.size // max(kept.size, 1)
    numbers = [dtype.type(number) for number in (scale, *shifts)]
    args = flat(x), flat(kept), y.reshape(-1), x.size, repeats, int(any(shifts)), *numbers
    return Plan(apply_kernel(dtype), blocks_for(x.size, THREADS), args, y)


LOW = 0xFFFFFFFF  # half of 64 bits


@cuda.jit(device=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Four random words for a counter of four and a key of two; all uint32."""
    for _ in range(ROUNDS):
        p0 = uint64(c0) * uint64(MULTIPLIERS[0])
        p1 = uint64(c2) * uint64(MULTIPLIERS[1])
        c0 = uint32((p1 >> uint64(32)) ^ uint64(c1) ^ uint64(k0))
        c1 = uint32(p1 & uint64(LOW))
        c2 = uint32((p0 >> uint64(32)) ^ uint64(c3) ^ uint64(k1))
        c3 = uint32(p0 & uint64(LOW))
        k0 = uint32((uint64(k0) + uint64(WEYL[0])) & uint64(LOW))
        k1 = uint32((uint64(k1) + uint64(WEYL[1])) & uint64(LOW))
    return c0, c1, c2, c3


@cache
def forward_kernel(dtype: np.dtype) -> Kernel:
    """A thread for each counter, that is, for four elements of a sample; a warp reads and writes 32 in a row."""
    number = getattr(numba, dtype.name)

    def dropout_forward(
        x, y, kept, blocks, outer, samples, inner, applied, shifted, key0, key1, low, high, first, least,
        scale, of_kept, of_dropped,
    ):  # fmt: skip
        i = uint32(cuda.grid(1))
        mine = uint32(i // uint32(blocks))
        my_block = uint32(i - mine * uint32(blocks))
        words = philox(my_block, uint32(first + mine), low, high, key0, key1)
        my_bits = int32(0)
        for k in range(4):
            if uint32(words[k] >> uint32(8)) >= least:
                my_bits = int32(my_bits | int32(1 << k))
        lane = int32(cuda.threadIdx.x % WARP)
        for k in range(4):
            drawn_by = int32(8 * k + lane // 4)
            bits = cuda.shfl_sync(ALL_LANES, my_bits, drawn_by)
            sample = cuda.shfl_sync(ALL_LANES, int32(mine), drawn_by)
            e = int32(4 * cuda.shfl_sync(ALL_LANES, int32(my_block), drawn_by) + lane % 4)  # of a sample's elements
            if sample < samples and e < outer * inner:
                part = int32(uint32(e) // uint32(inner))
                at = int32((part * samples + sample) * inner + e - part * inner)
                is_kept = int32(bits >> (lane % 4) & 1)
                kept[at] = uint8(is_kept)
                if applied:
                    value = x[at] * (scale if is_kept else number(0))
                    if shifted:
                        value += of_kept if is_kept else of_dropped
                    y[at] = value

    words = dict.fromkeys(("key0", "key1", "low", "high", "first", "least"), "uint32")
    others = {"kept": "uint8*", **words, **dict.fromkeys(("scale", "of_kept", "of_dropped"), dtype.name)}
    return Kernel(dropout_forward, dtype, pointers=2, threads=THREADS, others=others)


@cache
def apply_kernel(dtype: np.dtype) -> Kernel:
    """A thread for each number."""
    number = getattr(numba, dtype.name)

    def dropout_apply(x, kept, y, n, repeats, shifted, scale, of_kept, of_dropped):
        i = uint32(cuda.grid(1))
        if i < n:
            is_kept = kept[uint32(i // uint32(repeats))]
            value = x[i] * (scale if is_kept else number(0))
            if shifted:
                value += of_kept if is_kept else of_dropped
            y[i] = value

    others = {"kept": "uint8*", **dict.fromkeys(("scale", "of_kept", "of_dropped"), dtype.name)}
    return Kernel(dropout_apply, dtype, pointers=2, threads=THREADS, others=others)

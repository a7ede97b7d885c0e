"""Entries of an axis picked by number, and their gradient, compiled: see ``kernels.reference.picked_rows``.

An array is seen as (outer, size, inner): the axis in question, what lies before it and what behind. Picking copies
rows of `inner` numbers. The gradient adds rows, in the order of their numbers, whoever does it: threads take different
outer parts, or different columns, never different numbers. So the bits do not depend on how many they are.
"""

from math import prod

import numpy as np
from numba import njit, prange

from .compile import check_real, compiled
from .signatures import real_signatures
from .threads import threads_for

Shape = tuple[int, ...]

INT64 = np.dtype(np.int64)
ALONE = 50_000  # numbers that one thread is done with before a second one has begun
LINE = 16  # columns, at least, that a thread gets: no two write to one line of the cache


def pick_rows(x: np.ndarray, numbers: np.ndarray, dim: int) -> np.ndarray:
    """For x in float32 or float64. TypeError for another dtype, IndexError for a number outside the axis."""
    check_real("x", x)
    if not x.flags.c_contiguous:
        return np.take(x, numbers, dim)  # rather than copy all of it
    y = np.empty((*x.shape[:dim], *numbers.shape, *x.shape[dim + 1 :]), x.dtype)
    sizes = prod(x.shape[:dim]), x.shape[dim], prod(x.shape[dim + 1 :])
    if _picked(x, numbers, y, sizes, -sizes[1]):
        np.take(x, numbers, dim)  # names the number
    return y


def add_rows(g: np.ndarray, numbers: np.ndarray, shape: Shape, dim: int) -> np.ndarray:
    """For g in float32 or float64. TypeError for another dtype, ValueError where shapes do not fit, IndexError for a
    number outside the axis."""
    check_real("g", g)
    if g.shape != (*shape[:dim], *numbers.shape, *shape[dim + 1 :]):
        raise ValueError(f"g of shape {g.shape} does not fit to {numbers.shape} numbers of axis {dim} of {shape}")
    y = np.empty(shape, g.dtype)
    sizes = prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :])
    if _added(g, numbers, y, sizes, -sizes[1], -1 - sizes[1], False):
        raise IndexError(f"a number is out of bounds for axis {dim} with size {sizes[1]}")
    return y


def embedding_forward(weight: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """For weight (rows, width) in float32 or float64; see the reference. TypeError for another dtype."""
    check_real("weight", weight)
    rows, width = weight.shape
    y = np.empty((*numbers.shape, width), weight.dtype)
    if _picked(weight, numbers, y, (1, rows, width), 0):
        raise IndexError(f"input must be in [0, {rows}), got {numbers.min()} to {numbers.max()}")
    return y


def embedding_backward(
    g: np.ndarray, numbers: np.ndarray, rows: int, padding: int | None, by_frequency: bool,
    out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """For g (…, width) in float32 or float64; see the reference.

    TypeError for another dtype, ValueError where sizes do not fit, IndexError for a number outside [0, rows).
    """
    check_real("g", g)
    width = g.shape[-1]
    if out is None:
        out = np.empty((rows, width), g.dtype)
    elif not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous")
    if _added(g, numbers, out, (1, rows, width), 0, -1 if padding is None else padding, by_frequency):
        raise IndexError(f"a number is outside [0, {rows})")
    return out


def _picked(x: np.ndarray, numbers: np.ndarray, y: np.ndarray, sizes: tuple[int, int, int], least: int) -> int:
    flat = numbers.ravel()
    if flat.dtype is not INT64:
        flat = flat.astype(np.int64)
    threads = 1 if y.size < ALONE else threads_for(y.size, sizes[0] * len(flat))
    if threads == 1:
        return _pick(x.ravel(), flat, y.reshape(-1), sizes, least)
    return _pick_of_threads(x.ravel(), flat, y.reshape(-1), sizes, least, threads)


def _added(
    g: np.ndarray, numbers: np.ndarray, y: np.ndarray, sizes: tuple[int, int, int], least: int, padding: int,
    by_frequency: bool,
) -> int:  # fmt: skip
    flat = numbers.ravel()
    if flat.dtype is not INT64:
        flat = flat.astype(np.int64)
    outer, _, inner = sizes
    work = g.size + y.size
    threads = 1 if work < ALONE else threads_for(work, max(outer, inner // LINE))
    if threads == 1:
        return _add(g.ravel(), flat, y.reshape(-1), sizes, least, padding, by_frequency)
    return _add_of_threads(g.ravel(), flat, y.reshape(-1), sizes, least, padding, by_frequency, threads)


_SIZES = "UniTuple(int64,3) int64"


@compiled(real_signatures(f"in1 ids1 out1 {_SIZES}", "int64"))
def _pick(x, numbers, y, sizes, least):
    """Returns how many numbers are outside [least, size): these are left out."""
    _check(x, numbers, y, sizes)
    return _pick_part(x, numbers, y, sizes, least, 0, sizes[0] * len(numbers))


@compiled(real_signatures(f"in1 ids1 out1 {_SIZES} int64", "int64"), parallel=True)
def _pick_of_threads(x, numbers, y, sizes, least, threads):
    _check(x, numbers, y, sizes)
    count, wrong = sizes[0] * len(numbers), 0
    for thread in prange(threads):
        first, end = thread * count // threads, (thread + 1) * count // threads
        wrong += _pick_part(x, numbers, y, sizes, least, first, end)
    return wrong


@compiled(real_signatures(f"in1 ids1 out1 {_SIZES} int64 boolean", "int64"))
def _add(g, numbers, y, sizes, least, padding, by_frequency):
    """Returns how many numbers are outside [least, size): these are left out."""
    _check(y, numbers, g, sizes)
    uses = _uses(numbers, sizes[1], least, by_frequency)
    return _add_part(g, numbers, y, sizes, least, padding, uses, (0, sizes[0]), (0, sizes[2]))


@compiled(real_signatures(f"in1 ids1 out1 {_SIZES} int64 boolean int64", "int64"), parallel=True)
def _add_of_threads(g, numbers, y, sizes, least, padding, by_frequency, threads):
    _check(y, numbers, g, sizes)
    uses = _uses(numbers, sizes[1], least, by_frequency)
    outer, _, inner = sizes
    lines = (inner + LINE - 1) // LINE
    wrong = np.zeros(threads, np.int64)
    for thread in prange(threads):
        outers, columns = (0, outer), (0, inner)
        if outer >= threads:
            outers = thread * outer // threads, (thread + 1) * outer // threads
        else:
            columns = thread * lines // threads * LINE, min(inner, (thread + 1) * lines // threads * LINE)
        wrong[thread] = _add_part(g, numbers, y, sizes, least, padding, uses, outers, columns)
    return wrong.max()


@njit(error_model="numpy")
def _check(whole, numbers, picked, sizes):
    outer, size, inner = sizes
    if min(outer, size, inner) < 0 or len(whole) != outer * size * inner or len(picked) != outer * len(numbers) * inner:
        raise ValueError("the arrays' sizes do not fit to the numbers")


@njit(error_model="numpy")
def _pick_part(x, numbers, y, sizes, least, first, end):
    """Rows first … end − 1 of y (outer · numbers, inner)."""
    _, size, inner = sizes
    wrong = 0
    for k in range(first, end):
        number = numbers[k % len(numbers)]
        if number < least or number >= size:
            wrong += 1
            continue
        number += size if number < 0 else 0
        of = (k // len(numbers) * size + number) * inner
        if inner == 1:
            y[k] = x[of]
        else:
            _copy(x[of : of + inner], y[k * inner : (k + 1) * inner])
    return wrong


@njit(error_model="numpy")
def _uses(numbers, size, least, by_frequency):
    """How often each number occurs, if that is wanted."""
    uses = np.zeros(size if by_frequency else 0, np.int64)
    if by_frequency:
        for number in numbers:
            if least <= number < size:
                uses[number] += 1
    return uses


@njit(error_model="numpy")
def _add_part(g, numbers, y, sizes, least, padding, uses, outers, columns):
    _, size, inner = sizes
    first, end = columns
    wrong = 0
    if first >= end:
        return wrong
    for a in range(outers[0], outers[1]):
        if end - first == inner:
            y[a * size * inner : (a + 1) * size * inner] = 0
        else:
            for i in range(size):
                y[(a * size + i) * inner + first : (a * size + i) * inner + end] = 0
        for k in range(len(numbers)):
            number = numbers[k]
            if number < least or number >= size:
                wrong += 1
                continue
            if number == padding:
                continue
            number += size if number < 0 else 0
            of, to = (a * len(numbers) + k) * inner, (a * size + number) * inner
            if len(uses):
                _add_share(g[of + first : of + end], y[to + first : to + end], uses[number])
            elif inner == 1:
                y[to] += g[of]
            else:
                _add_row(g[of + first : of + end], y[to + first : to + end])
    return wrong


@njit(error_model="numpy")
def _copy(row, to):
    for j in range(len(row)):
        to[j] = row[j]


@njit(error_model="numpy")
def _add_row(row, to):
    for j in range(len(row)):
        to[j] += row[j]


@njit(error_model="numpy")
def _add_share(row, to, uses):
    for j in range(len(row)):
        to[j] += row[j] / row.dtype.type(uses)

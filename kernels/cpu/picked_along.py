"""Elements picked along an axis, each by an index of its own, and their gradient, compiled.

Same meaning as in ``kernels.reference.picked_rows``. An array is seen as (outer, size, inner): the axis in question,
what lies before it and what behind. Threads take different outer parts, or different columns, so each sum has the
order of the index, and the bits do not depend on how many they are.
"""

from math import prod

import numpy as np
from numba import njit, prange

from ..reference import picked_rows as reference
from .compile import check_real, compiled
from .signatures import real_signatures
from .threads import threads_for

Shape = tuple[int, ...]

INT64 = np.dtype(np.int64)
ALONE = 20_000  # elements that one thread is done with before a second one has begun
LINE = 16  # columns, at least, that a thread gets: no two write to one line of the cache


def pick_along(x: np.ndarray, index: np.ndarray, dim: int) -> np.ndarray:
    """For x in float32 or float64. TypeError for another dtype, IndexError for an index outside the axis."""
    check_real("x", x)
    if not (x.flags.c_contiguous and _fits(index, x.shape, dim)):
        return reference.pick_along(x, index, dim)  # rather than copy all of x
    y = np.empty(index.shape, x.dtype)
    sizes = prod(x.shape[:dim]), x.shape[dim], prod(x.shape[dim + 1 :]), index.shape[dim]
    threads = 1 if y.size < ALONE else threads_for(2 * y.size, max(sizes[0], sizes[2] // LINE))
    if _pick(threads, x.ravel(), _numbers(index), y.reshape(-1), sizes):
        reference.pick_along(x, index, dim)  # names the index
    return y


def add_along(g: np.ndarray, index: np.ndarray, shape: Shape, dim: int, base: np.ndarray | None = None) -> np.ndarray:
    """For g and base in float32 or float64. TypeError for another dtype, IndexError for an index outside the axis.

    ValueError for another shape of g than that of `index`, or of base than `shape`.
    """
    check_real("g", g)
    if g.shape != index.shape or (base is not None and base.shape != shape):
        raise ValueError(f"g of shape {g.shape} must have the shape of index, {index.shape}, and base {shape}")
    if not _fits(index, shape, dim):
        return reference.add_along(g, index, shape, dim, base)
    y = np.empty(shape, g.dtype) if base is None else np.array(base, order="C")
    sizes = prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :]), index.shape[dim]
    work = y.size + 4 * g.size
    threads = 1 if work < ALONE else threads_for(work, max(sizes[0], sizes[2] // LINE))
    if _add(threads, g.ravel(), _numbers(index), y.reshape(-1), sizes, base is None):
        raise IndexError(f"an index is out of bounds for axis {dim} with size {shape[dim]}")
    return y


def _fits(index: np.ndarray, shape: Shape, dim: int) -> bool:
    return (*index.shape[:dim], *index.shape[dim + 1 :]) == (*shape[:dim], *shape[dim + 1 :])


def _numbers(index: np.ndarray) -> np.ndarray:
    flat = index.ravel()
    return flat if flat.dtype is INT64 else flat.astype(np.int64)


_ARGUMENTS = "int64 in1 ids1 out1 UniTuple(int64,4)"


@compiled(real_signatures(_ARGUMENTS, "int64"), parallel=True)
def _pick(threads, x, index, y, sizes):
    """Returns 0, or how many indices of some part are outside: these are left out."""
    _check(x, index, y, sizes)
    if threads == 1:
        return _pick_part(x, index, y, sizes, (0, sizes[0]), (0, sizes[2]))
    wrong = np.zeros(threads, np.int64)
    for thread in prange(threads):
        outers, columns = _part(thread, threads, sizes)
        wrong[thread] = _pick_part(x, index, y, sizes, outers, columns)
    return wrong.max()


@compiled(real_signatures(_ARGUMENTS + " boolean", "int64"), parallel=True)
def _add(threads, g, index, y, sizes, fresh):
    """As _pick; y is `fresh` if it holds nothing yet."""
    _check(y, index, g, sizes)
    if threads == 1:
        return _add_part(g, index, y, sizes, fresh, (0, sizes[0]), (0, sizes[2]))
    wrong = np.zeros(threads, np.int64)
    for thread in prange(threads):
        outers, columns = _part(thread, threads, sizes)
        wrong[thread] = _add_part(g, index, y, sizes, fresh, outers, columns)
    return wrong.max()


@njit(error_model="numpy")
def _check(whole, index, picked, sizes):
    outer, size, inner, count = sizes
    fits = len(whole) == outer * size * inner and len(picked) == outer * count * inner
    if min(outer, size, inner, count) < 0 or not fits or len(index) != len(picked):
        raise ValueError("the arrays' sizes do not fit to the index")


@njit(error_model="numpy")
def _part(thread, threads, sizes):
    """(outer parts, columns), each (first, end), of a thread."""
    outer, _, inner, _ = sizes
    if outer >= threads:
        return (thread * outer // threads, (thread + 1) * outer // threads), (0, inner)
    lines = (inner + LINE - 1) // LINE
    return (0, outer), (thread * lines // threads * LINE, min(inner, (thread + 1) * lines // threads * LINE))


@njit(error_model="numpy")
def _pick_part(x, index, y, sizes, outers, columns):
    _, size, inner, count = sizes
    wrong = 0
    if columns[0] >= columns[1]:
        return wrong
    for a in range(outers[0], outers[1]):
        of = x[a * size * inner : (a + 1) * size * inner]
        if inner == 1:
            wrong += _pick_row(of, index[a * count : (a + 1) * count], y[a * count : (a + 1) * count], 1, 0)
            continue
        for i in range(count):
            first, end = (a * count + i) * inner + columns[0], (a * count + i) * inner + columns[1]
            wrong += _pick_row(of, index[first:end], y[first:end], inner, columns[0])
    return wrong


@njit(error_model="numpy")
def _pick_row(x, index, y, inner, column):
    """y[k] = x[index[k] · inner + column + k], the column moving on only where there is more than one."""
    size = len(x) // inner
    moves = 1 if inner > 1 else 0
    wrong = 0
    for k in range(len(index)):
        number = index[k]
        number += size if number < 0 else 0
        if 0 <= number < size:
            y[k] = x[np.uint64(number * inner + column + k * moves)]
        else:
            wrong += 1
    return wrong


@njit(error_model="numpy")
def _add_part(g, index, y, sizes, fresh, outers, columns):
    _, size, inner, count = sizes
    wrong = 0
    if columns[0] >= columns[1]:
        return wrong
    for a in range(outers[0], outers[1]):
        to = y[a * size * inner : (a + 1) * size * inner]
        if fresh and columns[1] - columns[0] == inner:
            to[:] = 0
        elif fresh:
            for i in range(size):
                to[i * inner + columns[0] : i * inner + columns[1]] = 0
        if inner == 1:
            wrong += _add_row(g[a * count : (a + 1) * count], index[a * count : (a + 1) * count], to, 1, 0)
            continue
        for i in range(count):
            first, end = (a * count + i) * inner + columns[0], (a * count + i) * inner + columns[1]
            wrong += _add_row(g[first:end], index[first:end], to, inner, columns[0])
    return wrong


@njit(error_model="numpy")
def _add_row(g, index, y, inner, column):
    """y[index[k] · inner + column + k] += g[k], the column moving on only where there is more than one."""
    size = len(y) // inner
    moves = 1 if inner > 1 else 0
    wrong = 0
    for k in range(len(index)):
        number = index[k]
        number += size if number < 0 else 0
        if 0 <= number < size:
            y[np.uint64(number * inner + column + k * moves)] += g[k]
        else:
            wrong += 1
    return wrong

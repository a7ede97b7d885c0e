"""Reducing arrays of several ranks in a fixed order, so that every rank, run and backend gets the same bits."""

from collections.abc import Sequence

import numpy as np

BLOCK = 256 << 10  # bytes: those of two arrays fit into the second cache of a core
UFUNCS = {"sum": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


def check_reduction(op: str, dtype: np.dtype) -> None:
    """Raise ValueError for an unknown `op`, TypeError for one that has no meaning for `dtype`."""
    if not isinstance(op, str) or op not in UFUNCS:
        raise ValueError(f"op={op!r} is unknown: choose one of {', '.join(UFUNCS)}")
    if op == "mean" and dtype.kind not in "fc":
        raise TypeError(f"op='mean' needs a floating or complex array, not {dtype}: convert it, or use 'sum'")
    if op in ("max", "min") and dtype.kind == "c":
        raise TypeError(f"op={op!r} needs an ordered dtype, and {dtype} has no order")


def reduce_in_order(sources: Sequence[np.ndarray], op: str, out: np.ndarray) -> None:
    """out = ((sources[0] + sources[1]) + sources[2]) + …, left to right; "mean" then divides by the number of sources.

    All arrays have `out`'s shape and dtype; none of the sources may overlap `out`, except the first. Booleans follow
    NumPy: their sum is "or", their product is "and".
    """
    ufunc = UFUNCS[op]
    if len(sources) == 1:
        np.copyto(out, sources[0])
    else:
        ufunc(sources[0], sources[1], out=out)
    for source in sources[2:]:
        ufunc(out, source, out=out)
    divide_mean(out, op, len(sources))


def divide_mean(total: np.ndarray, op: str, size: int) -> None:
    """Make the mean of the sum over `size` ranks, if the mean is wanted: once, at the end of all additions."""
    if op == "mean":
        np.true_divide(total, size, out=total)


def piece_of(length: int, rank: int, size: int) -> slice:
    """The piece of `length` elements that `rank` of `size` reduces: equal pieces, the last ones shorter or empty."""
    each = -(-length // size)
    return slice(min(length, rank * each), min(length, (rank + 1) * each))


def reduce_own_piece(arrays: Sequence[np.ndarray], op: str, rank: int) -> None:
    """Reduce rank's piece of these 1-d arrays of one length, in order, and write it into all of them.

    Block by block, so that what has been added is copied while it is still in the cache.
    """
    piece = piece_of(arrays[0].size, rank, len(arrays))
    each = max(1, BLOCK // arrays[0].itemsize)
    for start in range(piece.start, piece.stop, each):
        block = slice(start, min(start + each, piece.stop))
        first, *others = [array[block] for array in arrays]
        reduce_in_order([first, *others], op, first)
        for other in others:
            other[...] = first

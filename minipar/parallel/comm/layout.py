"""Arrays of any strides as contiguous ones, and back. Of NumPy's or of CuPy's."""

import numpy as np

from ...backend.device import namespace


def contiguous(array: np.ndarray) -> np.ndarray:
    """The elements in C order: the array itself where they lie so, else a copy."""
    return namespace(array).ascontiguousarray(array)


def flat_of(array: np.ndarray) -> np.ndarray:
    """The elements in C order, contiguous, 1-d: a view where that is possible, else a copy."""
    return contiguous(array).reshape(-1)


def rows_of(array: np.ndarray) -> np.ndarray:
    """What lies along the first axis as contiguous rows, 2-d: a view where that is possible, else a copy."""
    return contiguous(array).reshape(len(array), array.size // max(1, len(array)))


def write_back(dense: np.ndarray, array: np.ndarray) -> None:
    """`array` takes the elements of what `flat_of` or `rows_of` made of it, if that was a copy."""
    if not array.flags.c_contiguous:
        array[...] = dense.reshape(array.shape)


def apart_from(out: np.ndarray | None, array: np.ndarray) -> np.ndarray:
    """`array`, or a copy of it if what is written into `out` might be seen in it."""
    return array.copy() if out is not None and np.may_share_memory(array, out) else array

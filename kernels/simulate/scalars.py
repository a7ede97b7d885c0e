"""Numba's scalar types inside a kernel: dtypes of arrays, and casts when called."""

from typing import Any

import numpy as np
from numba.core import types
from numba.np.numpy_support import as_dtype

from .errors import KernelError, here


class Scalar:
    """A type that casts as C does, except that a signed integer must fit; integers and bools become Python's."""

    def __init__(self, dtype: np.dtype):
        self.dtype, self.is_integer, self.is_python = dtype, dtype.kind in "iu", dtype.kind in "biu"
        if self.is_integer:
            self.smallest, self.largest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)

    def __call__(self, value: Any) -> Any:
        if not self.is_integer:
            return bool(value) if self.is_python else self.dtype.type(value)
        value = int(value)
        if self.smallest <= value <= self.largest:
            return value
        if self.dtype.kind == "u":
            return value % (self.largest + 1)  # defined in C: the usual trick for two bounds checks in one
        raise KernelError(f"{self.dtype}({value}) overflows{here()}")


def dtype_of(value: Any) -> np.dtype:
    """The NumPy dtype that a kernel names by a Numba type, a NumPy type or a string."""
    if isinstance(value, Scalar):
        return value.dtype
    return np.dtype(as_dtype(value) if isinstance(value, types.Type) else value)

"""Which library computes on an array, and in which dtype it should add up."""

import sys
from types import ModuleType
from typing import Any

import numpy as np


def array_namespace(array: Any) -> ModuleType:
    """NumPy for a NumPy array (or number: what NumPy makes of an array without axes), else CuPy.

    Whoever made a CuPy array has imported it, so this module never does.
    """
    return np if isinstance(array, (np.ndarray, np.generic)) else sys.modules["cupy"]


def accumulator_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype to add ``dtype`` values up in: float32 for float16, whose 11 bits a sum soon exhausts, else itself."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype

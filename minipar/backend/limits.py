"""What a dtype can hold: its largest and smallest numbers, and how finely it tells numbers apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import as_dtype, get_default_dtype, is_floating


class finfo:
    """Limits of a floating-point dtype (the default one if none is given), as Python numbers.

    `eps` is the gap between 1 and the next number, `tiny` (or `smallest_normal`) the smallest positive number of full
    precision, `resolution` the decimal one, `bits` the size. TypeError for other dtypes.

    >>> minipar.finfo(minipar.float16).max, minipar.finfo().eps
    (65504.0, 1.1920928955078125e-07)
    """

    def __init__(self, type: Any = None) -> None:
        dtype = get_default_dtype() if type is None else as_dtype(type)
        if not is_floating(dtype):
            raise TypeError(f"finfo: type must be a floating-point dtype, not {dtype}; of integers ask iinfo")
        limits = np.finfo(dtype)
        self.dtype, self.bits = dtype.name, limits.bits
        self.min, self.max, self.eps = float(limits.min), float(limits.max), float(limits.eps)
        self.tiny = self.smallest_normal = float(limits.smallest_normal)
        self.resolution = float(f"1e-{limits.precision}")

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{name}={getattr(self, name):g}' for name in names)}, dtype={self.dtype})"


class iinfo:
    """Limits of an integer dtype: `min`, `max`, `bits`. TypeError for other dtypes.

    >>> minipar.iinfo(minipar.uint8)
    iinfo(min=0, max=255, dtype=uint8)
    """

    def __init__(self, type: Any) -> None:
        dtype = as_dtype(type)
        if dtype.kind not in "iu":
            raise TypeError(f"iinfo: type must be an integer dtype, not {dtype}; of floats ask finfo")
        limits = np.iinfo(dtype)
        self.dtype, self.bits, self.min, self.max = dtype.name, limits.bits, int(limits.min), int(limits.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"

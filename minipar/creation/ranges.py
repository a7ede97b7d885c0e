"""Evenly spaced numbers: arange, linspace, logspace."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from ..backend import dtypes
from .factory import factory, float_default, number


@factory
def arange(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None) -> Any:
    """start, start + step, … before `end`, ⌈(end − start) / step⌉ numbers; `arange(end)` starts at 0.

    int64 if all three are ints, else the default dtype, unless `dtype` is given. RuntimeError if the step is 0, leads
    away from the end, or a bound is not finite.

    >>> minipar.arange(1, 2.5, 0.5).tolist()
    [1.0, 1.5, 2.0]
    """
    if end is None:
        start, end = 0, start
    start, end, step = number(start, "arange: start"), number(end, "arange: end"), number(step, "arange: step")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"arange: start and end must be finite, got {start} and {end}")
    whole = all(isinstance(x, int) for x in (start, end, step))
    kind = dtypes.as_dtype(dtype) if dtype is not None else dtypes.int64 if whole else dtypes.get_default_dtype()
    if kind == dtypes.int64:  # PyTorch counts in the numbers' own type
        start, end, step = int(start), int(end), int(step)
    if step == 0 or (end - start) / step < 0:
        raise RuntimeError(f"arange: a step of {step} does not lead from {start} to {end}")
    if kind == dtypes.int64:
        return np.arange(start, end, step, dtype=kind)
    count = math.ceil((end - start) / step)
    if kind.kind in "iu":
        start, step = int(start), int(step)
    return (start + step * np.arange(count, dtype=np.float64 if kind.kind == "f" else np.int64)).astype(kind)


@factory
def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None) -> Any:
    """`steps` evenly spaced numbers from start to end, both included; for an integer dtype, cut to integers.

    >>> minipar.linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    return _spaced("linspace", start, end, steps, float_default(dtype)).astype(float_default(dtype))


@factory
def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None) -> Any:
    """`steps` numbers from baseˢᵗᵃʳᵗ to baseᵉⁿᵈ, whose exponents are evenly spaced.

    >>> minipar.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    with dtypes.quiet():
        return (np.float64(base) ** _spaced("logspace", start, end, steps, float_default(dtype))).astype(
            float_default(dtype)
        )


def _spaced(name: str, start: Any, end: Any, steps: int, dtype: np.dtype) -> np.ndarray:
    """float64; counted from both ends to the middle, as PyTorch does, so that the ends are exact."""
    start, end = number(start, f"{name}: start"), number(end, f"{name}: end")
    if not hasattr(steps, "__index__"):
        raise TypeError(f"{name}: steps must be an int, not {type(steps).__name__}")
    steps = index(steps)
    if steps < 0:
        raise RuntimeError(f"{name}: steps must be 0 or more, not {steps}")
    if dtype.kind in "iu":
        start, end = int(start), int(end)
    if steps < 2:
        return np.full(steps, float(start))
    step = (end - start) / (steps - 1)
    i = np.arange(steps, dtype=np.float64)
    return np.where(i < steps // 2, start + step * i, end - step * (steps - 1 - i))

"""Counting: bincount and histc. No gradient."""

from __future__ import annotations

from typing import Any

from .. import tape
from ..backend import dtypes, namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import needs_float, needs_tensors


@on_its_gpu
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each of 0, 1, … occurs in a 1-d tensor of integers, int64; with `weights`, the sum of their weights
    (float32 of float32, else float64). At least `minlength` counts.

    RuntimeError for floats, negative numbers, another rank, or weights of another shape.

    >>> minipar.bincount(minipar.tensor([0, 2, 2]), minlength=4)
    tensor([1, 0, 2, 0])
    """
    needs_tensors(input)
    x = input.array
    if x.dtype.kind not in "iu" or x.ndim != 1:
        raise RuntimeError(f"bincount: input must be a 1-d tensor of integers, not {x.dtype.name} of shape {x.shape}")
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength must be 0 or more, not {minlength}")
    if x.size and int(x.min()) < 0:
        raise RuntimeError(f"bincount: input must not be negative, got {int(x.min())}")
    if weights is None:
        return tape.new_value(namespace(x).bincount(x.astype("int64"), minlength=minlength))
    needs_tensors(weights)
    w = weights.array
    if w.shape != x.shape:
        raise RuntimeError(f"bincount: weights must have input's shape {x.shape}, not {w.shape}")
    sums = namespace(x).bincount(x.astype("int64"), w.astype("float64"), minlength)
    return tape.new_value(sums.astype(dtypes.float32 if w.dtype == dtypes.float32 else dtypes.float64))


@on_its_gpu
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall in each of `bins` equal intervals from `min` to `max`, as floats of input's dtype.

    The last interval includes `max`; what lies outside and NaN do not count. With min = max the smallest and largest
    element take their place. RuntimeError for integers, no bins, min > max, or an infinite range.

    >>> minipar.histc(minipar.tensor([0.0, 0.4, 1.0, 7.0]), bins=2, min=0, max=1)
    tensor([2., 1.])
    """
    needs_float("histc", input)
    x = input.array.reshape(-1)
    xp = namespace(x)
    if bins <= 0:
        raise RuntimeError(f"histc: bins must be 1 or more, not {bins}")
    low, high = float(min), float(max)
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not high - low < float("inf"):
        raise RuntimeError(f"histc: the range from min {low} to max {high} must be finite")
    if low > high:
        raise RuntimeError(f"histc: max must be larger than min, got min {low} and max {high}")
    inside = x[(x >= low) & (x <= high)]
    start, end = x.dtype.type(low), x.dtype.type(high)
    place = xp.minimum(((inside - start) * x.dtype.type(bins) / (end - start)).astype("int64"), bins - 1)
    return tape.new_value(xp.bincount(place, minlength=bins).astype(x.dtype))

"""Finding places and members: searchsorted, bucketize, isin. No gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import tape
from ..backend import dtypes, namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import rank
from .op import array_of, promoted
from .predicates import is_tensor


@on_its_gpu
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where each element of `input` must go to keep `sorted_sequence` (…, n) in order: before equals, or behind them
    with `right` (`side="right"`).

    input is a number or (…, m) with the same leading axes, or of any shape beside a 1-d sequence. `sorter` holds the
    indices that sort the sequence. int64 (or int32). RuntimeError where shapes or `side` and `right` disagree.

    >>> minipar.searchsorted(minipar.tensor([1.0, 3.0, 5.0]), minipar.tensor([3.0, 6.0]))
    tensor([1, 3])
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted: side must be 'left' or 'right', not {side!r}")
    if side == "left" and right:
        raise RuntimeError("searchsorted: side='left' and right=True disagree; pass one of them")
    sequence = array_of(sorted_sequence)
    xp = namespace(sequence)
    if not sequence.ndim:
        raise RuntimeError("searchsorted: sorted_sequence must have an axis, got a 0-d tensor")
    values = input.array if is_tensor(input) else xp.asarray(input)
    if values.dtype != sequence.dtype:  # compared as NumPy promotes them
        common = np.promote_types(values.dtype, sequence.dtype)
        values, sequence = values.astype(common), sequence.astype(common)
    if sequence.ndim > 1 and sequence.shape[:-1] != values.shape[:-1]:
        raise RuntimeError(
            "searchsorted: the leading axes must agree beside a sorted_sequence of several axes, got "
            f"{sequence.shape} and {values.shape}"
        )
    if sorter is not None:
        sequence = _sorted_by(sequence, sorter)
    behind = right or side == "right"
    if sequence.ndim == 1:
        places = xp.asarray(xp.searchsorted(sequence, values, "right" if behind else "left"))
    else:
        places = _merged_places(sequence, values, behind)
    return tape.new_value(places.astype(dtypes.int32 if out_int32 else dtypes.int64))


def _sorted_by(sequence: Any, sorter: Any) -> Any:
    at = array_of(sorter)
    if at.shape != sequence.shape or at.dtype != dtypes.int64:
        raise RuntimeError(
            f"searchsorted: sorter must be int64 of shape {sequence.shape}, not {at.dtype.name} of shape {at.shape}"
        )
    return namespace(sequence).take_along_axis(sequence, at, -1)


def _merged_places(sequence: Any, values: Any, behind: bool) -> Any:
    """For rows: both are sorted together, and before each value is counted what of the sequence stands there."""
    xp, n, m = namespace(sequence), sequence.shape[-1], values.shape[-1]
    both = xp.concatenate((sequence, values) if behind else (values, sequence), -1)  # of equals, the first stays first
    order = xp.argsort(both, axis=-1, kind="stable")
    of_sequence = order < n if behind else order >= m
    before = xp.take_along_axis(xp.cumsum(of_sequence, -1), xp.argsort(order, axis=-1), -1)
    return before[..., n:] if behind else before[..., :m]


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The number of the interval between the sorted 1-d `boundaries` in which each element lies: i where
    boundaries[i−1] < x ≤ boundaries[i], or ≤ and < with `right`. RuntimeError unless boundaries has one axis.

    >>> minipar.bucketize(minipar.tensor([0.5, 1.0, 9.0]), minipar.tensor([1.0, 2.0]))
    tensor([0, 0, 2])
    """
    if rank(boundaries) != 1:
        raise RuntimeError(f"bucketize: boundaries must have one axis, not shape {tuple(boundaries.shape)}")
    if is_tensor(input):
        boundaries, input = promoted((boundaries, input))
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@on_its_gpu
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each of `elements` is among `test_elements` (or is not, with `invert`): bool. One may be a number.

    `assume_unique` promises that neither repeats an element; the answer does not depend on it.

    >>> minipar.isin(minipar.tensor([1, 2, 3]), minipar.tensor([2, 3]))
    tensor([False,  True,  True])
    """
    if not (is_tensor(elements) or is_tensor(test_elements)):
        raise TypeError("isin: elements or test_elements must be a tensor, got two numbers")
    a, b = (array_of(x) for x in promoted((elements, test_elements)))
    return tape.new_value(namespace(a).asarray(namespace(a).isin(a, b, invert=invert)))

"""Choosing by a condition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dtypes import result_type, scalar_like
from ..tape import Value
from .accepts import needs_tensors, tensor_dtype
from .op import Op, array_of, broadcast_error, promoted, unbroadcast


class Where(Op):
    """y = a where the condition holds, else b; the three are broadcast."""

    __slots__ = ("shapes",)
    saves = (0,)

    def forward(self, condition, a, b):
        self.shapes = a.shape, b.shape
        return namespace(condition).where(condition, a, b)

    def vjp(self, g, condition):
        da = unbroadcast(where(condition, g, 0.0), self.shapes[0]) if self.needs[1] else None
        db = unbroadcast(where(condition, 0.0, g), self.shapes[1]) if self.needs[2] else None
        return None, da, db


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where `condition` (a bool or uint8 tensor) is true, other elsewhere; broadcast, input and other promoted.

    Either may be a number. The gradient of the side that was not chosen is 0, so NaN or infinity there gives a NaN
    gradient only through the function that made it, as in PyTorch. With the condition alone: the indices where it is
    not 0, an int64 tensor an axis.

    >>> minipar.where(minipar.tensor([True, False]), minipar.tensor([1.0, 2.0]), -1)
    tensor([ 1., -1.])
    >>> minipar.where(minipar.tensor([0, 7, 0, 9]))
    (tensor([1, 3]),)
    """
    if input is None and other is None:
        return _nonzero(condition)
    if input is None or other is None:
        raise TypeError("where: give both input and other, or neither")
    if tensor_dtype(condition).kind != "b":
        if condition.dtype != np.uint8:
            raise RuntimeError(f"where: condition must be a bool tensor, not {condition.dtype.name}; compare it first")
        condition = condition != 0
    if not hasattr(input, "dtype") and not hasattr(other, "dtype"):
        input = scalar_like(input, array_of(condition), result_type(input, other))
    input, other = promoted((input, other))
    try:
        return Where()(condition, input, other)
    except ValueError:
        shapes = [tuple(x.shape) for x in (condition, input, other)]
        raise RuntimeError(broadcast_error("where", shapes)) from None


@on_its_gpu
def nothing(g: Any) -> Any:
    """Zeros of g's shape, also where g is infinite or NaN: the gradient of what does not change."""
    array = array_of(g)
    return where(namespace(array).zeros((), bool), g, 0.0)


def nan_to_num(input: Any, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """NaN replaced by `nan`, ∞ by `posinf`, -∞ by `neginf` (None: the dtype's largest and least number); where it was
    replaced the gradient is 0. Integers and bools stay.

    >>> minipar.nan_to_num(minipar.tensor([float("nan"), float("inf"), 2.0]), posinf=9.0)
    tensor([0., 9., 2.])
    """
    needs_tensors(input)
    if input.dtype.kind != "f":
        return where(input == input, input, input)
    largest = float(np.finfo(input.dtype).max)
    kept = where(input == math.inf, largest if posinf is None else posinf, input)
    kept = where(input == -math.inf, -largest if neginf is None else neginf, kept)
    return where(input != input, 0.0 if nan is None else nan, kept)


@on_its_gpu
def _nonzero(condition: Any) -> tuple[Any, ...]:
    array = array_of(condition)
    xp = namespace(array)
    found = xp.nonzero(xp.atleast_1d(array))
    return tuple([tape.new_value(index) for index in found]) if isinstance(condition, Value) else found

"""Tensor: an array with a gradient and operators, spelled as in PyTorch.

Here are its operators. What a Tensor knows of gradients is in `differentiable.py`, the functions that are also methods
in `methods.py` and `arranged.py`, their in-place forms in `inplace.py`, conversions in `converted.py`, tensors made
like it in `new.py`, random numbers in `sampled.py`, how it speaks with NumPy, Python and notebooks in `interop.py`.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import tape
from ..backend import dtypes
from ..ops import arithmetic, compare, division, index, linalg, magnitude, op, power
from ..ops.inplace import in_place, write
from ..ops.split import unbind
from ..tape import Value
from .arranged import Arranged
from .arrays import as_array, of_data_or_size
from .converted import Converted
from .differentiable import Differentiable
from .inplace import InPlace
from .interop import Interop
from .methods import Methods
from .new import New
from .sampled import Sampled


class Tensor(Differentiable, InPlace, Methods, Arranged, Converted, New, Sampled, Interop):
    """An n-dimensional array of one dtype on one device, that remembers how it was made.

    `Tensor(data)` gives a float tensor of a list or an array, and `Tensor(2, 3)` one of that shape with whatever lies
    in the memory, as PyTorch's constructor does; `minipar.tensor(data)` is usually what is meant.

    >>> minipar.Tensor([1, 2]), minipar.Tensor(2, 3).shape
    (tensor([1., 2.]), (2, 3))
    """

    __slots__ = ("__dict__",)  # what a user notes on a tensor: x.g = …; made when first written

    def __init__(self, *data: Any) -> None:
        super().__init__(of_data_or_size(data, dtypes.get_default_dtype(), "Tensor"))

    # ── as a sequence ─────────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(unbind(self))

    def __contains__(self, element: Any) -> bool:
        if not isinstance(element, (Tensor, numbers.Number, np.ndarray, np.generic)):
            raise RuntimeError(f"in: the element must be a number or a tensor, not {type(element).__name__}")
        return bool((self == element).array.any())

    # ── operators ─────────────────────────────────────────────────────────────────────────────────────────────────

    def __add__(self, other: Any) -> Tensor:
        return arithmetic.Add()(self, other) if _operand(other) else NotImplemented

    def __radd__(self, other: Any) -> Tensor:
        return arithmetic.Add()(other, self) if _operand(other) else NotImplemented

    def __sub__(self, other: Any) -> Tensor:
        return arithmetic.Sub()(self, other) if _operand(other) else NotImplemented

    def __rsub__(self, other: Any) -> Tensor:
        return arithmetic.Sub()(other, self) if _operand(other) else NotImplemented

    def __mul__(self, other: Any) -> Tensor:
        return arithmetic.Mul()(self, other) if _operand(other) else NotImplemented

    def __rmul__(self, other: Any) -> Tensor:
        return arithmetic.Mul()(other, self) if _operand(other) else NotImplemented

    def __truediv__(self, other: Any) -> Tensor:
        return division.Div()(self, other) if _operand(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> Tensor:
        return division.Div()(other, self) if _operand(other) else NotImplemented

    def __floordiv__(self, other: Any) -> Tensor:
        return division.FloorDivide()(self, other) if _operand(other) else NotImplemented

    def __rfloordiv__(self, other: Any) -> Tensor:
        return division.FloorDivide()(other, self) if _operand(other) else NotImplemented

    def __mod__(self, other: Any) -> Tensor:
        return division.Remainder()(self, other) if _operand(other) else NotImplemented

    def __rmod__(self, other: Any) -> Tensor:
        return division.Remainder()(other, self) if _operand(other) else NotImplemented

    def __pow__(self, other: Any) -> Tensor:
        return power.pow(self, other) if _operand(other) else NotImplemented

    def __rpow__(self, other: Any) -> Tensor:
        return power.Pow()(other, self) if _operand(other) else NotImplemented

    def __matmul__(self, other: Any) -> Tensor:
        return linalg.matmul(self, other) if _operand(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> Tensor:
        return linalg.matmul(other, self) if _operand(other) else NotImplemented

    def __neg__(self) -> Tensor:
        return arithmetic.neg(self)

    def __pos__(self) -> Tensor:
        return arithmetic.positive(self)

    def __abs__(self) -> Tensor:
        return magnitude.abs_(self)

    def __invert__(self) -> Tensor:
        if self.is_floating_point():
            raise TypeError(f"~ needs a bool or integer tensor, not {self.dtype.name}")
        return compare.bitwise_not(self)

    def __and__(self, other: Any) -> Tensor:
        return compare.bitwise_and(self, other) if _operand(other) else NotImplemented

    def __or__(self, other: Any) -> Tensor:
        return compare.bitwise_or(self, other) if _operand(other) else NotImplemented

    def __xor__(self, other: Any) -> Tensor:
        return compare.bitwise_xor(self, other) if _operand(other) else NotImplemented

    def __lshift__(self, other: Any) -> Tensor:
        return compare.bitwise_left_shift(self, other) if _operand(other) else NotImplemented

    def __rshift__(self, other: Any) -> Tensor:
        return compare.bitwise_right_shift(self, other) if _operand(other) else NotImplemented

    def __rlshift__(self, other: Any) -> Tensor:
        return compare.bitwise_left_shift(other, self) if _operand(other) else NotImplemented

    def __rrshift__(self, other: Any) -> Tensor:
        return compare.bitwise_right_shift(other, self) if _operand(other) else NotImplemented

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __lt__(self, other: Any) -> Tensor:
        return compare.lt(self, other) if _operand(other) else NotImplemented

    def __le__(self, other: Any) -> Tensor:
        return compare.le(self, other) if _operand(other) else NotImplemented

    def __gt__(self, other: Any) -> Tensor:
        return compare.gt(self, other) if _operand(other) else NotImplemented

    def __ge__(self, other: Any) -> Tensor:
        return compare.ge(self, other) if _operand(other) else NotImplemented

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return compare.eq(self, other) if _operand(other) else NotImplemented

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return compare.ne(self, other) if _operand(other) else NotImplemented

    __hash__ = object.__hash__  # a tensor is a key by identity: == compares elements

    def __getitem__(self, key: Any) -> Tensor:
        return index.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        """x[key] = value: broadcast and cast to this dtype (floats are cut to integers, as in PyTorch)."""
        if not isinstance(value, Tensor):
            value = wrap(as_array(value, None if hasattr(value, "dtype") else self.dtype, like=self.array))
        key = index.parts_of(key)
        if not (tape.mode.grad and (self.tracked or value.tracked)):
            if not index.is_basic(key):
                index.check_index("__setitem__", key, self)
            write(self, "__setitem__", value.array, index.plain(key))
        else:
            in_place(self, "__setitem__", lambda x: index.SetItem(key)(x, op.cast(value, x.dtype)))


def wrap(array: Any) -> Tensor:
    """An array (or NumPy scalar) as a Tensor, sharing its memory."""
    value = _create(Tensor)
    value.array = array if type(array) is np.ndarray or not isinstance(array, np.generic) else np.asarray(array)
    value.tracked = False
    value.index = 0
    value.node = value.version = value._grad = value._hooks = value._after_hooks = None
    return value


_create = object.__new__
tape.use_value_type(Tensor, wrap)
_USUAL = (Tensor, float, int)  # found sooner than by asking for all that is allowed


def _operand(x: Any) -> bool:
    if type(x) in _USUAL or isinstance(x, (Value, int, float, np.ndarray, np.generic)):
        return True
    return hasattr(x, "__cuda_array_interface__")

"""Tensor: an array with a gradient and operators, spelled as in PyTorch.

Here are its operators and conversions. What a Tensor knows of gradients is in `differentiable.py`, the functions that
are also methods in `methods.py`, their in-place forms in `inplace.py`, how it speaks with NumPy, Python and notebooks
in `interop.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import tape
from ..backend import device as Device
from ..backend import dtypes
from ..ops import arithmetic, index, linalg, op, pointwise, select
from ..ops import shape as shaping
from ..ops.device import Move
from ..ops.inplace import in_place, write
from ..tape import Value
from .arrays import as_array
from .differentiable import Differentiable
from .inplace import InPlace
from .interop import Interop
from .methods import Methods


class Tensor(Differentiable, InPlace, Methods, Interop):
    """An n-dimensional array of one dtype on one device, that remembers how it was made.

    `Tensor(data)` gives a float tensor, as PyTorch's constructor does; `minipar.tensor(data)` keeps the data's type.
    """

    __slots__ = ()

    def __init__(self, data: Any = ()) -> None:
        array = as_array(data, dtypes.get_default_dtype())
        super().__init__(array.copy() if isinstance(data, np.ndarray) else array)

    # ── as a sequence ─────────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __contains__(self, element: Any) -> bool:
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
        return arithmetic.Div()(self, other) if _operand(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> Tensor:
        return arithmetic.Div()(other, self) if _operand(other) else NotImplemented

    def __pow__(self, other: Any) -> Tensor:
        return arithmetic.pow(self, other) if _operand(other) else NotImplemented

    def __rpow__(self, other: Any) -> Tensor:
        return arithmetic.Pow()(other, self) if _operand(other) else NotImplemented

    def __matmul__(self, other: Any) -> Tensor:
        return linalg.matmul(self, other) if _operand(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> Tensor:
        return linalg.matmul(other, self) if _operand(other) else NotImplemented

    def __neg__(self) -> Tensor:
        return arithmetic.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return pointwise.abs_(self)

    def __invert__(self) -> Tensor:
        return select.invert(self)

    def __and__(self, other: Any) -> Tensor:
        return select.compare("and_", self, other) if _operand(other) else NotImplemented

    def __or__(self, other: Any) -> Tensor:
        return select.compare("or_", self, other) if _operand(other) else NotImplemented

    def __xor__(self, other: Any) -> Tensor:
        return select.compare("xor", self, other) if _operand(other) else NotImplemented

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __lt__(self, other: Any) -> Tensor:
        return select.compare("lt", self, other) if _operand(other) else NotImplemented

    def __le__(self, other: Any) -> Tensor:
        return select.compare("le", self, other) if _operand(other) else NotImplemented

    def __gt__(self, other: Any) -> Tensor:
        return select.compare("gt", self, other) if _operand(other) else NotImplemented

    def __ge__(self, other: Any) -> Tensor:
        return select.compare("ge", self, other) if _operand(other) else NotImplemented

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return select.compare("eq", self, other) if _operand(other) else NotImplemented

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return select.compare("ne", self, other) if _operand(other) else NotImplemented

    __hash__ = object.__hash__  # a tensor is a key by identity: == compares elements

    def __getitem__(self, key: Any) -> Tensor:
        return index.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        """x[key] = value: broadcast and cast to this dtype (floats are cut to integers, as in PyTorch)."""
        if not isinstance(value, Tensor):
            value = wrap(as_array(value, None if hasattr(value, "dtype") else self.dtype, like=self.array))
        if not (tape.mode.grad and (self.tracked or value.tracked)):
            write(self, "__setitem__", value.array, index.plain(key))
        else:
            in_place(self, "__setitem__", lambda x: index.SetItem(key)(x, op.cast(value, x.dtype)))

    # ── conversions ───────────────────────────────────────────────────────────────────────────────────────────────

    def to(self, *args: Any, device: Any = None, dtype: Any = None, copy: bool = False) -> Tensor:
        """`x.to(dtype)`, `x.to(device)`, `x.to(device, dtype)` or `x.to(other)`: x itself if nothing changes."""
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif isinstance(arg, (Device, str)) and (
                isinstance(arg, Device) or arg.partition(":")[0] in ("cpu", "cuda")
            ):
                device = arg
            else:
                dtype = arg
        moved = self
        if device is not None and (target := Device(device)) != self.device:
            moved = Move(target)(moved)
        if dtype is not None:
            moved = op.cast(moved, dtypes.as_dtype(dtype))
        return moved.clone() if copy and moved is self else moved

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(other.dtype)

    def float(self) -> Tensor:
        return self.to(dtypes.float32)

    def double(self) -> Tensor:
        return self.to(dtypes.float64)

    def half(self) -> Tensor:
        return self.to(dtypes.float16)

    def long(self) -> Tensor:
        return self.to(dtypes.int64)

    def int(self) -> Tensor:
        return self.to(dtypes.int32)

    def bool(self) -> Tensor:
        return self.to(dtypes.bool_)

    def cpu(self) -> Tensor:
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Tensor:
        return self.to("cuda" if device is None else Device("cuda", device) if isinstance(device, int_) else device)

    def clone(self) -> Tensor:
        """A copy in memory of its own; the gradient flows through."""
        return shaping.Copy()(self)

    def contiguous(self) -> Tensor:
        return self if self.is_contiguous() else self.clone()


# Tensor has methods of these names, which hide the types inside the class body.
int_ = int


def wrap(array: Any) -> Tensor:
    """An array (or NumPy scalar) as a Tensor, sharing its memory."""
    value = Tensor.__new__(Tensor)
    Value.__init__(
        value, array if type(array) is np.ndarray or not isinstance(array, np.generic) else np.asarray(array)
    )
    return value


tape.use_value_type(wrap)


def _operand(x: Any) -> bool:
    return isinstance(x, (Value, int, float, np.ndarray, np.generic)) or hasattr(x, "__cuda_array_interface__")

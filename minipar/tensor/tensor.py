"""Tensor: an array with a gradient and operators, spelled as in PyTorch.

Every method here is one line over an operation of `minipar.ops`. What a Tensor knows of gradients is in
`differentiable.py`, how it speaks with NumPy, Python and notebooks in `interop.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import tape
from ..backend import device as Device
from ..backend import dtypes, namespace
from ..ops import arithmetic, index, linalg, op, pointwise, reduce, select
from ..ops import shape as shaping
from ..ops.device import Move
from ..ops.inplace import in_place, write
from ..tape import Value
from .arrays import as_array
from .differentiable import Differentiable
from .interop import Interop


class Extremum(NamedTuple):
    """What max(dim) and min(dim) return."""

    values: Tensor
    indices: Tensor


class Tensor(Differentiable, Interop):
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

    # ── in place ──────────────────────────────────────────────────────────────────────────────────────────────────

    def add_(self, other: Any, *, alpha: float = 1) -> Tensor:
        return in_place(self, "add_", lambda x: arithmetic.add(x, other, alpha=alpha))

    def sub_(self, other: Any, *, alpha: float = 1) -> Tensor:
        return in_place(self, "sub_", lambda x: arithmetic.sub(x, other, alpha=alpha))

    def mul_(self, other: Any) -> Tensor:
        return in_place(self, "mul_", lambda x: arithmetic.mul(x, other))

    def div_(self, other: Any) -> Tensor:
        return in_place(self, "div_", lambda x: arithmetic.div(x, other))

    def clamp_(self, min: float | None = None, max: float | None = None) -> Tensor:
        return in_place(self, "clamp_", lambda x: pointwise.clamp(x, min, max))

    def relu_(self) -> Tensor:
        return in_place(self, "relu_", pointwise.relu)

    def fill_(self, value: float) -> Tensor:
        """Every element ← value."""
        return self._overwrite("fill_", wrap(as_array(value, self.dtype, like=self.array)))

    def zero_(self) -> Tensor:
        return self._overwrite("zero_", wrap(as_array(0, self.dtype, like=self.array)))

    def copy_(self, source: Tensor) -> Tensor:
        """Every element ← the corresponding one of `source`, which is broadcast, cast and moved to this device."""
        return self._overwrite("copy_", source.to(self.device, self.dtype))

    def _overwrite(self, name: str, value: Tensor) -> Tensor:
        return in_place(self, name, lambda x: index.SetItem(...)(x, value))

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    # ── functions as methods ──────────────────────────────────────────────────────────────────────────────────────

    add = arithmetic.add
    sub = arithmetic.sub
    mul = arithmetic.mul
    div = arithmetic.div
    neg = arithmetic.neg
    pow = arithmetic.pow
    maximum = arithmetic.maximum
    minimum = arithmetic.minimum
    exp = pointwise.exp
    log = pointwise.log
    sqrt = pointwise.sqrt
    sin = pointwise.sin
    cos = pointwise.cos
    tanh = pointwise.tanh
    sigmoid = pointwise.sigmoid
    relu = pointwise.relu
    abs = pointwise.abs_
    sign = pointwise.sign
    clamp = pointwise.clamp
    logical_not = select.logical_not
    matmul = linalg.matmul
    sum = reduce.sum
    mean = reduce.mean
    var = reduce.var
    std = reduce.std
    amax = reduce.amax
    amin = reduce.amin
    logsumexp = reduce.logsumexp
    squeeze = shaping.squeeze
    unsqueeze = shaping.unsqueeze
    flatten = shaping.flatten
    transpose = shaping.transpose
    narrow = shaping.narrow

    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The maximum of all elements (ties share the gradient); with `dim` an int, (values, indices) along it;
        with `dim` a tensor, the larger of the two, element by element."""
        return maximum_of(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The minimum, with the rules of `max`."""
        return minimum_of(self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return reduce.arg("argmax", self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return reduce.arg("argmin", self, dim, keepdim)

    def all(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return reduce.truth("all", self, dim, keepdim)

    def any(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return reduce.truth("any", self, dim, keepdim)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        return select.where(condition, self, other)

    def reshape(self, *sizes: Any) -> Tensor:
        return shaping.reshape(self, _sizes(sizes))

    def view(self, *sizes: Any) -> Tensor:
        """As reshape, but never a copy: RuntimeError where the strides do not allow it."""
        viewed = shaping.reshape(self, _sizes(sizes))
        if viewed.array.size and not namespace(self.array).may_share_memory(viewed.array, self.array):
            raise RuntimeError(f"view: a tensor of shape {self.shape} with these strides needs a copy; use reshape")
        return viewed

    def permute(self, *dims: Any) -> Tensor:
        return shaping.permute(self, _sizes(dims))

    def expand(self, *sizes: Any) -> Tensor:
        return shaping.expand(self, _sizes(sizes))

    def expand_as(self, other: Tensor) -> Tensor:
        return shaping.expand(self, other.shape)

    @property
    def T(self) -> Tensor:
        return shaping.permute(self, range(self.ndim)[::-1])

    @property
    def mT(self) -> Tensor:
        return shaping.transpose(self, -1, -2)

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


def maximum_of(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    return _extremum(x, dim, keepdim, "argmax", reduce.amax, arithmetic.maximum)


def minimum_of(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    return _extremum(x, dim, keepdim, "argmin", reduce.amin, arithmetic.minimum)


def _extremum(x: Tensor, dim: Any, keepdim: bool, which: str, of_all: Callable, of_two: Callable) -> Any:
    if dim is None:
        return of_all(x)
    if isinstance(dim, Tensor):
        return of_two(x, dim)
    return Extremum(*reduce.extremum(which, x, dim, keepdim))


def _operand(x: Any) -> bool:
    return isinstance(x, (Value, int, float, np.ndarray, np.generic)) or hasattr(x, "__cuda_array_interface__")


def _sizes(sizes: tuple) -> Sequence[int]:
    """f(2, 3) and f((2, 3)) mean the same."""
    return sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes

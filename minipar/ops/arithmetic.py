"""Sums, differences, products, and what is made of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from .. import tape
from ..backend import dtypes, namespace
from ..backend.dtypes import result_type
from .accepts import accepts, tensor_dtype
from .op import Elementwise, array_of


class Add(Elementwise):
    """y = a + b"""

    __slots__ = ()

    def forward(self, a, b):
        return a + b

    def vjp(self, g):
        return g, g


class Sub(Elementwise):
    """y = a - b"""

    __slots__ = ()

    def __call__(self, a, b):
        if _is_bool(a) or _is_bool(b):  # before promotion hides it
            raise RuntimeError(_BOOL_DIFFERENCE)
        return super().__call__(a, b)

    def forward(self, a, b):
        return a - b

    def vjp(self, g):
        return g, -g if self.needs[1] else None


class Mul(Elementwise):
    """y = a b"""

    __slots__ = ()
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 0})

    def forward(self, a, b):
        return a * b

    def vjp(self, g, a, b):
        return g * b if self.needs[0] else None, g * a if self.needs[1] else None


class Neg(Elementwise):
    """y = -x"""

    __slots__ = ()

    def forward(self, x):
        if x.dtype.kind == "b":
            raise RuntimeError(_BOOL_DIFFERENCE)
        return -x

    def vjp(self, g):
        return -g


class Lerp(Elementwise):
    """y = a + w (b - a), computed from the nearer end so that w = 1 gives exactly b."""

    __slots__ = ()
    saves = (0, 1, 2)

    def forward(self, a, b, w):
        step = b - a
        return namespace(a).where(abs(w) < 0.5, a + w * step, b - (1 - w) * step)

    def vjp(self, g, a, b, w):
        return (
            g * (1 - w) if self.needs[0] else None,
            g * w if self.needs[1] else None,
            g * (b - a) if self.needs[2] else None,
        )


_BOOL_DIFFERENCE = (
    "a minus sign (-) is not defined for bool tensors; use ~ or logical_not, ^ or logical_xor, or x.long()"
)


def _is_bool(x: Any) -> bool:
    return x.dtype.kind == "b" if hasattr(x, "dtype") else isinstance(x, bool)


def add(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """input + alpha·other, broadcast and promoted.

    RuntimeError if `alpha` is a float and the result an integer, or a bool and the result a number.

    >>> minipar.add(minipar.tensor([1, 2]), 10, alpha=3)
    tensor([31, 32])
    """
    input = number_as_tensor(input, other)
    return Add()(input, _scaled(input, other, alpha))


def sub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """input - alpha·other, broadcast and promoted. RuntimeError for bools, and as `add`.

    >>> minipar.sub(minipar.tensor([1, 2]), minipar.tensor([[1], [2]]))
    tensor([[ 0,  1],
            [-1,  0]])
    """
    input = number_as_tensor(input, other)
    return Sub()(input, _scaled(input, other, alpha))


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """other - alpha·input: `sub` with its operands exchanged.

    >>> minipar.rsub(minipar.tensor([1, 2]), 10)
    tensor([9, 8])
    """
    return Sub()(other, _scaled(other, input, alpha))


def mul(input: Any, other: Any) -> Any:
    """input·other, broadcast and promoted; integers wrap around.

    >>> minipar.mul(minipar.tensor([1, 200], dtype=minipar.uint8), 2).tolist()
    [2, 144]
    """
    return Mul()(number_as_tensor(input, other), other)


def neg(input: Any) -> Any:
    """-input. RuntimeError for bools; unsigned integers wrap around.

    >>> minipar.neg(minipar.tensor([1, -2]))
    tensor([-1,  2])
    """
    return Neg()(input)


def positive(input: Any) -> Any:
    """The tensor itself. RuntimeError for bools, as for `neg`.

    >>> minipar.positive(minipar.tensor([1, -2]))
    tensor([ 1, -2])
    """
    if tensor_dtype(input).kind == "b":
        raise RuntimeError("a plus sign (+) is not defined for bool tensors; convert it first: x.long()")
    return input


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight·(end - input), broadcast; `weight` is a number or a tensor. Floating point only.

    RuntimeError unless the tensors have one dtype: nothing is promoted here, as in PyTorch.

    >>> minipar.lerp(minipar.tensor([0.0, 10.0]), minipar.tensor([4.0, 20.0]), 0.25).tolist()
    [1.0, 12.5]
    """
    accepts("lerp", "f", input)
    for name, x in (("end", end), ("weight", weight)):
        if hasattr(x, "dtype") and x.dtype != input.dtype:
            raise RuntimeError(f"lerp: {name} must have the dtype of input, {input.dtype.name}, not {x.dtype.name}")
    return Lerp()(input, end, weight)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """input + value·tensor1·tensor2, broadcast and promoted.

    >>> minipar.addcmul(minipar.tensor([1.0, 1.0]), minipar.tensor([2.0, 3.0]), minipar.tensor([4.0, 5.0]), value=10)
    tensor([ 81., 151.])
    """
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """input + value·tensor1/tensor2, broadcast and promoted.

    RuntimeError if both tensors are integers: PyTorch refuses to choose between whole and true division.

    >>> minipar.addcdiv(minipar.tensor([1.0, 1.0]), minipar.tensor([6.0, 3.0]), minipar.tensor([2.0, 4.0]), value=4)
    tensor([13., 4.])
    """
    from .division import div

    if tensor_dtype(tensor1).kind != "f" and tensor2.dtype.kind != "f":
        raise RuntimeError(
            f"addcdiv: tensor1 and tensor2 are {tensor1.dtype.name} and {tensor2.dtype.name}; one must be floating "
            "point, or write what is meant: input + value * div(tensor1, tensor2, rounding_mode='trunc')"
        )
    return add(input, div(tensor1, tensor2), alpha=value)


def number_as_tensor(input: Any, other: Any) -> Any:
    """input, and as a 0-d tensor where both are Python numbers: PyTorch's four operations take even those."""
    if isinstance(input, (int, float)) and isinstance(other, (int, float)):
        return tape.new_value(np.asarray(input, dtypes.scalar_dtype(input)))
    return input


def _scaled(input: Any, other: Any, alpha: float) -> Any:
    """alpha·other, where alpha is of a kind that the result can be of."""
    if alpha == 1 and not isinstance(alpha, bool):
        return other
    kind = result_type(array_of(input), array_of(other)).kind
    if (isinstance(alpha, bool) and kind != "b") or (isinstance(alpha, float) and kind != "f"):
        result = "floating-point" if kind == "f" else "bool" if kind == "b" else "integer"
        raise RuntimeError(f"alpha is a {type(alpha).__name__} ({alpha}), but the result is {result}")
    return other * alpha

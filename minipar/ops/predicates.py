"""Questions: of every element (is it NaN?), of two tensors (are they close?), of a thing (is it a tensor?)."""

from __future__ import annotations

from typing import Any

from ..backend import dtypes, namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dtypes import quiet
from ..tape import Value
from .accepts import needs_tensors, tensor_dtype
from .compare import lt
from .op import Op, array_of, cast, promoted


class Predicate(Op):
    """An array function of that name from floats to bools; of integers and bools the answer is always the same."""

    __slots__ = ("question", "of_integers")

    def __init__(self, question: str, of_integers: bool = False) -> None:
        self.question, self.of_integers = question, of_integers

    def forward(self, x):
        xp = namespace(x)
        return getattr(xp, self.question)(x) if x.dtype.kind == "f" else xp.full(x.shape, self.of_integers)


def isnan(input: Any) -> Any:
    """Whether each element is NaN: a bool tensor.

    >>> minipar.isnan(minipar.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """
    return Predicate("isnan")(input)


def isinf(input: Any) -> Any:
    """Whether each element is ∞ or -∞: a bool tensor.

    >>> minipar.isinf(minipar.tensor([1.0, float("-inf")]))
    tensor([False,  True])
    """
    return Predicate("isinf")(input)


def isfinite(input: Any) -> Any:
    """Whether each element is neither infinite nor NaN: a bool tensor.

    >>> minipar.isfinite(minipar.tensor([1.0, float("nan")]))
    tensor([ True, False])
    """
    return Predicate("isfinite", of_integers=True)(input)


def isposinf(input: Any) -> Any:
    """Whether each element is ∞: a bool tensor.

    >>> minipar.isposinf(minipar.tensor([float("-inf"), float("inf")]))
    tensor([False,  True])
    """
    return Predicate("isposinf")(input)


def isneginf(input: Any) -> Any:
    """Whether each element is -∞: a bool tensor.

    >>> minipar.isneginf(minipar.tensor([float("-inf"), float("inf")]))
    tensor([ True, False])
    """
    return Predicate("isneginf")(input)


def signbit(input: Any) -> Any:
    """Whether each element is negative, as -0.0 is: a bool tensor.

    >>> minipar.signbit(minipar.tensor([-0.0, 1.0]))
    tensor([ True, False])
    """
    needs_tensors(input)
    return Predicate("signbit")(input) if input.dtype.kind == "f" else lt(input, 0)


def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """|input - other| ≤ atol + rtol·|other|, element by element, broadcast: a bool tensor.

    Infinities are close to themselves, and NaN to NaN if `equal_nan`. RuntimeError if the dtypes differ or a tolerance
    is negative.

    >>> minipar.isclose(minipar.tensor([1.0, 2.0]), minipar.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if tensor_dtype(input) != tensor_dtype(other):
        raise RuntimeError(f"isclose: other must have the dtype of input, {input.dtype.name}, not {other.dtype.name}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not tolerance >= 0:
            raise RuntimeError(f"isclose: {name} must be 0 or more, not {tolerance}")
    if input.dtype.kind != "f":
        input, other = cast(input, dtypes.float64), cast(other, dtypes.float64)
    with quiet():
        distance = abs(input - other)
        close = (input == other) | (isfinite(distance) & (distance <= abs(other) * rtol + atol))
    return close | (isnan(input) & isnan(other)) if equal_nan else close


@on_its_gpu
def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether every element `isclose`.

    >>> minipar.allclose(minipar.tensor([1.0, 2.0]), minipar.tensor([1.0, 2.1]), atol=0.2)
    True
    """
    return bool(array_of(isclose(input, other, rtol, atol, equal_nan)).all())


@on_its_gpu
def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and the same elements (NaN is equal to nothing).

    >>> minipar.equal(minipar.tensor([1, 2]), minipar.tensor([1, 2])), minipar.equal(minipar.ones(2), minipar.ones(3))
    (True, False)
    """
    needs_tensors(input, other)
    if tuple(input.shape) != tuple(other.shape):
        return False
    a, b = (array_of(x) for x in promoted((input, other)))
    return bool((a == b).all())


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor.

    >>> minipar.is_tensor(minipar.ones(2)), minipar.is_tensor([1, 2])
    (True, False)
    """
    return isinstance(obj, Value)


def is_floating_point(input: Any) -> bool:
    """Whether the tensor's dtype is floating point.

    >>> minipar.is_floating_point(minipar.ones(2)), minipar.is_floating_point(minipar.tensor([1, 2]))
    (True, False)
    """
    needs_tensors(input)
    return dtypes.is_floating(input.dtype)


@on_its_gpu
def is_nonzero(input: Any) -> bool:
    """Whether the one element of a tensor is not 0. RuntimeError for more or fewer elements.

    >>> minipar.is_nonzero(minipar.tensor([0.0]))
    False
    """
    needs_tensors(input)
    array = array_of(input)
    if array.size != 1:
        raise RuntimeError(f"is_nonzero needs a tensor of one element, not of shape {tuple(array.shape)}")
    return bool(array.item())

"""The largest and the smallest, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import tape
from ..backend import namespace
from .accepts import tensor_dtype
from .extremes import maximum, minimum
from .index import take_along
from .named import Named
from .op import Op, cast
from .reduce import Dims, Reduction, empty_error, reduced_dims, sum
from .select import where
from .shape import Copy, normal_dim, reshape
from .spelling import numpy_names


class AMax(Reduction):
    """y = max x, NaN if there is one. Equal maxima share the gradient evenly, as in PyTorch."""

    __slots__ = ()
    saves = (0,)
    saves_output = True

    def forward(self, x):
        self.source = x.shape
        return x.max(self.dims, keepdims=self.keepdim)

    def vjp(self, g, x, y):
        ties = x == self.kept(y)
        return self.kept(g) / cast(sum(ties, self.dims, True), g.dtype) * ties


class AMin(AMax):
    """y = min x, with the rules of AMax."""

    __slots__ = ()

    def forward(self, x):
        self.source = x.shape
        return x.min(self.dims, keepdims=self.keepdim)


class Best(Reduction):
    """y = the value of all that `which` ("max", "min", "median") names: NaN if there is one, and then the NaNs share
    the gradient; else those equal to y do, as in PyTorch."""

    __slots__ = ("which",)
    saves = (0,)
    saves_output = True

    def __init__(self, which: str) -> None:
        self.which = which

    def forward(self, x):
        if self.which != "median":
            return getattr(x, self.which)()
        xp = namespace(x)
        ordered = xp.sort(x, axis=None)
        return ordered[-1] if x.dtype.kind == "f" and xp.isnan(ordered[-1]) else ordered[(x.size - 1) // 2]

    def vjp(self, g, x, y):
        ties = (x == y) | (x != x)
        return where(ties, g / cast(sum(ties), g.dtype), 0.0)


class Arg(Op):
    """The index of the first maximum ("argmax") or minimum ("argmin"); it has no gradient."""

    __slots__ = ("which", "dim", "keepdim")

    def __init__(self, which: str, dim: int | None, keepdim: bool) -> None:
        self.which, self.dim, self.keepdim = which, dim, keepdim

    def forward(self, x):
        if self.dim is None:
            found = getattr(x, self.which)()
            return found.reshape((1,) * x.ndim) if self.keepdim else found
        dim = normal_dim(self.dim, x.ndim)
        found = getattr(x, self.which)(dim if x.ndim else None)
        return namespace(x).expand_dims(found, dim) if self.keepdim and x.ndim else found


class Located(Named):
    """What max(dim), min(dim), sort, topk, median(dim), cummax, … return."""

    values: Any
    indices: Any


class AMinMax(Named):
    """What aminmax returns."""

    min: Any
    max: Any


@numpy_names
def amax(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The maximum over `dim` (one axis, several, all); equal maxima share the gradient.

    IndexError for an empty axis, RuntimeError for all of an empty tensor.

    >>> minipar.amax(minipar.tensor([[1, 5], [7, 3]]), dim=(0, 1))
    tensor(7)
    """
    empty_error("amax", input, dim)
    return AMax(reduced_dims(dim, len(input.shape)), keepdim)(input)


@numpy_names
def amin(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The minimum over `dim`, with the rules of `amax`.

    >>> minipar.amin(minipar.tensor([[1, 5], [7, 3]]), dim=1)
    tensor([1, 3])
    """
    empty_error("amin", input, dim)
    return AMin(reduced_dims(dim, len(input.shape)), keepdim)(input)


@numpy_names
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> AMinMax:
    """(min, max) along one axis, or of all elements, with the rules of `amax`.

    >>> minipar.aminmax(minipar.tensor([3, 1, 2]))
    AMinMax(min=tensor(1), max=tensor(3))
    """
    return AMinMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


@numpy_names
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The int64 index of the first maximum (or NaN) along `dim`, or in the flattened tensor.

    IndexError for an empty axis, RuntimeError for bools.

    >>> minipar.argmax(minipar.tensor([[1, 5], [7, 3]]), dim=1)
    tensor([1, 0])
    """
    return arg("argmax", input, dim, keepdim)


@numpy_names
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The int64 index of the first minimum (or NaN) along `dim`, or in the flattened tensor; see `argmax`.

    >>> minipar.argmin(minipar.tensor([[1, 5], [7, 3]]))
    tensor(0)
    """
    return arg("argmin", input, dim, keepdim)


@numpy_names
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The maximum of all elements (ties share the gradient), NaN if there is one.

    With `dim` an int, (values, indices) along it: the gradient goes to the index, the first of equal ones. With a
    tensor in its place (`other`), the larger of the two, element by element. IndexError for an empty axis.

    >>> minipar.max(minipar.tensor([[1, 5], [7, 3]]), dim=0)
    Located(values=tensor([7, 5]), indices=tensor([1, 0]))
    >>> minipar.tensor([1, 5]).max(minipar.tensor([3, 2]))
    tensor([3, 5])
    """
    return _best("max", maximum, input, other if dim is None else dim, keepdim)


@numpy_names
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The minimum, with the rules of `max`.

    >>> minipar.min(minipar.tensor([[1, 5], [7, 3]]), dim=1)
    Located(values=tensor([1, 3]), indices=tensor([0, 1]))
    """
    return _best("min", minimum, input, other if dim is None else dim, keepdim)


def _best(name: str, of_two: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, tape.Value):
        return of_two(x, dim)
    empty_error(name, x, dim)
    return Best(name)(x) if dim is None else extremum("arg" + name, x, dim, keepdim)


def arg(which: str, x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The int64 index of the first maximum ("argmax") or minimum ("argmin") along `dim`, or of the flattened tensor."""
    if tensor_dtype(x).kind == "b":
        raise RuntimeError(f"{which} is not defined for bool tensors; convert it first: x.int()")
    empty_error(which, x, tuple(range(len(x.shape))) if dim is None and len(x.shape) else dim)
    return Arg(which, dim, keepdim)(x)


def extremum(which: str, x: Any, dim: int, keepdim: bool = False) -> Located:
    """(values, indices) of the "argmax" or "argmin" along one axis: the gradient goes to that one element."""
    dim = normal_dim(dim, len(x.shape))
    return picked(x, Arg(which, dim, True)(x), dim, keepdim)


def picked(x: Any, at: Any, dim: int, keepdim: bool) -> Located:
    """(values, indices) at the indices `at`, of size 1 along `dim`; that axis is dropped unless `keepdim`."""
    if not len(x.shape):
        return Located(Copy()(x), at)
    values = take_along(x, at, dim)
    if keepdim:
        return Located(values, at)
    rest: Sequence[int] = [n for i, n in enumerate(x.shape) if i != dim]
    return Located(reshape(values, rest), reshape(at, rest))

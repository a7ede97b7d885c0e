"""Medians, quantiles and the commonest value."""

from __future__ import annotations

import math
import operator
from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import needs_float, rank, tensor_dtype, tensor_shape
from .extremum import Best, Located, picked
from .gather import masked_select
from .index import take_along
from .op import Op, array_of, check_devices
from .reduce import empty_error, sum
from .scan import last_best
from .shape import normal_dim, permute, reshape
from .sort import order
from .spelling import numpy_names

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


class ArgMedian(Op):
    """The index of the lower median along an axis: of the first NaN if there is one, or of what is not NaN."""

    __slots__ = ("dim", "skip_nan")

    def __init__(self, dim: int, skip_nan: bool) -> None:
        self.dim, self.skip_nan = dim, skip_nan

    def forward(self, x):
        xp = namespace(x)
        if not x.ndim:
            return xp.zeros((), "int64")
        numbers = (x == x).sum(self.dim, keepdims=True)
        place = xp.maximum(numbers - 1, 0) // 2
        if not self.skip_nan:
            place = xp.where(numbers < x.shape[self.dim], numbers, place)  # the first NaN stands behind the numbers
        return xp.take_along_axis(xp.argsort(x, axis=self.dim, kind="stable"), place, self.dim)


class ArgMode(Op):
    """The index of the commonest value along an axis: the smallest of equally common ones, where it stands last."""

    __slots__ = ("dim",)

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x):
        xp = namespace(x)
        if not x.ndim:
            return xp.zeros((), "int64")
        at = xp.moveaxis(xp.argsort(x, axis=self.dim, kind="stable"), self.dim, -1)
        ordered = xp.take_along_axis(xp.moveaxis(x, self.dim, -1), at, -1)
        begins = xp.ones(ordered.shape, bool)
        begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
        length = xp.arange(x.shape[self.dim]) - last_best(begins, x.ndim - 1, operator.ge)
        return xp.moveaxis(xp.take_along_axis(at, length.argmax(-1, keepdims=True), -1), -1, self.dim)


@numpy_names
def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle value, the lower of two; NaN if there is one. Without `dim` of all elements (equals share the
    gradient), else (values, indices) along it. IndexError for an empty axis; of an empty tensor NaN.

    >>> minipar.median(minipar.tensor([4.0, 1.0, 3.0, 2.0]))
    tensor(2.)
    >>> minipar.median(minipar.tensor([[4, 1, 3]]), dim=1)
    Located(values=tensor([3]), indices=tensor([2]))
    """
    if dim is None:
        return Best("median")(input) if math.prod(tensor_shape(input)) else _nothing("median", input)
    return _chosen("median", lambda axis: ArgMedian(axis, skip_nan=False), input, dim, keepdim)


@numpy_names
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of what is not NaN; NaN if all is.

    >>> minipar.nanmedian(minipar.tensor([1.0, float("nan"), 3.0]))
    tensor(1.)
    """
    if dim is None:
        if not math.prod(tensor_shape(input)):
            return _nothing("nanmedian", input)
        kept = masked_select(input, input == input)
        return Best("median")(kept if kept.shape[0] else input)
    return _chosen("nanmedian", lambda axis: ArgMedian(axis, skip_nan=True), input, dim, keepdim)


def _nothing(name: str, x: Any) -> Any:
    needs_float(f"{name} of nothing", x)
    return sum(x) / 0.0


@numpy_names
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Located:
    """(values, indices) of the commonest value along `dim`: the smallest of equally common ones, its last place.

    >>> minipar.mode(minipar.tensor([3, 1, 1, 3, 2]))
    Located(values=tensor(1), indices=tensor(2))
    """
    return _chosen("mode", ArgMode, input, dim, keepdim)


def _chosen(name: str, op: Any, x: Any, dim: int, keepdim: bool) -> Located:
    dim = normal_dim(dim, rank(x))
    empty_error(name, x, dim)
    return picked(x, op(dim)(x), dim, keepdim)


@numpy_names
def quantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """What the share q of the elements lies below, along `dim` or of all; NaN if there is one.

    The place q (n − 1) in sorted order falls between two elements: "linear" interpolates, "lower", "higher", "nearest"
    (the even one at a half) and "midpoint" choose. q is a number in [0, 1] or a 1-d tensor of input's dtype, whose
    axis comes first in the result. RuntimeError for other q and dtypes, ValueError for another interpolation.

    >>> minipar.quantile(minipar.tensor([1.0, 2.0, 3.0, 4.0]), 0.5)
    tensor(2.5)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@numpy_names
def nanquantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """`quantile` of what is not NaN; NaN if all is.

    >>> minipar.nanquantile(minipar.tensor([1.0, float("nan"), 3.0]), 0.5)
    tensor(2.)
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _quantile(name: str, x: Any, q: Any, dim: int | None, keepdim: bool, how: str, skip_nan: bool) -> Any:
    shares = _shares(name, x, q, how)
    if not math.prod(x.shape):
        raise RuntimeError(f"{name}: input must not be empty, got shape {tuple(x.shape)}")
    ndim = len(x.shape)
    if dim is None:
        lines, kept = reshape(x, (-1,)), (1,) * ndim
    else:
        axis = normal_dim(dim, ndim)
        lines = permute(x, [*(i for i in range(ndim) if i != axis), axis][:ndim]) if ndim else reshape(x, (1,))
        kept = tuple([1 if i == axis else n for i, n in enumerate(x.shape)])
    rows = lines.shape[:-1]
    found = permute(_at_shares(lines, shares, how, skip_nan), (len(rows), *range(len(rows))))
    shape = kept if keepdim else rows
    return reshape(found, (*shares.shape, *shape) if len(getattr(q, "shape", ())) else shape)


@on_its_gpu
def _shares(name: str, x: Any, q: Any, how: str) -> Any:
    """q with one axis, after checking the arguments."""
    if how not in INTERPOLATIONS:
        raise RuntimeError(f"{name}: interpolation must be one of {', '.join(INTERPOLATIONS)}, not {how!r}")
    if tensor_dtype(x).name not in ("float32", "float64"):
        raise RuntimeError(f"{name}: input must be float32 or float64, not {x.dtype.name}")
    if isinstance(q, tape.Value) and (q.array.dtype != x.dtype or q.array.ndim > 1):
        raise RuntimeError(
            f"{name}: q must be a number or a 1-d tensor of dtype {x.dtype.name}, not {q.array.dtype.name} of shape "
            f"{tuple(q.array.shape)}"
        )
    check_devices(name, x, q)
    shares = reshape(q if isinstance(q, tape.Value) else namespace(array_of(x)).asarray(q, x.dtype), (-1,))
    numbers = array_of(shares)
    if numbers.size and not bool(((numbers >= 0) & (numbers <= 1)).all()):
        raise RuntimeError(f"{name}: q must be in [0, 1], not {numbers.tolist()}")
    return shares


@on_its_gpu
def _at_shares(x: Any, shares: Any, how: str, skip_nan: bool) -> Any:
    """The quantiles of the lines x (…, n): (…, number of shares)."""
    array = array_of(x)
    xp, last = namespace(array), array.shape[-1] - 1
    numbers = (array == array).sum(-1, keepdims=True)
    span = xp.maximum(numbers - 1, 0).astype(array.dtype) if skip_nan else xp.full(numbers.shape, last, array.dtype)
    exact = shares * span
    place = array_of(exact)
    if not skip_nan:  # the last in order is NaN if anything is
        place = xp.where(numbers <= last, span, place)
    if how in ("lower", "higher", "nearest"):
        place = {"lower": xp.floor, "higher": xp.ceil, "nearest": xp.rint}[how](place)
    at = array_of(order(x, array.ndim - 1))
    below, above = xp.floor(place), xp.ceil(place)
    low, high = (take_along(x, xp.take_along_axis(at, i.astype("int64"), -1), array.ndim - 1) for i in (below, above))
    if how == "linear":
        return low + (exact - below) * (high - low)
    return 0.5 * (low + high) if how == "midpoint" else low

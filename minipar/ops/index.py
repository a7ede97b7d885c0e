"""Indexing, basic and advanced, as NumPy and PyTorch define it; repeated indices add their gradients.

On a GPU an array of indices is not checked, which would wait for the device: those out of range wrap around.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.current_gpu import on_gpu_of, on_its_gpu
from ..backend.dispatch import kernel
from ..tape import Value
from .op import Op, array_of, check_devices, unbroadcast, zero_of
from .shape import View, reshape


def parts_of(index: Any) -> Any:
    """A list that holds more than numbers is the tuple of its parts, unless it is long: PyTorch's rule, once NumPy's.

    x[[[0, 1], [1, 0]]] is x[[0, 1], [1, 0]]; for the rows of a table of numbers, write x[minipar.tensor(table)].
    """
    if isinstance(index, list) and len(index) < 32 and any(isinstance(i, _PARTS) or i is ... for i in index):
        return tuple(index)
    return index


_PARTS = (Value, list, tuple, range, slice, np.ndarray, type(None))


def plain(index: Any) -> Any:
    """An index with its tensors and lists as arrays, and whatever stands for one integer as an int."""
    if isinstance(index, tuple):
        return tuple([plain(list(i) if isinstance(i, tuple) else i) for i in index])
    if isinstance(index, Value):
        index = index.array
    elif isinstance(index, (list, range)):
        index = np.asarray(index)
        index = index if index.size else index.astype(np.int64)
    if getattr(index, "dtype", None) == np.uint8 and index.shape:  # a mask, from the days before bool tensors
        with on_gpu_of(index):
            index = index.astype(bool)
    return int(index) if getattr(index, "shape", None) == () and index.dtype.kind in "iu" else index


def is_basic(index: Any) -> bool:
    """Only ints, slices, None and …: every element is picked at most once, and the result is a view."""
    return _BASIC.issuperset(map(type, index if isinstance(index, tuple) else (index,)))


_BASIC = frozenset((int, slice, type(None), type(...)))


def steps(index: Any) -> list[Any]:
    """The index as one step or two: beside arrays, ints are applied first, as in PyTorch.

    NumPy would take such an int for an array: x[0, :, [1, 2]] of a (4, 3, 5) tensor has shape (3, 2) in PyTorch and
    here, but (2, 3) in NumPy.
    """
    if not isinstance(index, tuple) or is_basic(index) or not any(type(i) is int for i in index):
        return [index]
    first: list[Any] = []
    for i in index:
        if type(i) is int or i is Ellipsis:
            first.append(i)
        else:
            first += [slice(None)] * _axes(i)
    return [tuple(first), tuple([i for i in index if type(i) is not int])]


def _axes(part: Any) -> int:
    """How many axes a part of an index speaks for; … for none of its own."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    mask = plain(part) if hasattr(part, "dtype") or isinstance(part, list) else part
    return mask.ndim if getattr(mask, "dtype", None) is not None and np.dtype(mask.dtype).kind == "b" else 1


def _closed(index: Any, ndim: int) -> Any:
    """The index without an … that stands for no axis: NumPy would hold it for one that parts two arrays.

    x[:, [0, 1], ..., [1, 0]] of three axes has its picked axis second in PyTorch and here, but first in NumPy.
    """
    if not isinstance(index, tuple) or is_basic(index) or not any(i is Ellipsis for i in index):
        return index
    return index if sum(map(_axes, index)) < ndim else tuple([i for i in index if i is not Ellipsis])


def check_index(name: str, parts: Any, x: Any) -> None:
    """RuntimeError, which names both, if a tensor among the parts is on another device than x; the CPU's may be."""
    for part in parts if isinstance(parts, (tuple, list)) else (parts,):
        if isinstance(part, Value) and not isinstance(part.array, np.ndarray):
            check_devices(name, x, part)


class Indexed(Op):
    """Base of what keeps an index: tensors in it must not change before the gradient has used them."""

    __slots__ = ("index", "picks")

    def __init__(self, index: Any) -> None:
        if is_basic(index):
            self.index, self.picks = index, []
            return
        self.index = plain(index)
        parts = index if isinstance(index, tuple) else (index,)
        self.picks = [i for i in parts if isinstance(i, Value) and type(plain(i)) is not int]

    def __call__(self, *inputs: Any) -> Any:
        if self.picks:
            check_index(self.name(), self.picks, inputs[0])
        return super().__call__(*inputs)

    def _save(self, inputs: tuple, versions: list[int]) -> None:
        super()._save(inputs, versions)
        self.saved += self.picks
        self.versions += [pick.changes() for pick in self.picks]


class GetItem(Indexed, View):
    """y = x[index]; the gradient is put back where each element came from."""

    __slots__ = ("source",)

    def forward(self, x):
        self.source = x.shape
        rows = rows_of(self.index, x)
        if rows is not None:
            return kernel("pick_rows", x)(x, *rows)
        y = x[self.index]
        if isinstance(y, np.generic) and is_basic(self.index):  # NumPy copies a single element; "…" makes it a view
            y = x[_viewing(self.index)]
        return y

    def vjp(self, g, *_):
        put = PutItem(self.index, self.source)
        return put(g) if isinstance(g, Value) else put.forward(g)


class PutItem(Indexed):
    """y = zeros with x added at `index` (repeats add up): the transpose of GetItem."""

    __slots__ = ("shape",)

    def __init__(self, index, shape):
        super().__init__(index)
        self.shape = shape

    def forward(self, x):
        rows = rows_of(self.index, x)
        if rows is not None and x.shape == picked_shape(self.shape, *rows):
            numbers, dim = rows
            return kernel("add_rows", x)(x, numbers, self.shape, dim)
        places = places_of(self.index, self.shape, x)
        if places is not None:
            return kernel("add_rows", x)(x, places, (math.prod(self.shape),), 0).reshape(self.shape)
        y = namespace(x).zeros(self.shape, x.dtype)
        if is_basic(self.index) or _is_mask(self.index):  # no place occurs twice
            y[self.index] = x
        else:
            add_at(y, self.index, x)
        return y

    def vjp(self, g, *_):
        return getitem(g, self.index)


class SetItem(Indexed):
    """y = x with `value` written at `index`; what was overwritten gets no gradient.

    With repeated indices the last one written stays, as in NumPy, but each copy gets its gradient, as in PyTorch.
    """

    __slots__ = ("value_shape",)

    def forward(self, x, value):
        self.value_shape = value.shape
        y = namespace(x).array(x)  # a copy, also of a NumPy scalar
        assign(y, self.index, value)
        return y

    def vjp(self, g, *_):
        dx = SetItem(self.index)(g, zero_of(g)) if self.needs[0] else None
        if not self.needs[1]:
            return dx, None
        picked = getitem(g, self.index)
        extra = len(self.value_shape) - len(picked.shape)  # NumPy drops leading axes of size 1 from the value
        if extra > 0:
            picked = reshape(picked, (1,) * extra + tuple(picked.shape))
        return dx, unbroadcast(picked, self.value_shape)


def rows_of(index: Any, x: Any) -> tuple[Any, int] | None:
    """(numbers, axis) of an index that picks entries of one axis by number, if a kernel serves x; else None."""
    dim = 0
    if type(index) is tuple and index:
        dim = len(index) - 1
        if any(type(i) is not slice or i != _WHOLE for i in index[:dim]):
            return None
        index = index[dim]
    if not isinstance(index, np.ndarray) or index.dtype.kind != "i" or not index.shape:
        return None
    return (index, dim) if isinstance(x, np.ndarray) and x.ndim > dim and x.dtype.char in "fd" else None


_WHOLE = slice(None)


def _is_mask(index: Any) -> bool:
    return isinstance(getattr(index, "dtype", None), np.dtypes.BoolDType)


def places_of(index: Any, shape: tuple[int, ...], x: Any) -> Any:
    """Of an index with an array of numbers for every axis: the flat places; None for any other, or if none serves x."""
    if (
        type(index) is not tuple
        or len(index) != len(shape)
        or not isinstance(x, np.ndarray)
        or x.dtype.char not in "fd"
    ):
        return None
    if not all(isinstance(i, np.ndarray) and i.dtype.kind == "i" for i in index):
        return None
    try:
        places = np.ravel_multi_index(index, shape)
    except ValueError:  # negative numbers, or some that are outside
        return None
    return places if isinstance(places, np.ndarray) and places.shape == x.shape else None


def picked_shape(shape: tuple[int, ...], numbers: Any, dim: int) -> tuple[int, ...]:
    """Of what `numbers` of axis `dim` pick out of an array of this shape."""
    return (*shape[:dim], *numbers.shape, *shape[dim + 1 :])


def add_at(y: Any, index: Any, x: Any) -> None:
    """y[index] += x, where an index that occurs twice adds twice."""
    if y.dtype.char in "?bBhH" and namespace(y) is not np:  # CuPy adds at indices from 32 bits on
        wide = y.astype(np.int32)
        add_at(wide, index, x)
        y[...] = wide.astype(y.dtype)
    else:
        namespace(y).add.at(y, index, x)


def getitem(x: Any, index: Any) -> Any:
    """x[index]"""
    if is_basic(index):
        return GetItem(index)(x)
    for step in steps(_closed(_with_ints(parts_of(index)), len(x.shape))):
        x = GetItem(step)(x)
    return x


def assign(x: Any, index: Any, value: Any) -> None:
    """x[index] ← value, for arrays."""
    *first, last = steps(_closed(index, x.ndim))
    for step in first:
        x = x[_viewing(step)]
    if is_basic(last):
        x[_viewing(last)] = value
        return
    mask = last[0] if isinstance(last, tuple) and len(last) == 1 else last
    if isinstance(mask, bool) or _is_mask(mask):
        # NumPy drops leading axes of size 1 from the value beside other indices
        extra = value.ndim - 1 - x.ndim + _axes(mask)
        value = value.reshape(value.shape[extra:]) if extra > 0 and value.shape[:extra] == (1,) * extra else value
    x[last] = value


def _viewing(index: Any) -> tuple:
    """A basic index with "…": without one NumPy gives a number, not a view, where a single element is left."""
    parts = index if isinstance(index, tuple) else (index,)
    return parts if any(i is Ellipsis for i in parts) else (*parts, ...)


def _with_ints(index: Any) -> Any:
    """The index with whatever stands for one integer as an int, and tensors left as they are."""
    if isinstance(index, tuple):
        return tuple([_with_ints(list(i) if isinstance(i, tuple) else i) for i in index])
    if isinstance(index, range):
        return list(index)
    found = plain(index)
    return found if type(found) is int else index


@on_its_gpu
def along(index: Any, dim: int) -> tuple:
    """The index tuple that picks x[i, index[i, j], …] (axis `dim` by `index`, the others by their own numbers)."""
    array = array_of(index)
    places = list(namespace(array).ogrid[tuple([slice(n) for n in array.shape])])
    places[dim] = index
    return tuple(places)


class TakeAlong(Indexed):
    """y[i, j] = x[index[i, j], j] for dim 0, and so on; the gradient is put back where each element came from."""

    __slots__ = ("dim", "source")

    def __init__(self, index, dim):
        super().__init__(index)
        self.dim = dim

    def forward(self, x):
        self.source = x.shape
        return kernel("pick_along", x)(x, self.index, self.dim)

    def vjp(self, g, *_):
        if isinstance(g, Value):
            return PutAlong(self.index, self.dim, self.source)(g)
        return kernel("add_along", g)(g, self.index, self.source, self.dim)


class PutAlong(Indexed):
    """y = zeros with x added along axis `dim` at `index` (repeats add up): the transpose of TakeAlong."""

    __slots__ = ("dim", "shape")

    def __init__(self, index, dim, shape):
        super().__init__(index)
        self.dim, self.shape = dim, shape

    def forward(self, x):
        if x.dtype.kind == "f":
            return kernel("add_along", x)(x, self.index, self.shape, self.dim)
        y = namespace(x).zeros(self.shape, x.dtype)
        add_at(y, along(self.index, self.dim), x)
        return y

    def vjp(self, g, *_):
        if isinstance(g, Value):
            return TakeAlong(self.index, self.dim)(g)
        return kernel("pick_along", g)(g, self.index, self.dim)


class AddAlong(Indexed):
    """y = x with src added along axis `dim` at `index`; repeats add up, in the order of the index."""

    __slots__ = ("dim",)

    def __init__(self, index, dim):
        super().__init__(index)
        self.dim = dim

    def forward(self, x, src):
        if x.dtype.kind == "f":
            return kernel("add_along", x)(src, self.index, x.shape, self.dim, x)
        y = x.copy()
        add_at(y, along(self.index, self.dim), src)
        return y

    def vjp(self, g, *_):
        return g, TakeAlong(self.index, self.dim)(g) if self.needs[1] else None


def take_along(x: Any, where: Any, dim: int) -> Any:
    """y[i, j] = x[where[i, j], j] for dim 0, and so on: axes beside `dim` may be shorter in `where` than in x."""
    return TakeAlong(where, dim)(x)

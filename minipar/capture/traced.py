"""Arrays that tell a recorder what is computed with them.

Between operations NumPy is called directly in many places: sums of gradients, masks, running statistics, the noise of
dropout. While a step is recorded, all these see `Traced` arrays: views that hand every computation to the recorder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

PLAIN, RAW, TRACE = "plain", "raw", "trace"  # what a recorder does: nothing, watch one operation, record


class _Active(threading.local):
    recorder: Any = None


active = _Active()

_SAME = frozenset(
    [
        *("shape", "dtype", "ndim", "size", "strides", "itemsize", "nbytes", "flags", "base", "ctypes"),
        *("__array_interface__", "__array_struct__"),
    ]
)
_VIEWS = frozenset(["T", "mT", "real", "imag"])
_TO_PYTHON = frozenset(["item", "tolist", "tobytes", "tofile", "dump", "dumps"])
_of_object = object.__getattribute__


class Traced(np.ndarray):
    """A view of a plain array, `plain_of(traced)`."""

    def __getattribute__(self, name: str) -> Any:
        if name in _SAME:
            return getattr(plain_of(self), name)
        if name in _VIEWS:
            return _call(getattr, (self, name), {})
        if name.startswith("__") or not hasattr(np.ndarray, name):
            return _of_object(self, name)
        if name in _TO_PYTHON:
            return partial(_to_python, self, name)
        return partial(_method, self, name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _call(func, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return _call(np.ndarray.__getitem__, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        _call(np.ndarray.__setitem__, (self, index, value), {})

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(plain_of(self)))])

    def __contains__(self, value: Any) -> bool:
        return _to_python(self, "__contains__", value)

    def __repr__(self) -> str:
        return repr(plain_of(self))

    __str__ = __repr__


for _name in ("__float__", "__int__", "__bool__", "__index__", "__complex__"):
    setattr(Traced, _name, lambda self, name=_name: _to_python(self, name))


def trace(plain: np.ndarray) -> Traced:
    traced = plain.view(Traced)
    _of_object(traced, "__dict__")["plain"] = plain
    return traced


def plain_of(x: Any) -> Any:
    """The array without its trace; anything else as it is."""
    return _of_object(x, "__dict__")["plain"] if type(x) is Traced else x


def with_arrays(x: Any, replace: Callable[[Any], Any]) -> Any:
    """The same nested lists, tuples, dicts and slices with replace(array) in the place of every array."""
    kind = type(x)
    if kind is Traced or kind is np.ndarray:
        return replace(x)
    if kind is tuple or kind is list:
        return kind([with_arrays(part, replace) for part in x])
    if kind is dict:
        return {name: with_arrays(part, replace) for name, part in x.items()}
    if kind is slice:
        return slice(*[with_arrays(part, replace) for part in (x.start, x.stop, x.step)])
    return x


def untraced(x: Any) -> Any:
    """The same nested lists, tuples, dicts and slices with plain arrays."""
    return with_arrays(x, plain_of)


def arrays_in(x: Any) -> list[np.ndarray]:
    """Every array in nested lists, tuples and dicts, plain."""
    kind = type(x)
    if kind is np.ndarray:
        return [x]
    if kind is Traced:
        return [plain_of(x)]
    if kind is tuple or kind is list:
        return [array for part in x for array in arrays_in(part)]
    if kind is dict:
        return [array for part in x.values() for array in arrays_in(part)]
    return []


_base = np.ndarray.base.__get__


def root_of(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory: equal for all views of one piece."""
    while True:
        base = _base(array)
        if isinstance(base, memoryview):  # between a flat buffer and its slots (nn.parameter)
            base = base.obj
        if type(base) not in (np.ndarray, Traced):  # None, or what else lends the memory
            return array
        array = base


def _call(function: Any, args: tuple, kwargs: dict) -> Any:
    recorder = active.recorder
    if recorder is None:
        return function(*untraced(args), **untraced(kwargs))
    return recorder.call(function, args, kwargs)


def _method(self: Traced, name: str, *args: Any, **kwargs: Any) -> Any:
    return _call(getattr(np.ndarray, name), (self, *args), kwargs)


def _to_python(self: Traced, name: str, *args: Any) -> Any:
    recorder = active.recorder
    if recorder is not None:
        recorder.looked_at(plain_of(self), name)
    return getattr(plain_of(self), name)(*args)

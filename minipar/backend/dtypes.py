"""Element types and PyTorch's promotion table, applied once, before an operation's forward runs.

The rule (PyTorch, "Type promotion"): operands fall into three ranks — tensors with dimensions, tensors without (0-d),
Python scalars — and a lower rank only decides the result where it brings a higher *category* (bool < integer <
floating). So float32 tensor * 2.5, and float32 tensor * 0-d float64 tensor, stay float32; an int64 tensor * 2.5 becomes
the default dtype. Between integers and floats the float wins as it is (int64 + float32 is float32; NumPy would say
float64).
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

bool_ = np.dtype(np.bool_)
uint8 = np.dtype(np.uint8)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)

SUPPORTED = (bool_, uint8, int8, int16, int32, int64, float16, float32, float64)
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}
_SUPPORTED = frozenset(SUPPORTED)
_SURE = 65504  # a number that every floating-point dtype holds
_NAMES = ", ".join(dtype.name for dtype in SUPPORTED)


class _Default(threading.local):
    dtype = float32


_default = _Default()


def get_default_dtype() -> np.dtype:
    """The dtype of float tensors made from Python numbers (float32 unless changed on this thread).

    >>> minipar.get_default_dtype()
    dtype('float32')
    """
    return _default.dtype


def set_default_dtype(d: Any, /) -> None:
    """The dtype `d` is from now on that of float tensors made from Python numbers, on this thread.

    TypeError unless it is a floating-point type.

    >>> minipar.set_default_dtype(minipar.float64)
    >>> minipar.tensor(1.0).dtype
    dtype('float64')
    >>> minipar.set_default_dtype(minipar.float32)
    """
    dtype = as_dtype(d)
    if not is_floating(dtype):
        raise TypeError(f"the default dtype must be floating point, not {dtype.name}")
    _default.dtype = dtype


def as_dtype(dtype: Any) -> np.dtype:
    """np.dtype of a dtype, its name, or Python's float, int or bool (the default dtype, int64, bool)."""
    if dtype is float or (isinstance(dtype, str) and dtype == "float"):  # where NumPy would say float64
        return get_default_dtype()
    try:
        found = None if dtype is None else np.dtype(dtype)  # np.dtype(None) is float64
    except TypeError:
        found = None
    if found is None or found not in _SUPPORTED:
        raise TypeError(f"dtype must be one of {_NAMES}, not {dtype!r}")
    return found


def is_floating(dtype: np.dtype) -> bool:
    return dtype.kind == "f"


def _promote(a: np.dtype, b: np.dtype) -> np.dtype:
    if _CATEGORY[a.kind] != _CATEGORY[b.kind]:
        return max(a, b, key=lambda d: _CATEGORY[d.kind])
    return np.promote_types(a, b)


def promote_types(type1: Any, type2: Any) -> np.dtype:
    """The smallest dtype that holds both: the wider of one category, the float of a float and an integer.

    TypeError for dtypes that tensors do not have.

    >>> minipar.promote_types(minipar.int64, minipar.float16), minipar.promote_types(minipar.uint8, minipar.int8)
    (dtype('float16'), dtype('int16'))
    """
    return _promote(as_dtype(type1), as_dtype(type2))


def can_cast(from_: Any, to: Any) -> bool:
    """May a result of dtype `from_` be put into a tensor of dtype `to`? Not floats into integers, nor any into bools.

    TypeError for dtypes that tensors do not have.

    >>> minipar.can_cast(minipar.float64, minipar.float32), minipar.can_cast(minipar.float32, minipar.int64)
    (True, False)
    """
    return _CATEGORY[as_dtype(from_).kind] <= _CATEGORY[as_dtype(to).kind]


def scalar_dtype(x: Any) -> np.dtype:
    """The dtype that a Python number has among tensors."""
    if isinstance(x, bool):
        return bool_
    if isinstance(x, int):
        return int64
    if isinstance(x, float):
        return get_default_dtype()
    raise TypeError(f"expected a tensor, an array or a Python number, not {type(x).__name__}")


def result_type(*operands: Any) -> np.dtype:
    """PyTorch's `torch.result_type` of one or more tensors, arrays and Python numbers (NumPy scalars are 0-d arrays).

    TypeError for operands of other types or dtypes.

    >>> minipar.result_type(minipar.tensor([1]), 1.0)
    dtype('float32')
    """
    if not operands:
        raise TypeError("result_type needs at least one operand")
    ranks: list[np.dtype | None] = [None, None, None]  # dimensioned, 0-d, Python scalars
    for x in operands:
        if hasattr(x, "dtype"):
            rank, dtype = (0 if len(x.shape) else 1), x.dtype
            if dtype not in _SUPPORTED:
                raise TypeError(f"unsupported dtype {dtype.name}; use one of {_NAMES}")
        else:
            rank, dtype = 2, scalar_dtype(x)
        before = ranks[rank]
        ranks[rank] = dtype if before is None else _promote(before, dtype)
    present = [dtype for dtype in ranks if dtype is not None]
    return max(present, key=lambda dtype: _CATEGORY[dtype.kind])  # of equal categories, the first: the highest rank


def scalar_like(x: Any, like: Any, dtype: np.dtype) -> Any:
    """A 0-d array of a Python number, on the device of the array `like`.

    As in PyTorch, an int out of the dtype's range wraps around, and a float becomes infinite.
    """
    sure = dtype.kind == "f" and -_SURE <= x <= _SURE  # no overflow: what silences it takes longer than the operation
    if sure and type(like) is np.ndarray:
        return np.array(x, dtype)
    from . import namespace
    from .current_gpu import on_gpu_of

    xp = namespace(like)
    with on_gpu_of(like):
        if dtype.kind in "iu":
            return xp.asarray(x, int64).astype(dtype, copy=False)
        if sure:
            return xp.asarray(x, dtype)
        with quiet():
            return xp.asarray(x, dtype)


def quiet() -> np.errstate:
    """Inside, infinities and NaN arise without a NumPy warning, as they do in PyTorch (and in CuPy)."""
    return np.errstate(divide="ignore", invalid="ignore", over="ignore")

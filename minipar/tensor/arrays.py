"""Anything that holds numbers, as an array of a supported dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import device_of, dtypes, on_device, to_numpy
from ..backend.current_gpu import copied, on_gpu_of
from ..ops.shape import ints
from ..tape import Value


def as_array(data: Any, dtype: Any, like: Any = None) -> Any:
    """Numbers, nested lists (of numbers or tensors) and arrays as an array of a supported dtype."""
    if isinstance(data, Value):
        data = data.array
    if not hasattr(data, "dtype"):
        if isinstance(data, (list, tuple)) and any(isinstance(x, Value) for x in data):
            data = [to_numpy(x.array) if isinstance(x, Value) else x for x in data]
        array = np.asarray(data)
        if array.dtype == np.float64 and dtype is None:
            dtype = dtypes.get_default_dtype()
        if array.dtype.kind not in "biuf":
            raise TypeError(f"expected numbers, nested lists of numbers or an array, not {type(data).__name__}")
    else:
        array = np.asarray(data) if isinstance(data, (np.generic, np.ndarray)) else data  # np.memmap too
    if dtype is not None:
        with on_gpu_of(array):
            array = array.astype(dtype, copy=False)
    dtypes.as_dtype(array.dtype)
    return array if like is None or isinstance(array, type(like)) else on_device(array, device_of(like))


def of_data_or_size(data: tuple, dtype: Any, name: str) -> Any:
    """What PyTorch's constructors by type make of their arguments: one holds numbers, or ints are a size."""
    if not data or (hasattr(data[0], "__index__") and not hasattr(data[0], "dtype")):
        return np.empty(ints(data or (0,), f"{name}: size"), dtype)
    if len(data) > 1 or isinstance(data[0], float):
        raise TypeError(f"{name} expects one list, array or tensor, or ints as its size, not {data!r}")
    array = as_array(data[0], dtype)
    return copied(array) if isinstance(data[0], np.ndarray) else array

"""Tensors of data that exist already: numbers, lists, arrays, other tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import device as Device
from ..backend import dtypes, on_device
from ..backend.current_gpu import copied
from ..tensor import Tensor, as_array, wrap


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A new leaf tensor with a copy of `data`: numbers, nested lists, arrays or a tensor.

    Python floats become the default dtype (float32), ints int64, bools bool; arrays keep their dtype. TypeError for
    what has no such dtype, ValueError for ragged lists.

    >>> minipar.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    if pin_memory:
        raise NotImplementedError("tensor: pin_memory=True is not supported")
    array = as_array(data, None if dtype is None else dtypes.as_dtype(dtype))
    array = copied(array)
    if device is not None:
        array = on_device(array, Device(device))
    return wrap(array).requires_grad_() if requires_grad else wrap(array)


def as_tensor(data: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory (and, for a tensor, its history) where that is possible.

    >>> x = minipar.zeros(2)
    >>> minipar.as_tensor(x) is x
    True
    """
    found = (
        data if isinstance(data, Tensor) else wrap(as_array(data, None if dtype is None else dtypes.as_dtype(dtype)))
    )
    return found.to(found.device if device is None else device, dtype=dtype)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """`obj` as a tensor: a copy if `copy` is True or there is no other way, which is an error if it is False.

    >>> minipar.asarray([1.0, 2.0], copy=True)
    tensor([1., 2.])
    """
    source = obj if hasattr(obj, "dtype") or not hasattr(obj, "__dlpack__") else from_dlpack(obj)
    found = as_tensor(source, dtype=dtype, device=device)
    shared = found is source or (hasattr(source, "dtype") and np.may_share_memory(_memory(found), _memory(source)))
    if copy is False and not shared:
        raise ValueError("asarray: copy=False, but obj can be had as a tensor only by a copy")
    if copy and shared:
        found = found.detach().clone()
    if found.requires_grad != requires_grad:
        found = found.detach().requires_grad_(requires_grad)
    return found


def _memory(x: Any) -> Any:
    return x.array if isinstance(x, Tensor) else x


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor over the same memory. TypeError for anything else, and for dtypes that tensors do not have.

    >>> a = np.zeros(2)
    >>> minipar.from_numpy(a)[0] = 1
    >>> float(a[0])
    1.0
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: ndarray must be a NumPy array, not {type(ndarray).__name__}")
    dtypes.as_dtype(ndarray.dtype)
    return wrap(np.asarray(ndarray))


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A tensor (count,) over the memory of a buffer (a bytearray, …) from byte `offset` on; count = −1: to its end.

    ValueError for an empty buffer, and for bytes that are not there or do not make whole elements.

    >>> minipar.frombuffer(bytearray([1, 2, 3]), dtype=minipar.uint8, offset=1)
    tensor([2, 3], dtype=uint8)
    """
    kind = dtypes.as_dtype(dtype)
    length = memoryview(buffer).nbytes
    if not length or not count:
        raise ValueError(f"frombuffer: buffer ({length} bytes) and count ({count}) must not be empty")
    if not 0 <= offset < length:
        raise ValueError(f"frombuffer: offset must be one of the {length} bytes of buffer, not {offset}")
    left = length - offset
    if left % kind.itemsize if count < 0 else left < count * kind.itemsize:
        wanted = "whole elements" if count < 0 else f"{count} elements"
        raise ValueError(
            f"frombuffer: the {left} bytes of buffer after offset {offset} do not make {wanted} {kind.name}"
        )
    made = wrap(np.frombuffer(buffer, kind, count, offset))
    return made.requires_grad_() if requires_grad else made


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor over the memory of any object with `__dlpack__`.

    >>> minipar.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    if not hasattr(ext_tensor, "__dlpack_device__"):
        raise TypeError(f"from_dlpack: ext_tensor must have __dlpack__, but is of type {type(ext_tensor).__name__}")
    if ext_tensor.__dlpack_device__()[0] == 2:  # kDLCUDA
        import cupy

        array = cupy.from_dlpack(ext_tensor)
    else:
        array = np.from_dlpack(ext_tensor)
    dtypes.as_dtype(array.dtype)
    return wrap(array)

"""Making tensors: constants, ranges and random numbers. Shapes may be given as `f(2, 3)` or `f((2, 3))`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .backend import device as Device
from .backend import dtypes, on_device, random
from .tensor import Tensor, as_array, wrap


def _finish(array: np.ndarray, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    array = array if dtype is None else array.astype(dtypes.as_dtype(dtype), copy=False)
    t = wrap(array if device is None else on_device(array, Device(device)))
    return t.requires_grad_() if requires_grad else t


def _shape(size: tuple) -> tuple[int, ...]:
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], (int, np.integer)) else size
    for n in shape:
        if not isinstance(n, (int, np.integer)) or isinstance(n, bool):
            raise TypeError(f"a size must be an int, not {n!r}")
        if n < 0:
            raise RuntimeError(f"a size must not be negative, got {tuple(shape)}")
    return tuple(int(n) for n in shape)


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf tensor with a copy of `data`: numbers, nested lists, arrays or a tensor.

    Python floats become the default dtype (float32), ints int64, bools bool; arrays keep their dtype. TypeError for
    what has no such dtype, ValueError for ragged lists.
    """
    array = data.array if isinstance(data, Tensor) else data
    array = as_array(array, None if dtype is None else dtypes.as_dtype(dtype)).copy()
    if device is not None:
        array = on_device(array, Device(device))
    return wrap(array).requires_grad_(requires_grad) if requires_grad else wrap(array)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory where that is possible."""
    found = (
        data if isinstance(data, Tensor) else wrap(as_array(data, None if dtype is None else dtypes.as_dtype(dtype)))
    )
    return found.to(found.device if device is None else device, dtype=dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor over the same memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy expects a NumPy array, not {type(array).__name__}")
    dtypes.as_dtype(array.dtype)
    return wrap(np.asarray(array))


def from_dlpack(other: Any) -> Tensor:
    """A tensor over the memory of any object with `__dlpack__`."""
    if other.__dlpack_device__()[0] == 2:  # kDLCUDA
        import cupy

        array = cupy.from_dlpack(other)
    else:
        array = np.from_dlpack(other)
    dtypes.as_dtype(array.dtype)
    return wrap(array)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of shape `size`, of the default dtype unless `dtype` is given."""
    return _finish(np.zeros(_shape(size), dtype or dtypes.get_default_dtype()), dtype, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of shape `size`, of the default dtype unless `dtype` is given."""
    return _finish(np.ones(_shape(size), dtype or dtypes.get_default_dtype()), dtype, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uninitialised memory of shape `size`."""
    return _finish(np.empty(_shape(size), dtype or dtypes.get_default_dtype()), dtype, device, requires_grad)


def full(
    size: Sequence[int], fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` everywhere; its type gives the dtype unless `dtype` is given."""
    kind = dtypes.scalar_dtype(fill_value) if dtype is None else dtypes.as_dtype(dtype)
    return _finish(np.full(_shape((size,)), fill_value, kind), None, device, requires_grad)


def zeros_like(x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    return zeros(x.shape, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad)


def ones_like(x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    return ones(x.shape, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad)


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, … before `end`: int64 if all three are ints, else the default dtype.

    RuntimeError if the step is 0 or leads away from the end.
    """
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise RuntimeError(f"arange: a step of {step} does not lead from {start} to {end}")
    whole = all(isinstance(x, (int, np.integer)) for x in (start, end, step))
    kind = dtype or (dtypes.int64 if whole else dtypes.get_default_dtype())
    return _finish(np.arange(start, end, step), kind, device, requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    return _finish(np.linspace(start, end, steps), dtype or dtypes.get_default_dtype(), device, requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The n×m matrix with ones on its diagonal (m = n by default)."""
    return _finish(np.eye(n, m), dtype or dtypes.get_default_dtype(), device, requires_grad)


def _float_dtype(dtype: Any) -> np.dtype:
    found = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if not dtypes.is_floating(found):
        raise TypeError(f"random real numbers need a floating-point dtype, not {found.name}")
    return found


def rand(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, generator: Any = None
) -> Tensor:
    """Uniform on [0, 1), from this thread's generator or the one given."""
    source = generator or random.default_generator()
    return _finish(source.uniform(_shape(size), _float_dtype(dtype)), None, device, requires_grad)


def randn(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, generator: Any = None
) -> Tensor:
    """Standard normal."""
    source = generator or random.default_generator()
    return _finish(source.normal(_shape(size), _float_dtype(dtype)), None, device, requires_grad)


def randint(
    low: int, high: Any, size: Any = None, *, dtype: Any = None, device: Any = None, generator: Any = None
) -> Tensor:
    """Integers of [low, high), or of [0, high) as `randint(high, size)`."""
    if size is None:
        low, high, size = 0, low, high
    if high <= low:
        raise RuntimeError(f"randint: high must be above low, got low={low}, high={high}")
    source = generator or random.default_generator()
    return _finish(source.integers(low, high, _shape((size,))), dtype, device, False)


def randperm(n: int, *, dtype: Any = None, device: Any = None, generator: Any = None) -> Tensor:
    """The integers of [0, n) in random order."""
    return _finish((generator or random.default_generator()).permutation(n), dtype, device, False)


def rand_like(x: Tensor, *, dtype: Any = None) -> Tensor:
    return rand(x.shape, dtype=dtype or x.dtype, device=x.device)


def randn_like(x: Tensor, *, dtype: Any = None) -> Tensor:
    return randn(x.shape, dtype=dtype or x.dtype, device=x.device)

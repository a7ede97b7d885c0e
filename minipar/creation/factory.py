"""What every function that makes a tensor takes: where the tensor goes, and whether it wants a gradient.

A factory computes an array; the decorator adds the arguments `device`, `requires_grad`, and those of PyTorch's that
change nothing here: `layout` (None), `pin_memory` (False) and `memory_format` (None, or one of the names in
backend/memory.py). Anything else in these raises NotImplementedError.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from operator import index
from typing import Any

import numpy as np

from ..backend import device as Device
from ..backend import dtypes, on_device
from ..backend.memory import only_row_major
from ..ops.accepts import no_tensor
from ..tensor import Tensor, wrap


def factory(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """`function`, which returns an array, as one that returns a tensor on `device`."""

    @wraps(function)
    def make(*args: Any, device: Any = None, requires_grad: bool = False, **kwargs: Any) -> Tensor:
        only_row_major(kwargs.pop("memory_format", None), function.__name__)
        for name in ("layout", "pin_memory"):
            if kwargs.pop(name, None) not in (None, False):
                raise NotImplementedError(f"{function.__name__}: {name} is not supported; leave it out")
        array = function(*args, **kwargs)
        made = wrap(array if device is None else on_device(array, Device(device)))
        return made.requires_grad_() if requires_grad else made

    return make


def sized(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(shape, …)`, so that it takes f(2, 3), f((2, 3)) and f(size=(2, 3))."""

    @wraps(function)
    def with_shape(*size: Any, **kwargs: Any) -> Any:
        return function(shape_of(kwargs.pop("size") if "size" in kwargs and not size else size), **kwargs)

    return with_shape


def shape_of(size: Any) -> tuple[int, ...]:
    """A shape from (2, 3) or ((2, 3),). TypeError for what is no int, RuntimeError for negative sizes."""
    if not isinstance(size, (tuple, list)):
        size = (size,)
    shape = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    for n in shape:
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"size: a size must be an int, not {n!r}")
    found = tuple([index(n) for n in shape])
    if min(found, default=0) < 0:
        raise RuntimeError(f"size: a size must not be negative, got {found}")
    return found


def float_default(dtype: Any) -> np.dtype:
    """The dtype asked for, or the default one."""
    return dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)


def number(x: Any, name: str) -> Any:
    """A Python number, also from a 0-d tensor or a NumPy scalar. TypeError for anything else."""
    found = x.item() if hasattr(x, "item") and x.ndim == 0 else x
    if not isinstance(found, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(x).__name__}")
    return found


def like(make: Callable[..., Tensor], input: Any, *args: Any, dtype: Any, device: Any, options: dict) -> Tensor:
    """`make(input's shape, …)` in input's dtype and on its device, unless others are given."""
    if not isinstance(input, Tensor):
        raise no_tensor(input)
    options["dtype"] = input.dtype if dtype is None else dtype
    return make(tuple(input.shape), *args, device=input.device if device is None else device, **options)

"""Which GPU computes: the one where the arrays lie, whichever is this thread's current one, as in PyTorch.

CuPy computes on the thread's current GPU and puts the results there. So whoever is about to compute with arrays makes
theirs current first, and leaves the user's as it was: every operation (`Op.__call__`), the walk back (`Following`, one
switch for each run of nodes on one GPU), an optimizer's runs, and the few functions that compute with arrays outside
of operations (`on_its_gpu`). Arrays on the CPU pay for none of it, those on the current GPU a comparison of numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from .. import tape
from ..tape import Value

Function = TypeVar("Function", bound=Callable[..., Any])
_HERE: Any = nullcontext()


def elsewhere(array: Any) -> Any:
    """A context manager, inside which the GPU of this CuPy array is the current one; None where it is already."""
    cupy, number = sys.modules["cupy"], array.data.device_id
    return None if number == cupy.cuda.runtime.getDevice() else cupy.cuda.Device(number)


def on_gpu_of(array: Any) -> Any:
    """A context manager, inside which the GPU of this array is the current one; for one on the CPU it does nothing."""
    return _HERE if isinstance(array, (np.ndarray, np.generic)) else elsewhere(array) or _HERE


def copied(array: Any) -> Any:
    """A copy of the array where it lies; its own `copy` would make one on the current GPU."""
    if type(array) is np.ndarray:
        return array.copy()
    with on_gpu_of(array):
        return array.copy()


def on_its_gpu(function: Function) -> Function:
    """Decorator of a function of tensors or arrays that computes with arrays itself, outside of operations.

    It is called with the GPU of the first one among its arguments (in lists and tuples too) as the current one.
    """

    @wraps(function)
    def there(*args: Any, **kwargs: Any) -> Any:
        array = None if sys.modules.get("cupy") is None else _first_on_a_gpu([*args, *kwargs.values()])
        if array is None:
            return function(*args, **kwargs)
        with on_gpu_of(array):
            return function(*args, **kwargs)

    return there  # type: ignore[return-value]


def _first_on_a_gpu(given: Iterable[Any]) -> Any:
    ours = sys.modules["cupy"].ndarray
    for x in given:
        if isinstance(x, (list, tuple)):
            x = _first_on_a_gpu(x)
        array = x.array if isinstance(x, Value) else x
        if isinstance(array, ours):
            return array
    return None


class Following:
    """Goes from GPU to GPU: `follow(x)` makes that of a value or array the current one, `back()` the one at first."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._first = self._now = -1  # not asked yet: CuPy may be there without a GPU

    def __call__(self, x: Any) -> None:
        array = x.array if isinstance(x, Value) else x
        if isinstance(array, (np.ndarray, np.generic)):
            return
        if self._first < 0:
            self._first = self._now = self._runtime.getDevice()
        if array.data.device_id != self._now:
            self._now = array.data.device_id
            self._runtime.setDevice(self._now)

    def back(self) -> None:
        if self._now != self._first:
            self._runtime.setDevice(self._first)


def following() -> Following | None:
    """None where nothing can be on a GPU: CuPy was never loaded."""
    cupy = sys.modules.get("cupy")
    return None if cupy is None else Following(cupy.cuda.runtime)


tape.places.following = following

"""``max``, ``min`` and the module ``math`` inside a kernel, as a GPU computes them.

float32 stays float32, and what Python refuses is infinity or no number.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

# NumPy's names where they are not those of ``math``.
UFUNCS = {"pow": np.power} | {
    f"a{name}": getattr(np, f"arc{name}") for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh", "tan2")
}
# What NumPy has not, by Python's own function.
OTHERS = ("erf", "erfc", "gamma", "lgamma")


def maximum(*numbers: Any) -> Any:
    """The largest; of a number and a NaN it is the number, as CUDA's is."""
    return max([x for x in numbers if x == x] or numbers)


def minimum(*numbers: Any) -> Any:
    """The smallest; of a number and a NaN it is the number, as CUDA's is."""
    return min([x for x in numbers if x == x] or numbers)


def mathematical(name: str) -> Callable[..., Any] | None:
    """``math.<name>`` as a kernel computes it; None if it is no function of numbers."""
    if name in OTHERS:
        return _in_dtype(getattr(math, name))
    ufunc = UFUNCS.get(name, getattr(np, name, None))
    if not isinstance(ufunc, np.ufunc):
        return None
    if name in ("ceil", "floor", "trunc"):
        return lambda x: int(ufunc(x))
    return ufunc


def _in_dtype(function: Callable[[float], float]) -> Callable[[Any], Any]:
    def call(x: Any) -> Any:
        return np.result_type(x, np.float16).type(function(x))

    return call

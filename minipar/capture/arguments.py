"""The tensors among nested arguments and results, and all the rest as a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn.parameter import Parameter
from ..tensor import Tensor


def tensors_in(x: Any, found: list[Tensor]) -> Any:
    """Append the tensors in nested tuples, lists and dicts; returns a key of everything else.

    Parameters are no data: they are taken by identity. TypeError for what cannot be compared between calls.
    """
    kind = type(x)
    if isinstance(x, Tensor) and kind is not Parameter:
        found.append(x)
        array = x.array
        return "tensor", array.shape, array.dtype, x.tracked
    if kind is tuple or kind is list:
        return kind, *[tensors_in(part, found) for part in x]
    if kind is dict:
        return kind, *[(name, tensors_in(part, found)) for name, part in x.items()]
    if isinstance(x, np.ndarray):
        raise TypeError("a compiled step takes tensors, numbers and strings, not NumPy arrays: minipar.from_numpy(x)")
    try:
        hash(x)
    except TypeError:
        raise TypeError(
            f"an argument of a compiled step must be a tensor, or something hashable to compare it by, not "
            f"{kind.__name__}; let the step read it from outside instead"
        ) from None
    return kind, x


def with_tensors(x: Any, replace: Callable[[Tensor], Any]) -> Any:
    """The same nested tuples, lists and dicts with replace(tensor) in the place of every tensor."""
    kind = type(x)
    if isinstance(x, Tensor) and kind is not Parameter:
        return replace(x)
    if kind is tuple or kind is list:
        return kind([with_tensors(part, replace) for part in x])
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return kind(*[with_tensors(part, replace) for part in x])
    if kind is dict:
        return {name: with_tensors(part, replace) for name, part in x.items()}
    return x

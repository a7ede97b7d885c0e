"""NumPy's names for two arguments, which PyTorch takes too: `axis` for `dim`, `keepdims` for `keepdim`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
_PYTORCH = {"axis": "dim", "keepdims": "keepdim"}


def numpy_names(function: Function) -> Function:
    """`function` with NumPy's names taken as well. TypeError if an argument is given under both."""

    @wraps(function)
    def renamed(*args: Any, **kwargs: Any) -> Any:
        for theirs, ours in _PYTORCH.items():
            if theirs in kwargs:
                if ours in kwargs:
                    raise TypeError(f"{function.__name__}: {theirs} and {ours} are the same argument; pass one")
                kwargs[ours] = kwargs.pop(theirs)
        return function(*args, **kwargs)

    return renamed  # type: ignore[return-value]

"""What an operation is defined for: tensors, and which kinds of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.current_gpu import on_its_gpu

_WORDS = {"b": "bool", "i": "integer", "f": "floating-point"}
_CONVERT = {"b": "bool()", "i": "long()", "f": "float()"}


LOOKERS: list[Callable[..., Any]] = []


def looks_only(check: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a check that looks at the numbers in tensors or arrays, and raises or does nothing.

    So it may be run anew, on new numbers, when a compiled step is replayed.
    """
    LOOKERS.append(on_its_gpu(check))
    return LOOKERS[-1]


def needs_tensors(name: str, **given: Any) -> None:
    """TypeError naming the first argument that is neither a tensor nor an array."""
    for argument, x in given.items():
        if not hasattr(x, "dtype"):
            raise TypeError(f"{name}: {argument} must be a tensor, not {type(x).__name__}")


def needs_float(name: str, x: Any) -> None:
    """RuntimeError unless x is floating point."""
    if x.dtype.kind != "f":
        raise RuntimeError(f"{name} needs a floating-point tensor, not {x.dtype.name}; convert it first: x.float()")


def accepts(name: str, kinds: str, *arrays: Any) -> None:
    """NotImplementedError unless the arrays' kinds are among `kinds` ("b" bool, "i" integer, "f" floating point)."""
    for x in arrays:
        kind = "i" if x.dtype.kind == "u" else x.dtype.kind
        if kind not in kinds:
            words = " or ".join(_WORDS[k] for k in kinds)
            raise NotImplementedError(
                f"{name} is defined for {words} tensors, not {x.dtype.name}; convert it first: x.{_CONVERT[kinds[-1]]}"
            )

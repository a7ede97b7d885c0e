"""What an operation is defined for: tensors, and which kinds of numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import CO_VARARGS
from types import FrameType
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


def needs_tensors(*given: Any) -> None:
    """TypeError for the first that is neither a tensor nor an array."""
    for x in given:
        if not hasattr(x, "dtype"):
            raise no_tensor(x)


def rank(x: Any) -> int:
    """How many axes x has; TypeError if it is neither a tensor nor an array."""
    try:
        return len(x.shape)
    except AttributeError:
        raise no_tensor(x) from None


def tensor_shape(x: Any) -> Any:
    """x.shape; TypeError if x is neither a tensor nor an array."""
    try:
        return x.shape
    except AttributeError:
        raise no_tensor(x) from None


def tensor_dtype(x: Any) -> Any:
    """x.dtype; TypeError if x is neither a tensor nor an array."""
    try:
        return x.dtype
    except AttributeError:
        raise no_tensor(x) from None


def no_tensor(x: Any, argument: str = "") -> TypeError:
    """The error for x where a tensor belongs. It names the function that the user called, and the argument.

    Both are looked up now, in the frames of the functions that x came through: who checks need not be told. `argument`
    is the name where x came from; another one may have been given the same object.
    """
    named, inside = "expected", argument
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("minipar."):
        function = frame.f_code.co_name
        places = _places_of(x, frame)
        if places and frame.f_globals is not globals() and not function.startswith(("_", "<")):
            inside = next((name for name in (argument, inside) if name in places), places[0])
            module = frame.f_locals.get("self") if function == "forward" else None
            name = type(module).__name__ if module is not None else function.removeprefix("linalg_")
            named = f"{name}: {inside} must be"
        frame = frame.f_back
    return not_a_tensor(named, x)


def _places_of(x: Any, frame: FrameType) -> list[str]:
    """The parameters that hold x, or where in a sequence of them it is."""
    code, given = frame.f_code, frame.f_locals
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & CO_VARARGS)]
    itself = [name for name in names if given.get(name, frame) is x]
    sequences = [name for name in names if isinstance(given.get(name), (list, tuple)) and name != "args"]
    return itself or [f"{name}[{i}]" for name in sequences for i, one in enumerate(given[name]) if one is x]


def not_a_tensor(named: str, x: Any) -> TypeError:
    """The same error with its beginning given: "relu: input must be"."""
    kind = "None" if x is None else type(x).__name__
    return TypeError(f"{named} a tensor, not {kind}; minipar.tensor(…) makes one of numbers")


def needs_float(name: str, x: Any) -> None:
    """RuntimeError unless x is floating point."""
    if tensor_dtype(x).kind != "f":
        raise RuntimeError(f"{name} needs a floating-point tensor, not {x.dtype.name}; convert it first: x.float()")


def needs_numbers(name: str, input: Any) -> None:
    """RuntimeError if input holds bools."""
    if tensor_dtype(input).kind == "b":
        raise RuntimeError(f"{name}: input must hold numbers, not bool; convert it first: x.float()")


def accepts(name: str, kinds: str, *arrays: Any) -> None:
    """NotImplementedError unless the arrays' kinds are among `kinds` ("b" bool, "i" integer, "f" floating point)."""
    for x in arrays:
        kind = tensor_dtype(x).kind.replace("u", "i")
        if kind not in kinds:
            words = " or ".join(_WORDS[k] for k in kinds)
            raise NotImplementedError(
                f"{name} is defined for {words} tensors, not {x.dtype.name}; convert it first: x.{_CONVERT[kinds[-1]]}"
            )

"""What a function carries with it when it travels by value: the globals and closure variables that it mentions."""

import sys
import warnings
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import cloudpickle

LIMIT = 1 << 20  # bytes


def warn_of_captured(function: Callable[..., Any], call: str) -> None:
    """Warn, naming the variables, if sending `function` takes more than LIMIT bytes; `call` is what the user called."""
    total = len(cloudpickle.dumps(function))
    if total <= LIMIT:
        return
    sizes = {name: _nbytes(value) for name, value in captured(function).items()}
    large = sorted((name for name, size in sizes.items() if size > LIMIT // 10), key=sizes.__getitem__, reverse=True)
    names = ", ".join(f"{name} ({sizes[name] / 2**20:.1f} MB)" for name in large)
    warnings.warn(
        f"the function given to {call} carries {total / 2**20:.1f} MB{': ' + names if names else ''}; "
        f"pass such data as an argument instead, and what a Pool uses again by pool.put",
        stacklevel=_frames_of_this_package() + 1,
    )


def _nbytes(value: Any) -> int:
    """When pickled; 0 of what cannot be: it does not travel, but has the name of an attribute that is mentioned."""
    try:
        return len(cloudpickle.dumps(value))
    except Exception:
        return 0


def _frames_of_this_package() -> int:
    """How many calls lie between the user's line and the caller of this function, that one included."""
    package, frame, found = __name__.rpartition(".ranks.")[0], sys._getframe(1), 0
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(package):
        frame, found = frame.f_back, found + 1
    return found


def captured(function: Callable[..., Any]) -> dict[str, Any]:
    """Name and value of the globals and closure variables of a Python function, its inner functions' included."""
    code = getattr(function, "__code__", None)
    if code is None:
        return {}
    found = {name: function.__globals__[name] for name in _names(code) if name in function.__globals__}
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)

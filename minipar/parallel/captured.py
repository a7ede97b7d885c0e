"""What a function carries with it when it travels by value: the globals and closure variables that it mentions."""

import warnings
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import cloudpickle

LIMIT = 1 << 20  # bytes


def warn_of_captured(function: Callable[..., Any]) -> None:
    """Warn, naming the variables, if sending `function` takes more than LIMIT bytes."""
    total = len(cloudpickle.dumps(function))
    if total <= LIMIT:
        return
    sizes = {name: len(cloudpickle.dumps(value)) for name, value in captured(function).items()}
    large = sorted((name for name, size in sizes.items() if size > LIMIT // 10), key=sizes.__getitem__, reverse=True)
    names = ", ".join(f"{name} ({sizes[name] / 2**20:.1f} MB)" for name in large)
    warnings.warn(
        f"the function given to launch carries {total / 2**20:.1f} MB{': ' + names if names else ''}; "
        f"pass such data as an argument instead",
        stacklevel=5,
    )


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

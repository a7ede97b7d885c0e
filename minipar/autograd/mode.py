"""Switching the tape off and on, for this thread: as context managers or decorators."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .. import tape

_GENERATOR = 0x20  # inspect.CO_GENERATOR; importing inspect takes longer than all of minipar


def checked_switch(name: str, mode: Any) -> bool:
    """TypeError unless `mode` is a bool: what is meant by a string or a tensor nobody knows."""
    if type(mode).__name__ not in ("bool", "bool_"):  # Python's and NumPy's
        raise TypeError(f"{name}: mode must be a bool, not {mode!r}")
    return bool(mode)


class _Switch(tape.set_grad_mode):
    """A context manager that is a decorator too; of a generator it is set while the generator runs, not in between."""

    def again(self) -> Any:
        """A fresh one, for each call of a decorated function."""
        raise NotImplementedError

    def __call__(self, function: Callable) -> Callable:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.again():
                return function(*args, **kwargs)

        @wraps(function)
        def generate(*args: Any, **kwargs: Any) -> Any:
            steps = function(*args, **kwargs)
            sent = None
            while True:
                try:
                    with self.again():
                        made = steps.send(sent)
                except StopIteration as stop:
                    return stop.value
                sent = yield made

        code = getattr(function, "__code__", None)
        return generate if code is not None and code.co_flags & _GENERATOR else call


class _BareSwitch(_Switch):
    """One that may decorate without parentheses: `@no_grad`."""

    def __new__(cls, function: Any = None) -> Any:
        switch = super().__new__(cls)
        if not callable(function):
            return switch
        switch.__init__()  # type: ignore[misc]
        return switch(function)


class set_grad_enabled(_Switch):
    """`with set_grad_enabled(flag):`; called on its own it takes effect at once, as in PyTorch.

    >>> x = minipar.ones(2, requires_grad=True)
    >>> with minipar.set_grad_enabled(False):
    ...     (x * 2).requires_grad
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(checked_switch("set_grad_enabled", mode))
        self.before = tape.mode.grad
        tape.mode.grad = self.enabled

    def __enter__(self) -> None:
        tape.mode.grad = self.enabled

    def __call__(self, function: Callable) -> Callable:
        tape.mode.grad = self.before  # used as a decorator: only calls of the function are affected
        return super().__call__(function)

    def again(self) -> set_grad_enabled:
        return set_grad_enabled(self.enabled)


class no_grad(_BareSwitch):
    """Operations inside are not recorded: results do not require gradients, and nothing is saved.

    >>> x = minipar.ones(2, requires_grad=True)
    >>> with minipar.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)

    def again(self) -> no_grad:
        return no_grad()


class enable_grad(_BareSwitch):
    """Operations inside are recorded, also within no_grad.

    >>> x = minipar.ones(2, requires_grad=True)
    >>> with minipar.no_grad(), minipar.enable_grad():
    ...     (x * 2).requires_grad
    True
    """

    def __init__(self) -> None:
        super().__init__(True)

    def again(self) -> enable_grad:
        return enable_grad()


class inference_mode(_BareSwitch):
    """As no_grad, for code that never trains; `inference_mode(False)` records again.

    PyTorch also forbids that results made inside are used in training later; here they are ordinary constants.

    >>> x = minipar.ones(2, requires_grad=True)
    >>> with minipar.inference_mode():
    ...     (x * 2).requires_grad, minipar.is_inference_mode_enabled()
    (False, True)
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not checked_switch("inference_mode", mode))

    def __enter__(self) -> None:
        super().__enter__()
        self.inference_before = tape.mode.inference
        tape.mode.inference = not self.enabled

    def __exit__(self, *error: object) -> None:
        tape.mode.inference = self.inference_before
        super().__exit__(*error)

    def again(self) -> inference_mode:
        return inference_mode(not self.enabled)


def is_grad_enabled() -> bool:
    """Whether this thread records operations.

    >>> minipar.is_grad_enabled()
    True
    """
    return tape.mode.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`.

    >>> minipar.is_inference_mode_enabled()
    False
    """
    return tape.mode.inference

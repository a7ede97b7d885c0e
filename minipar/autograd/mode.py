"""Switching the tape off and on, for this thread: as context managers or decorators."""

from __future__ import annotations

from contextlib import ContextDecorator

from .. import tape


class set_grad_enabled(tape.set_grad_mode, ContextDecorator):
    """`with set_grad_enabled(flag):`; called on its own it takes effect at once, as in PyTorch."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self.before = tape.mode.grad
        tape.mode.grad = self.enabled

    def __enter__(self) -> None:
        tape.mode.grad = self.enabled

    def __call__(self, function):
        tape.mode.grad = self.before  # used as a decorator: only calls of the function are affected
        return super().__call__(function)

    def _recreate_cm(self) -> set_grad_enabled:
        return set_grad_enabled(self.enabled)


class no_grad(tape.set_grad_mode, ContextDecorator):
    """Operations inside are not recorded: results do not require gradients, and nothing is saved."""

    def __init__(self) -> None:
        super().__init__(False)

    def _recreate_cm(self) -> no_grad:
        return no_grad()


class enable_grad(tape.set_grad_mode, ContextDecorator):
    """Operations inside are recorded, also within no_grad."""

    def __init__(self) -> None:
        super().__init__(True)

    def _recreate_cm(self) -> enable_grad:
        return enable_grad()


def is_grad_enabled() -> bool:
    return tape.mode.grad

"""What users may have called around every step of an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..tensor import RemovableHandle


class StepHooks:
    """The part of an optimizer that calls hooks before and after `step`, whichever class defines that."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "step" in vars(cls):
            cls.step = _hooked(cls.step)  # type: ignore[attr-defined]

    def _forget_hooks(self) -> None:
        self._step_pre_hooks: dict[int, Callable[..., Any]] = {}
        self._step_post_hooks: dict[int, Callable[..., Any]] = {}
        self._stepping = False

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have hook(optimizer, args, kwargs) called before each step; it may return other (args, kwargs) for it.

        RuntimeError at the step if it returns anything else than None or such a pair. `remove()` on the result takes
        the hook off.

        >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))])
        >>> handle = optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: print("stepping"))
        >>> optimizer.step()
        stepping
        """
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have hook(optimizer, args, kwargs) called after each step. `remove()` on the result takes it off.

        >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))])
        >>> handle = optimizer.register_step_post_hook(lambda optimizer, args, kwargs: print("stepped"))
        >>> optimizer.step()
        stepped
        """
        return RemovableHandle(self._step_post_hooks, hook)


def _hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` between the hooks; a step that calls its base class's is one step."""

    @wraps(step)
    def hooked(self: StepHooks, *args: Any, **kwargs: Any) -> Any:
        if self._stepping or not (self._step_pre_hooks or self._step_post_hooks):
            return step(self, *args, **kwargs)
        self._stepping = True
        try:
            for hook in list(self._step_pre_hooks.values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = _checked(changed)
            result = step(self, *args, **kwargs)
            for hook in list(self._step_post_hooks.values()):
                hook(self, args, kwargs)
        finally:
            self._stepping = False
        return result

    return hooked


def _checked(changed: Any) -> tuple[tuple, dict[str, Any]]:
    if isinstance(changed, tuple) and len(changed) == 2:
        return changed
    raise RuntimeError(f"a step pre-hook must return None or (args, kwargs), not {changed!r}")

"""What users may have called around every step of an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

from ..tensor import RemovableHandle


class StepHooks:
    """The part of an optimizer that calls hooks before and after `step`, whichever class defines that.

    The first hook puts a step between the hooks over the optimizer's own; one without hooks pays nothing for them.
    """

    step: Callable[..., Any]

    def _forget_hooks(self) -> None:
        self._step_pre_hooks: dict[int, Callable[..., Any]] = {}
        self._step_post_hooks: dict[int, Callable[..., Any]] = {}

    def _hook(self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> RemovableHandle:
        self.__dict__.setdefault("step", MethodType(_between_hooks, self))
        return RemovableHandle(hooks, hook)

    def _overridden(self) -> bool:
        """Has somebody put a step of theirs over this optimizer's?"""
        own = vars(self).get("step")
        return own is not None and getattr(own, "__func__", None) is not _between_hooks

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have hook(optimizer, args, kwargs) called before each step; it may return other (args, kwargs) for it.

        RuntimeError at the step if it returns anything else than None or such a pair. `remove()` on the result takes
        the hook off.

        >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))])
        >>> handle = optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: print("stepping"))
        >>> optimizer.step()
        stepping
        """
        return self._hook(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have hook(optimizer, args, kwargs) called after each step. `remove()` on the result takes it off.

        >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))])
        >>> handle = optimizer.register_step_post_hook(lambda optimizer, args, kwargs: print("stepped"))
        >>> optimizer.step()
        stepped
        """
        return self._hook(self._step_post_hooks, hook)


def _between_hooks(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
    for hook in list(optimizer._step_pre_hooks.values()):
        changed = hook(optimizer, args, kwargs)
        if changed is not None:
            args, kwargs = _checked(changed)
    result = type(optimizer).step(optimizer, *args, **kwargs)
    for hook in list(optimizer._step_post_hooks.values()):
        hook(optimizer, args, kwargs)
    return result


def _checked(changed: Any) -> tuple[tuple, dict[str, Any]]:
    if isinstance(changed, tuple) and len(changed) == 2:
        return changed
    raise RuntimeError(f"a step pre-hook must return None or (args, kwargs), not {changed!r}")

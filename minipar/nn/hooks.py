"""The part of a Module that is called, and the hooks around that."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import NoneType
from typing import Any, NamedTuple

from ..ops.accepts import not_a_tensor
from ..tensor import RemovableHandle
from .backward_hooks import BackwardHooks

CALL_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


class ForwardHook(NamedTuple):
    """A function called before or after forward, and how."""

    function: Callable[..., Any]
    with_kwargs: bool
    always_call: bool = False

    def before(self, module: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments with which forward goes on."""
        if self.with_kwargs:
            replaced = self.function(module, args, kwargs)
            if replaced is None:
                return args, kwargs
            if not isinstance(replaced, tuple) or len(replaced) != 2:
                raise RuntimeError(
                    f"a forward pre-hook with kwargs must return None or the pair (args, kwargs), not {replaced!r}"
                )
            return replaced
        replaced = self.function(module, args)
        if replaced is None:
            return args, kwargs
        return replaced if isinstance(replaced, tuple) else (replaced,), kwargs

    def after(self, module: Any, args: tuple, kwargs: dict[str, Any], result: Any) -> Any:
        """The result with which the call goes on."""
        given = (args, kwargs, result) if self.with_kwargs else (args, result)
        replaced = self.function(module, *given)
        return result if replaced is None else replaced


def _refuse_no_tensor(name: str, error: AttributeError, args: tuple) -> None:
    """TypeError if what was asked in vain for an attribute is an argument which has to be a tensor, and is a list."""
    if isinstance(error.obj, (list, tuple, int, float, NoneType)) and any(error.obj is value for value in args):
        raise not_a_tensor(f"{name}: expected", error.obj) from error


class Hooked:
    """A forward that can be called, with whatever is to happen before and after it."""

    _forward_pre_hooks: OrderedDict[int, ForwardHook]
    _forward_hooks: OrderedDict[int, ForwardHook]
    _backward_pre_hooks: OrderedDict[int, Callable[..., Any]]
    _backward_hooks: OrderedDict[int, Callable[..., Any]]

    _hooked = False  # has a hook ever been registered here, or forward been replaced?

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. Subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._call_with_hooks(args, kwargs) if self._hooked else self.forward(*args, **kwargs)
        except AttributeError as error:
            _refuse_no_tensor(type(self).__name__, error, args)
            raise

    def _hook(self, hooks: OrderedDict[int, Any], hook: Any, prepend: bool) -> RemovableHandle:
        object.__setattr__(self, "_hooked", True)
        handle = RemovableHandle(hooks, hook)
        if prepend:
            hooks.move_to_end(next(reversed(hooks)), last=False)
        return handle

    def _call_with_hooks(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        waiting = list(self._forward_hooks.values())
        result = None
        try:
            for pre_hook in list(self._forward_pre_hooks.values()):
                args, kwargs = pre_hook.before(self, args, kwargs)
            watch = None
            if self._backward_hooks or self._backward_pre_hooks:
                watch = BackwardHooks(self, self._backward_pre_hooks.values(), self._backward_hooks.values())
                args = watch.around_input(args)
            result = self.forward(*args, **kwargs)
            while waiting:
                result = waiting.pop(0).after(self, args, kwargs, result)
            return result if watch is None else watch.around_output(result)
        except BaseException:
            for hook in waiting:
                if hook.always_call:
                    hook.after(self, args, kwargs, result)
            raise

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns (if not None) replaces the arguments.

        `with_kwargs`: call `hook(module, args, kwargs)`, which returns None or the pair (args, kwargs). `prepend`:
        before the hooks that are there already.
        """
        return self._hook(self._forward_pre_hooks, ForwardHook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns (if not None) replaces the output.

        `with_kwargs`: call `hook(module, args, kwargs, output)`. `prepend`: before the hooks that are there already.
        `always_call`: also when forward, or a hook before, raises; the output is then None if there is none.
        """
        return self._hook(self._forward_hooks, ForwardHook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when backward reaches the module; what it returns replaces the gradients."""
        return self._hook(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when backward has passed the module.

        Both are tuples, with None for what is no tensor; what the hook returns (if not None) replaces grad_input.

        >>> layer = nn.Linear(2, 1)
        >>> handle = layer.register_full_backward_hook(lambda module, grad_input, grad_output: print(grad_output))
        >>> layer(minipar.ones(1, 2)).sum().backward()
        (tensor([[1.]]),)
        """
        return self._hook(self._backward_hooks, hook, prepend)

"""The hooks that compute a weight before every forward: each has the `name` of the weight."""

from __future__ import annotations

from typing import Any

from ..module import Module


def find_hook(module: Module, kind: type, name: str) -> int | None:
    """The key under which the module holds such a hook for this weight."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook.function, kind) and hook.function.name == name:  # type: ignore[attr-defined]
            return key
    return None


def remove_hook(what: str, module: Module, kind: type, name: str) -> Any:
    """Take the hook off the module, and return it. ValueError where there is none."""
    key = find_hook(module, kind, name)
    if key is None:
        raise ValueError(f"remove_{what}: no {what} of {name!r} was found in {type(module).__name__}")
    return module._forward_pre_hooks.pop(key).function

"""The part of a Module that saves its state, and loads it again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..creation import as_tensor
from ..tape import set_grad_mode
from ..tensor import RemovableHandle, Tensor
from .parameter import Parameter

EXTRA = "_extra_state"
STATE_HOOKS = (
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class IncompatibleKeys(NamedTuple):
    """What load_state_dict returns."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    def problems(self) -> list[str]:
        missing = [f"missing key {key!r}" for key in self.missing_keys]
        return missing + [f"unexpected key {key!r}" for key in self.unexpected_keys]


class State:
    """Parameters and buffers by their paths, as tensors; and whatever else get_extra_state() gives."""

    _parameters: OrderedDict[str, Parameter | None]
    _buffers: OrderedDict[str, Tensor | None]
    _non_persistent: set[str]
    _modules: OrderedDict[str, Any]
    _state_dict_pre_hooks: OrderedDict[int, Callable[..., None]]
    _state_dict_hooks: OrderedDict[int, Callable[..., None]]
    _load_state_dict_pre_hooks: OrderedDict[int, Callable[..., None]]
    _load_state_dict_post_hooks: OrderedDict[int, Callable[..., None]]
    named_modules: Callable[..., Iterator[tuple[str, Any]]]
    get_submodule: Callable[[str], Any]

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Tensor]:
        """Path → tensor of every parameter and persistent buffer, sharing memory with the module.

        The tensors are detached, or with `keep_vars` the parameters and buffers themselves. A mapping `destination`
        is filled and returned instead of a new one. Modules inside are asked for theirs by this same method.
        """
        state: OrderedDict[str, Tensor] = OrderedDict() if destination is None else destination
        for pre_hook in list(self._state_dict_pre_hooks.values()):
            pre_hook(self, prefix, keep_vars)
        for name, tensor in self._own_state():
            state[prefix + name] = tensor if keep_vars else tensor.detach()
        if self._has_extra_state():
            state[prefix + EXTRA] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in list(self._state_dict_hooks.values()):
            if hook(self, state, prefix, {}) is not None:
                raise RuntimeError("a state_dict post-hook must change the dict it is given, and return None")
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the numbers of a state dict (tensors or NumPy arrays) in. Returns the missing and the unexpected keys.

        RuntimeError listing everything that is no tensor or of another shape, and (if `strict`) every missing or
        unexpected key; then nothing is changed. With `assign` the tensors themselves take the places of the old ones,
        with their dtype and device.
        """
        state = OrderedDict(state_dict)
        keys = IncompatibleKeys([], [])
        problems: list[str] = []
        modules = list(self.named_modules(remove_duplicate=False))
        for path, module in modules:
            for pre_hook in list(module._load_state_dict_pre_hooks.values()):
                pre_hook(module, state, path and f"{path}.", {}, strict, *keys, problems)
        own, extra = {}, {}
        for path, module in modules:
            start = path and f"{path}."
            own.update({start + name: tensor for name, tensor in module._own_state()})
            if module._has_extra_state():
                extra[start + EXTRA] = module
        keys.missing_keys.extend(key for key in (*own, *extra) if key not in state)
        keys.unexpected_keys.extend(key for key in state if key not in own and key not in extra)
        found = {key: as_tensor(x) if isinstance(x, np.ndarray) else x for key, x in state.items() if key in own}
        for key, source in found.items():
            if not isinstance(source, Tensor):
                problems.append(f"{key}: expected a tensor, got a {type(source).__name__}")
            elif source.shape != own[key].shape:
                problems.append(f"{key}: the checkpoint has shape {source.shape}, the model {own[key].shape}")
        post_hooks = [(m, hook) for _, m in reversed(modules) for hook in m._load_state_dict_post_hooks.values()]
        if strict and not post_hooks:  # which may forgive keys, once all is loaded
            problems += keys.problems()
        self._refuse(problems)
        with set_grad_mode(False):
            for key, source in found.items():
                self._assign(key, source) if assign else own[key].copy_(source)
        for key, module in extra.items():
            if key in state:
                module.set_extra_state(state[key])
        for module, hook in post_hooks:
            if hook(module, keys) is not None:
                raise RuntimeError("a load_state_dict post-hook must change the keys it is given, and return None")
        self._refuse(keys.problems() if strict else [])
        return keys

    def get_extra_state(self) -> Any:
        """What a state dict holds of this module besides tensors, as `_extra_state`. Subclasses may define it."""
        raise RuntimeError(f"{type(self).__name__} must define get_extra_state() beside set_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Take back what get_extra_state() gave. Subclasses that define that one define this one too."""
        raise RuntimeError(f"{type(self).__name__} must define set_extra_state() beside get_extra_state()")

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before state_dict looks at the module."""
        return RemovableHandle(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` when the module is in the dict, to change that.

        `local_metadata` is empty.

        >>> layer = nn.Linear(2, 1)
        >>> _ = layer.register_state_dict_post_hook(lambda module, state, prefix, _: print(prefix, list(state)))
        >>> _ = nn.Sequential(layer).state_dict()
        0. ['0.weight', '0.bias']
        """
        return RemovableHandle(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`
        before anything is loaded: it may rename keys of the dict (a copy), and add to the three lists.
        """
        return RemovableHandle(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` when all is loaded: it may take keys from the two lists, so that
        `strict` does not mind them. With such a hook, keys that it leaves there are refused after loading.
        """
        return RemovableHandle(self._load_state_dict_post_hooks, hook)

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of this module's own parameters and persistent buffers."""
        for name, tensor in (*self._parameters.items(), *self._buffers.items()):
            if tensor is not None and name not in self._non_persistent:
                yield name, tensor

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not State.get_extra_state

    def _refuse(self, problems: list[str]) -> None:
        if problems:
            raise RuntimeError(f"load_state_dict of {type(self).__name__}:\n  " + "\n  ".join(problems))

    def _assign(self, key: str, source: Tensor) -> None:
        """Put the tensor itself in the place of the parameter or buffer of this path."""
        path, _, name = key.rpartition(".")
        module = self.get_submodule(path)
        old = module._parameters.get(name)
        if old is None:
            module._buffers[name] = source
        elif isinstance(source, Parameter):
            module._parameters[name] = source.requires_grad_(old.requires_grad)
        else:
            module._parameters[name] = Parameter(source, old.requires_grad)

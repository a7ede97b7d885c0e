"""The part of a Module that saves its state, and loads it again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..creation import as_tensor
from ..tape import set_grad_mode
from ..tensor import Tensor
from .parameter import Parameter


class IncompatibleKeys(NamedTuple):
    """What load_state_dict returns."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class State:
    """Parameters and buffers by their paths, as tensors."""

    named_modules: Callable[..., Iterator[tuple[str, Any]]]
    get_submodule: Callable[[str], Any]

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Tensor]:
        """Path → tensor of every parameter and persistent buffer, sharing memory with the module.

        The tensors are detached, or with `keep_vars` the parameters and buffers themselves. A mapping `destination`
        is filled and returned instead of a new one.
        """
        state: OrderedDict[str, Tensor] = OrderedDict() if destination is None else destination
        for path, module in self.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False):
            own = {
                **module._parameters,
                **{k: b for k, b in module._buffers.items() if k not in module._non_persistent},
            }
            for name, tensor in own.items():
                if tensor is not None:
                    state[f"{path}.{name}" if path else name] = tensor if keep_vars else tensor.detach()
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the numbers of a state dict (tensors or NumPy arrays) in. Returns the missing and the unexpected keys.

        RuntimeError listing everything that is no tensor or of another shape, and (if `strict`) every missing or
        unexpected key; then nothing is changed. With `assign` the tensors themselves take the places of the old ones,
        with their dtype and device.
        """
        own = self.state_dict(keep_vars=True)
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        found = {key: as_tensor(x) if isinstance(x, np.ndarray) else x for key, x in state_dict.items() if key in own}
        problems = []
        for key, source in found.items():
            if not isinstance(source, Tensor):
                problems.append(f"{key}: expected a tensor, got a {type(source).__name__}")
            elif source.shape != own[key].shape:
                problems.append(f"{key}: the checkpoint has shape {source.shape}, the model {own[key].shape}")
        if strict:
            problems += [f"missing key {key!r}" for key in missing] + [f"unexpected key {key!r}" for key in unexpected]
        if problems:
            raise RuntimeError(f"load_state_dict of {type(self).__name__}:\n  " + "\n  ".join(problems))
        if assign:
            for key, source in found.items():
                self._assign(key, source)
            return IncompatibleKeys(missing, unexpected)
        with set_grad_mode(False):
            for key, source in found.items():
                own[key].copy_(source)
        return IncompatibleKeys(missing, unexpected)

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

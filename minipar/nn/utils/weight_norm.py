"""Weight normalization (T. Salimans & D. Kingma, "Weight normalization", 2016): w = g v / ‖v‖."""

from __future__ import annotations

from typing import Any

from ...ops.norm import vector_norm
from ...ops.shape import squeeze, unsqueeze
from ..module import Module
from ..parameter import Parameter
from .computed import find_hook, remove_hook


class WeightNorm:
    """Before every forward: the attribute `name` ← g v / ‖v‖, of the parameters name_g and name_v."""

    def __init__(self, name: str, dim: int) -> None:
        self.name, self.dim = name, dim

    def length(self, v: Any) -> Any:
        """‖v‖ of each slice along dim; of all of v where that is −1."""
        if self.dim == -1:
            return vector_norm(v)
        kept = self.dim % v.ndim
        others = [d for d in range(v.ndim + 1) if d != kept]  # one axis more, as a vector has no other
        return squeeze(vector_norm(unsqueeze(v, -1), 2, others, True), -1)

    def weight(self, module: Module) -> Any:
        v = getattr(module, f"{self.name}_v")
        return v * (getattr(module, f"{self.name}_g") / self.length(v))

    def __call__(self, module: Module, args: tuple) -> None:
        setattr(module, self.name, self.weight(module))


def has_weight_norm(module: Module) -> bool:
    """Is `weight_norm` applied to this module itself?"""
    return any(isinstance(hook.function, WeightNorm) for hook in module._forward_pre_hooks.values())


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replace the parameter `name` by name_g, the lengths of its slices along `dim`, and name_v, their direction.

    The weight w = g v / ‖v‖ is computed before every forward. dim = None: one length for all. Returns the module.
    RuntimeError where that is done already, AttributeError where there is no such parameter. Salimans & Kingma, 2016.

    >>> layer = nn.utils.weight_norm(nn.Linear(3, 2))
    >>> {name: tuple(p.shape) for name, p in layer.named_parameters()}
    {'bias': (2,), 'weight_g': (2, 1), 'weight_v': (2, 3)}
    """
    if find_hook(module, WeightNorm, name) is not None:
        raise RuntimeError(f"weight_norm: {name} of the module has it already")
    hook = WeightNorm(name, -1 if dim is None else dim)
    weight = getattr(module, name)
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(hook.length(weight).detach()))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make `name` a parameter again, with the weight that it has. ValueError where `weight_norm` was not applied.

    >>> layer = nn.utils.remove_weight_norm(nn.utils.weight_norm(nn.Linear(3, 2)))
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'weight']
    """
    hook = remove_hook("weight_norm", module, WeightNorm, name)
    weight = hook.weight(module).detach()
    for gone in (name, f"{name}_g", f"{name}_v"):
        delattr(module, gone)
    module.register_parameter(name, Parameter(weight))
    return module

"""Spectral normalization (T. Miyato et al., "Spectral normalization for generative adversarial networks", 2018)."""

from __future__ import annotations

from typing import Any

from ...autograd import no_grad
from ...ops.linalg import dot, mv
from ...ops.norm import normalize
from ...ops.shape import permute, reshape
from ..conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from ..parameter import Parameter
from .computed import find_hook, remove_hook


class SpectralNorm:
    """Before every forward: the attribute `name` ← W / (uᵀ W v), of the parameter name_orig; u and v are buffers."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def matrix(self, weight: Any) -> Any:
        """The weight as a matrix, a row for each entry of axis dim."""
        axes = [self.dim, *[d for d in range(weight.ndim) if d != self.dim]]
        return reshape(permute(weight, axes), (weight.shape[self.dim], -1))

    def weight(self, module: Module, iterate: bool) -> Any:
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = self.matrix(weight)
        if iterate:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(normalize(mv(matrix.T, u), dim=0, eps=self.eps))
                    u.copy_(normalize(mv(matrix, v), dim=0, eps=self.eps))
            u, v = u.clone(), v.clone()  # a second forward changes the buffers before the first one's backward
        return weight / dot(u, mv(matrix, v))

    def __call__(self, module: Module, args: tuple) -> None:
        setattr(module, self.name, self.weight(module, module.training))


def has_spectral_norm(module: Module) -> bool:
    """Is `spectral_norm` applied to this module itself?"""
    return any(isinstance(hook.function, SpectralNorm) for hook in module._forward_pre_hooks.values())


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide the parameter `name`, as a matrix with a row for each entry of axis `dim`, by its largest singular value.

    The value is estimated by uᵀ W v, with `n_power_iterations` steps of the power method before every forward in
    training, which start where the last ended: name_u and name_v are buffers, W is the parameter name_orig. `dim` is 0,
    1 for transposed convolutions. Returns the module. ValueError for n_power_iterations < 1, RuntimeError where it is
    applied already. Miyato et al., 2018.

    >>> layer = nn.utils.spectral_norm(nn.Linear(3, 2), n_power_iterations=50)
    >>> y = layer(minipar.ones(1, 3))
    >>> minipar.linalg.matrix_norm(layer.weight, 2).round(decimals=4).item()
    1.0
    """
    if n_power_iterations < 1:
        raise ValueError(f"spectral_norm: n_power_iterations must be 1 or more, not {n_power_iterations}")
    if find_hook(module, SpectralNorm, name) is not None:
        raise RuntimeError(f"spectral_norm: {name} of the module has it already")
    if dim is None:
        dim = 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0
    hook = SpectralNorm(name, n_power_iterations, dim, eps)
    weight = module.get_parameter(name)
    rows, columns = hook.matrix(weight.detach()).shape
    u, v = (normalize(weight.detach().new_empty(n).normal_(), dim=0, eps=eps) for n in (rows, columns))
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make `name` a parameter again, with the weight that it has. ValueError where `spectral_norm` was not applied.

    >>> layer = nn.utils.remove_spectral_norm(nn.utils.spectral_norm(nn.Linear(3, 2)))
    >>> list(layer.state_dict())
    ['bias', 'weight']
    """
    hook = remove_hook("spectral_norm", module, SpectralNorm, name)
    weight = hook.weight(module, iterate=False).detach()
    for gone in (name, f"{name}_u", f"{name}_v", f"{name}_orig"):
        delattr(module, gone)
    module.register_parameter(name, Parameter(weight))
    return module

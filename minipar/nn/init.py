"""Initial values of parameters, drawn from this thread's generator; every function changes its tensor in place."""

from __future__ import annotations

import math
from typing import Any

from ..backend import device_of, on_device, random
from ..tape import set_grad_mode
from ..tensor import Tensor, wrap


def _fill(tensor: Tensor, array: Any) -> Tensor:
    with set_grad_mode(False):
        return tensor.copy_(wrap(on_device(array, device_of(tensor.array))))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform on [a, b)."""
    draw = (generator or random.default_generator()).uniform(tensor.shape, tensor.dtype)
    return _fill(tensor, (draw * (b - a) + a).astype(tensor.dtype))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with the given mean and standard deviation."""
    draw = (generator or random.default_generator()).normal(tensor.shape, tensor.dtype)
    return _fill(tensor, (draw * std + mean).astype(tensor.dtype))


def constant_(tensor: Tensor, val: float) -> Tensor:
    with set_grad_mode(False):
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1.0)


def fan_in_and_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs feed one output, and how many outputs one input feeds, of a weight (out, in, …)."""
    if tensor.ndim < 2:
        raise ValueError(f"fan in and fan out need a weight of 2 or more dimensions, got shape {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much a layer's weights are enlarged to keep the variance through a nonlinearity (He et al. 2015)."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    gains = {"linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": 2**0.5}
    if nonlinearity not in gains:
        raise ValueError(f"nonlinearity must be one of {', '.join([*gains, 'leaky_relu'])}, not {nonlinearity!r}")
    return gains[nonlinearity]


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor:
    """Uniform on ±gain·√(3 / fan) (He et al., Delving deep into rectifiers, 2015)."""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}")
    fan = fan_in_and_out(tensor)[mode == "fan_out"]
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / fan)
    return uniform_(tensor, -bound, bound, generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform on ±gain·√(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fan_in_and_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)

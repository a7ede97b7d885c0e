"""Initial values that keep the variance from layer to layer: by the number of a layer's inputs and outputs."""

from __future__ import annotations

import math
import warnings

from ...backend.random import Generator
from ...ops.accepts import rank, tensor_shape
from ...tensor import Tensor
from .draws import normal_, uniform_


def fan_in_and_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs feed one output, and how many outputs one input feeds, of a weight (out, in, …).

    >>> nn.init.fan_in_and_out(minipar.empty(8, 3, 5, 5))
    (75, 200)
    """
    if rank(tensor) < 2:
        raise ValueError(f"fan in and fan out need a weight of 2 or more dimensions, got shape {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much a layer's weights are enlarged to keep the variance through a nonlinearity (He et al. 2015).

    `param` is the slope of "leaky_relu". ValueError for an unknown name or a slope that is no number.

    >>> nn.init.calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"param: negative_slope {param!r} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"nonlinearity must be one of {', '.join([*_GAINS, 'leaky_relu'])}, not {nonlinearity!r}")
    return _GAINS[nonlinearity]


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform on ±gain·√(6 / (fan_in + fan_out)) (Glorot & Bengio 2010). ValueError for fewer than 2 dimensions.

    >>> w = nn.init.xavier_uniform_(minipar.empty(2, 4))
    >>> bool((abs(w) <= 1).all())
    True
    """
    bound = gain * math.sqrt(6.0 / sum(fan_in_and_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain·√(2 / (fan_in + fan_out)) (Glorot & Bengio 2010).

    ValueError for fewer than 2 dimensions.

    >>> nn.init.xavier_normal_(minipar.empty(2, 4), gain=0.0).abs().max().item()
    0.0
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fan_in_and_out(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform on ±gain·√(3 / fan) (He et al., Delving deep into rectifiers, 2015), `a` the slope of a leaky ReLU.

    A tensor without elements is left alone, with a warning. ValueError for another mode or nonlinearity, or fewer than
    2 dimensions.

    >>> w = nn.init.kaiming_uniform_(minipar.empty(2, 6), nonlinearity="relu")
    >>> bool((abs(w) <= 1).all())
    True
    """
    if _is_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with standard deviation gain / √fan (He et al. 2015); arguments and errors as `kaiming_uniform_`.

    >>> w = nn.init.kaiming_normal_(minipar.empty(2, 6), mode="fan_out", nonlinearity="relu")
    >>> w.shape
    (2, 6)
    """
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _is_empty(tensor: Tensor) -> bool:
    if 0 in tensor_shape(tensor):
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}")
    fan = fan_in_and_out(tensor)[mode.lower() == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)

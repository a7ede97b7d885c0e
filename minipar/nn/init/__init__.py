"""Initial values of parameters, drawn from this thread's generator; every function changes its tensor in place.

All return the tensor. `generator` draws in place of this thread's. The distributions are torch.nn.init's, the numbers
are minipar's own.
"""

from .deprecated import (
    constant,
    dirac,
    eye,
    kaiming_normal,
    kaiming_uniform,
    normal,
    orthogonal,
    sparse,
    uniform,
    xavier_normal,
    xavier_uniform,
)
from .draws import normal_, trunc_normal_, uniform_
from .fans import (
    calculate_gain,
    fan_in_and_out,
    kaiming_normal_,
    kaiming_uniform_,
    xavier_normal_,
    xavier_uniform_,
)
from .structures import constant_, dirac_, eye_, ones_, orthogonal_, sparse_, zeros_

_calculate_fan_in_and_fan_out = fan_in_and_out  # PyTorch's private name, which many scripts use

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "fan_in_and_out",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]

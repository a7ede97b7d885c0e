"""Activations that are straight lines on both sides of a kink, and the exponential ones that bend below it."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.random import default_generator
from .accepts import needs_numbers, rank
from .activation import Activation, applied, in_place_form
from .exponential import exp
from .op import Elementwise, array_of, check_devices, check_dtypes
from .select import where
from .shape import reshape


class ReLU(Activation):
    """y = max(x, 0); the gradient at 0 is 0, and NaN passes through."""

    __slots__ = ()
    saves_output = True
    forward_kernel, gradient_kernel = "relu", "relu_gradient"

    def recorded(self, g, y):
        return where(y <= 0, 0.0, g)


class LeakyReLU(Activation):
    """y = x above 0, slope · x at 0 and below"""

    __slots__ = ("slope", "numbers")
    saves = (0,)
    forward_kernel, gradient_kernel = "leaky_relu", "leaky_relu_gradient"

    def __init__(self, slope):
        self.slope, self.numbers = slope, (slope,)

    def recorded(self, g, x):
        return where(x > 0, g, g * self.slope)


class PReLU(Elementwise):
    """y = x above 0, a x at 0 and below, for a tensor a"""

    saves = (0, 1)

    def forward(self, x, a):
        return namespace(x).where(x > 0, x, x * a)

    def vjp(self, g, x, a):
        return where(x > 0, g, g * a), where(x > 0, 0.0, g * x)


class ELU(Activation):
    """y = scale · x above 0, scale · α (e^(rate x) − 1) at 0 and below"""

    __slots__ = ("alpha", "scale", "rate", "numbers")
    saves = (0,)
    forward_kernel, gradient_kernel = "elu", "elu_gradient"

    def __init__(self, alpha, scale=1.0, rate=1.0):
        self.alpha, self.scale, self.rate = alpha, scale, rate
        self.numbers = float(alpha * scale), scale, rate

    def recorded(self, g, x):
        # Where x is large and e^x infinite, that side is not chosen; 0 stands in so that its own gradient is finite.
        low = where(x <= 0, x, 0.0)
        return where(x <= 0, g * exp(low * self.rate) * (self.alpha * self.scale * self.rate), g * self.scale)


def relu(input: Any) -> Any:
    """max(x, 0), element by element; its gradient at 0 is 0. Integers stay integers; RuntimeError for bools.

    >>> minipar.relu(minipar.tensor([-2.0, 3.0])).tolist()
    [0.0, 3.0]
    """
    needs_numbers("relu", input)
    return ReLU()(input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """max(0, x) + negative_slope · min(0, x), element by element; its slope at 0 is negative_slope.

    RuntimeError for integers. Maas et al. 2013.

    >>> F.leaky_relu(minipar.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1,  2. ])
    """
    check_dtypes("leaky_relu", input)
    return applied("leaky_relu", input, inplace, LeakyReLU(float(negative_slope)))


def prelu(input: Any, weight: Any) -> Any:
    """max(0, x) + weight · min(0, x): the slope below 0 is learned (He et al. 2015).

    input (N, C, …), weight (C,), or of one element for all channels. RuntimeError for another size, for integers and
    for two dtypes.

    >>> F.prelu(minipar.tensor([[-1.0, -2.0]]), minipar.tensor([0.5, 0.25])).tolist()
    [[-0.5, -0.5]]
    """
    check_dtypes("prelu", input, weight)
    check_devices("prelu", input, weight)
    if rank(weight) > 1:
        raise RuntimeError(f"prelu: weight must have 0 or 1 axes, not shape {tuple(weight.shape)}")
    count = weight.shape[0] if len(weight.shape) else 1
    ndim = len(input.shape)
    channels = input.shape[1] if ndim > 1 else 1
    if count != 1 and count != channels:
        raise RuntimeError(
            f"prelu: weight must have 1 element, or one for each of the {channels} channels (axis 1) of input "
            f"{tuple(input.shape)}, not {count}"
        )
    return PReLU()(input, reshape(weight, (count, *[1] * (ndim - 2)) if count != 1 else ()))


@on_its_gpu
def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Any:
    """Leaky ReLU with a slope drawn for each element from [lower, upper) in training, else their mean.

    RuntimeError for integers and where lower > upper. Xu et al. 2015, "Empirical evaluation of rectified activations".

    >>> F.rrelu(minipar.tensor([-8.0, 3.0]), 0.25, 0.5).tolist()
    [-3.0, 3.0]
    """
    check_dtypes("rrelu", input)
    if lower > upper:
        raise RuntimeError(f"rrelu: lower must be at most upper, got lower={lower} and upper={upper}")
    if not training:
        return applied("rrelu", input, inplace, LeakyReLU((lower + upper) / 2))
    drawn = default_generator().uniform(input.shape, input.dtype) * (upper - lower) + lower
    slopes = namespace(array_of(input)).asarray(drawn, input.dtype)
    return applied("rrelu", input, inplace, lambda x: PReLU()(x, slopes))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x above 0, alpha · (eˣ − 1) at 0 and below (Clevert et al. 2016). RuntimeError for integers.

    >>> F.elu(minipar.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.    ,  2.    ])
    """
    check_dtypes("elu", input)
    return applied("elu", input, inplace, ELU(alpha))


def selu(input: Any, inplace: bool = False) -> Any:
    """1.0507 · elu(x, 1.6733): keeps mean 0 and variance 1 from layer to layer (Klambauer et al. 2017).

    RuntimeError for integers.

    >>> minipar.selu(minipar.tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])
    """
    check_dtypes("selu", input)
    return applied("selu", input, inplace, ELU(1.6732632423543772848170429916717, 1.0507009873554804934193349852946))


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """max(0, x) + min(0, alpha · (e^(x/alpha) − 1)): an ELU without a kink (Barron 2017).

    RuntimeError for integers and for alpha = 0.

    >>> minipar.celu(minipar.tensor([-1.0, 1.0]), alpha=2.0)
    tensor([-0.7869,  1.    ])
    """
    check_dtypes("celu", input)
    if alpha == 0:
        raise RuntimeError("celu: alpha must not be 0: x / alpha is taken")
    return applied("celu", input, inplace, ELU(alpha, rate=1.0 / alpha))


leaky_relu_ = in_place_form(leaky_relu)
rrelu_ = in_place_form(rrelu)
elu_ = in_place_form(elu)
selu_ = in_place_form(selu)
celu_ = in_place_form(celu)

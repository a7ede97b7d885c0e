"""Smooth activations: softplus, logsigmoid, gelu, silu, mish, softsign, tanhshrink, and the gated linear unit."""

from __future__ import annotations

import math
from typing import Any

from .accepts import needs_tensors
from .activation import Activation, applied
from .exponential import exp, sigmoid
from .hyperbolic import tanh
from .op import check_dtypes
from .select import where
from .shape import narrow, normal_dim
from .softmax import softmax
from .special import erf


class Softplus(Activation):
    """y = ln(1 + e^(βx)) / β, and x itself where βx exceeds the threshold"""

    __slots__ = ("beta", "threshold", "numbers")
    saves = (0,)
    forward_kernel, gradient_kernel = "softplus", "softplus_gradient"

    def __init__(self, beta, threshold):
        self.beta, self.threshold = self.numbers = beta, threshold

    def recorded(self, g, x):
        scaled = x * self.beta
        return where(scaled > self.threshold, g, g * sigmoid(scaled))


class LogSigmoid(Activation):
    """y = min(x, 0) − ln(1 + e^−|x|); y' = sigmoid(−x)"""

    __slots__ = ()
    saves = (0,)
    forward_kernel, gradient_kernel = "logsigmoid", "logsigmoid_gradient"

    def recorded(self, g, x):
        return g * sigmoid(-x)


class GELU(Activation):
    """y = x Φ(x), Φ the distribution function of the standard normal; y' = Φ(x) + x φ(x)"""

    __slots__ = ()
    saves = (0,)
    forward_kernel, gradient_kernel = "gelu", "gelu_gradient"

    def recorded(self, g, x):
        cdf = 0.5 * (1.0 + erf(x * (1 / math.sqrt(2))))
        return g * (cdf + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi)))


class TanhGELU(Activation):
    """y = x/2 (1 + tanh u), u = √(2/π) (x + 0.044715 x³)"""

    __slots__ = ()
    saves = (0,)
    forward_kernel, gradient_kernel = "tanh_gelu", "tanh_gelu_gradient"

    def recorded(self, g, x):
        bend = tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x)))
        slope = math.sqrt(2 / math.pi) * (1.0 + 3 * 0.044715 * (x * x))
        return g * (0.5 * (1.0 + bend) + 0.5 * x * (1.0 - bend * bend) * slope)


class SiLU(Activation):
    """y = x σ(x); y' = σ (1 + x (1 − σ))"""

    __slots__ = ()
    saves = (0,)
    forward_kernel, gradient_kernel = "silu", "silu_gradient"

    def recorded(self, g, x):
        gate = sigmoid(x)
        return g * gate * (1.0 + x * (1.0 - gate))


class Mish(Activation):
    """y = x t, t = tanh ln(1 + eˣ); y' = t + x σ(x) (1 − t²)"""

    __slots__ = ()
    saves = (0,)
    forward_kernel, gradient_kernel = "mish", "mish_gradient"

    def recorded(self, g, x):
        gate = tanh(softplus(x))
        return g * (gate + x * sigmoid(x) * (1.0 - gate * gate))


class Softsign(Activation):
    """y = x / (1 + |x|); y' = 1 / (1 + |x|)²"""

    __slots__ = ()
    integers_become_floats = True
    saves = (0,)
    forward_kernel, gradient_kernel = "softsign", "softsign_gradient"

    def recorded(self, g, x):
        return g / (1.0 + abs(x)) ** 2


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """ln(1 + e^(beta·x)) / beta, and x itself where beta·x > threshold. RuntimeError for integers.

    >>> F.softplus(minipar.tensor([-2.0, 0.0, 30.0]))
    tensor([ 0.1269,  0.6931, 30.    ])
    """
    check_dtypes("softplus", input)
    return Softplus(float(beta), float(threshold))(input)


def logsigmoid(input: Any) -> Any:
    """ln(1 / (1 + e⁻ˣ)), accurate for x of any size. RuntimeError for integers.

    >>> F.logsigmoid(minipar.tensor([-100.0, 0.0]))
    tensor([-100.    ,   -0.6931])
    """
    check_dtypes("logsigmoid", input)
    return LogSigmoid()(input)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x Φ(x), Φ the standard normal distribution function; approximate="tanh" is its closed form.

    RuntimeError for integers and for another `approximate`. Hendrycks and Gimpel 2016, arXiv:1606.08415.

    >>> F.gelu(minipar.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.    ,  0.8413])
    """
    check_dtypes("gelu", input)
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")
    return (GELU if approximate == "none" else TanhGELU)()(input)


def silu(input: Any, inplace: bool = False) -> Any:
    """x / (1 + e⁻ˣ), also called swish (Elfwing et al. 2017). RuntimeError for integers.

    >>> F.silu(minipar.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.2689,  0.    ,  0.7311])
    """
    check_dtypes("silu", input)
    return applied("silu", input, inplace, SiLU())


def mish(input: Any, inplace: bool = False) -> Any:
    """x tanh(softplus(x)) (Misra 2019, arXiv:1908.08681). RuntimeError for integers.

    >>> F.mish(minipar.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.3034,  0.    ,  0.8651])
    """
    check_dtypes("mish", input)
    return applied("mish", input, inplace, Mish())


def softsign(input: Any) -> Any:
    """x / (1 + |x|), element by element; integers give floats.

    >>> F.softsign(minipar.tensor([-1.0, 0.0, 3.0])).tolist()
    [-0.5, 0.0, 0.75]
    """
    needs_tensors(input)
    return Softsign()(input)


def tanhshrink(input: Any) -> Any:
    """x − tanh x, element by element; integers give floats.

    >>> F.tanhshrink(minipar.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.2384,  0.    ,  0.2384])
    """
    return input - tanh(input)


def glu(input: Any, dim: int = -1) -> Any:
    """a · sigmoid(b), a and b the halves of input along `dim`: the gated linear unit (Dauphin et al. 2017).

    RuntimeError for a 0-d input, an odd axis and integers; IndexError for an axis that is not there.

    >>> F.glu(minipar.tensor([3.0, 4.0, 0.0, 0.0])).tolist()
    [1.5, 2.0]
    """
    check_dtypes("glu", input)
    if not len(input.shape):
        raise RuntimeError("glu: input must have an axis to halve, got a 0-d tensor")
    dim = normal_dim(dim, len(input.shape))
    half, odd = divmod(input.shape[dim], 2)
    if odd:
        raise RuntimeError(f"glu: axis dim={dim} must have an even size, got input of shape {tuple(input.shape)}")
    return narrow(input, dim, 0, half) * sigmoid(narrow(input, dim, half, half))


def softmin(input: Any, dim: int, dtype: Any = None) -> Any:
    """e⁻ˣ / Σ e⁻ˣ along `dim`: softmax of −input.

    >>> F.softmin(minipar.tensor([0.0, 0.0]), dim=0).tolist()
    [0.5, 0.5]
    """
    return softmax(-input, dim, dtype)

"""Activations and their gradients in one pass over memory: each is written once, for a number (see `elementwise`).

x is the input, y the output, g the gradient of the output. The formulas are those of the reference, rearranged where
they would overflow or lose digits. `type(x)` is the dtype: a bare 0.5 would turn float32 into float64.
"""

import math

from numba import njit

from .approximate import erf, exp, expm1, log1p, sigmoid, tanh
from .elementwise import elementwise, gradient, gradient_by_pieces

_inlined = njit(error_model="numpy", fastmath={"contract"})

# ── straight lines ────────────────────────────────────────────────────────────────────────────────────────────────


@elementwise
def relu(x):
    return type(x)(0) if x < 0 else x


@gradient
def relu_gradient(g, y):
    return type(g)(0) if y <= 0 else g


@elementwise
def leaky_relu(x, slope):
    return x if x > 0 else x * slope


@gradient
def leaky_relu_gradient(g, x, slope):
    return g if x > 0 else g * slope


@elementwise
def hardtanh(x, low, high):
    x = low if x < low else x
    return high if x > high else x


@gradient
def hardtanh_gradient(g, x, low, high):
    return type(g)(0) if (x <= low) | (x >= high) else g


@elementwise
def threshold(x, threshold, value):
    return value if x <= threshold else x


@gradient
def threshold_gradient(g, x, threshold, value):
    return type(g)(0) if x <= threshold else g


@elementwise
def hardshrink(x, width):
    return type(x)(0) if abs(x) <= width else x


@gradient
def hardshrink_gradient(g, x, width):
    return type(g)(0) if abs(x) <= width else g


@elementwise
def softshrink(x, width):
    moved = x + width if x < 0 else x - width
    return type(x)(0) if abs(x) <= width else moved


@elementwise
def hardsigmoid(x):
    return _up_to_six(x) / type(x)(6)


@gradient
def hardsigmoid_gradient(g, x):
    return g / type(g)(6) if (x > -3) & (x < 3) else type(g)(0)


@elementwise
def hardswish(x):
    return x * _up_to_six(x) / type(x)(6)


@gradient
def hardswish_gradient(g, x):
    real = type(x)
    slope = x / real(3) + real(0.5)
    inner = g * slope if x < 3 else g
    return real(0) if x <= -3 else inner


@_inlined
def _up_to_six(x):
    real = type(x)
    x = x + real(3)
    x = real(0) if x < 0 else x
    return real(6) if x > 6 else x


# ── of the exponential function ───────────────────────────────────────────────────────────────────────────────────


@elementwise
def exponential(x):
    return exp(x)


@elementwise
def logistic(x):
    return sigmoid(x)


@gradient
def logistic_gradient(g, y):
    return g * y * (type(y)(1) - y)


@elementwise
def silu(x):
    return x * sigmoid(x)


@gradient
def silu_gradient(g, x):
    gate = sigmoid(x)
    return g * gate * (type(x)(1) + x * (type(x)(1) - gate))


@elementwise
def _softplus(x, beta):
    scaled = x * beta
    return (x if scaled > 0 else type(x)(0)) + log1p(exp(-abs(scaled))) / beta


@gradient
def _straight_above(y, x, beta, threshold):
    return x if x * beta > threshold else y


def softplus(x, beta, threshold):
    # In two passes: with the condition inside LLVM skips what it does not need by a branch, and fills no vectors.
    return _straight_above(_softplus(x, beta), x, beta, threshold)


@gradient
def softplus_gradient(g, x, beta, threshold):
    scaled = x * beta
    bent = g * sigmoid(scaled)
    return g if scaled > threshold else bent


@elementwise
def logsigmoid(x):
    below = x if x < 0 else type(x)(0)
    return below - log1p(exp(-abs(x)))


@gradient
def logsigmoid_gradient(g, x):
    return g * sigmoid(-x)


@elementwise
def elu(x, height, scale, rate):
    bent = expm1(x * rate) * height
    return bent if x <= 0 else x * scale


@gradient
def elu_gradient(g, x, height, scale, rate):
    bent = exp(x * rate) * (height * rate)
    return g * bent if x <= 0 else g * scale


@elementwise
def mish(x):
    power = exp(_at_most_twenty(x))
    n = power * (power + type(x)(2))
    return x * (n / (n + type(x)(2)))


@gradient
def mish_gradient(g, x):
    real = type(x)
    power = exp(_at_most_twenty(x))
    n = power * (power + real(2))
    slope = real(4) * power * (power + real(1)) / ((n + real(2)) * (n + real(2)))
    return g * (n / (n + real(2)) + x * (real(0) if x > 20 else slope))


@_inlined
def _at_most_twenty(x):
    """From 20 on, mish is the identity, and eˣ would be too large."""
    return type(x)(20) if x > 20 else x


@elementwise
def softsign(x):
    return x / (type(x)(1) + abs(x))


@gradient
def softsign_gradient(g, x):
    size = type(x)(1) + abs(x)
    return g / (size * size)


# ── GELU ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@elementwise
def gelu(x):
    return x * _normal_cdf(x)


@gradient_by_pieces
def gelu_gradient(g, x, dx):
    # In two loops: LLVM does not vectorise one that holds erf and exp.
    for i in range(len(x)):
        dx[i] = _normal_cdf(x[i])
    for i in range(len(x)):
        dx[i] = g[i] * (dx[i] + _times_density(x[i]))


@_inlined
def _normal_cdf(x):
    real = type(x)
    return real(0.5) * (real(1) + erf(x * real(math.sqrt(0.5))))


@_inlined
def _times_density(x):
    real = type(x)
    return x * (exp(x * x * real(-0.5)) * real(1 / math.sqrt(2 * math.pi)))


@elementwise
def tanh_gelu(x):
    real = type(x)
    u = real(math.sqrt(2 / math.pi)) * (x + real(0.044715) * (x * x * x))
    return x * real(0.5) * (real(1) + tanh(u))


@gradient
def tanh_gelu_gradient(g, x):
    real = type(x)
    bend = tanh(real(math.sqrt(2 / math.pi)) * (x + real(0.044715) * (x * x * x)))
    slope = real(math.sqrt(2 / math.pi)) * (real(1) + real(3 * 0.044715) * (x * x))
    return g * (real(0.5) * (real(1) + bend) + real(0.5) * x * (real(1) - bend * bend) * slope)

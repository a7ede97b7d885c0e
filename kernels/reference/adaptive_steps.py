"""One update, in place, of the optimizers that scale each element's step by what its gradients were like so far.

The formulas and their order are PyTorch's (torch.optim, single-tensor form); arithmetic stays in the arrays' dtype. All
rows are (n,); ``g`` is left as it was. ``weight_decay`` adds the gradient of ½·weight_decay·‖p‖², or, ``decoupled``,
shrinks p first; with ``maximize`` the loss is climbed. Adam itself is in ``optimizer_steps``.
"""

import math
from typing import Any

from .namespace import array_namespace

Array = Any


def rmsprop_step(
    p: Array,
    g: Array,
    square_avg: Array,
    momentum_buffer: Array | None,
    grad_avg: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
) -> None:
    """RMSprop; with ``grad_avg`` centered, with ``momentum_buffer`` with ``momentum``."""
    xp = array_namespace(p)
    g = _descent(p, g, weight_decay, maximize)
    _average(square_avg, g * g, alpha)
    variance = square_avg
    if grad_avg is not None:
        _average(grad_avg, g, alpha)
        variance = square_avg - grad_avg * grad_avg
    scaled = g / (xp.sqrt(variance) + eps)
    if momentum_buffer is not None:
        momentum_buffer *= momentum
        momentum_buffer += scaled
        scaled = momentum_buffer
    p -= lr * scaled


def adagrad_step(p: Array, g: Array, total: Array, lr: float, eps: float, weight_decay: float, maximize: bool) -> None:
    """Adagrad; ``total`` is the sum of squares so far, ``lr`` the rate of this step."""
    g = _descent(p, g, weight_decay, maximize)
    total += g * g
    p -= lr * (g / (array_namespace(p).sqrt(total) + eps))


def adadelta_step(
    p: Array,
    g: Array,
    square_avg: Array,
    acc_delta: Array,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Adadelta; ``square_avg`` and ``acc_delta`` are the running means of the squares of gradients and of steps."""
    xp = array_namespace(p)
    g = _descent(p, g, weight_decay, maximize)
    _average(square_avg, g * g, rho)
    delta = xp.sqrt(acc_delta + eps) / xp.sqrt(square_avg + eps) * g
    _average(acc_delta, delta * delta, rho)
    p -= lr * delta


def adamax_step(
    p: Array,
    g: Array,
    exp_avg: Array,
    exp_inf: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """Adamax; ``exp_inf`` is the fading maximum of |g| + eps. ``step`` counts from 1."""
    xp = array_namespace(p)
    g = _descent(p, g, weight_decay, maximize)
    _average(exp_avg, g, beta1)
    exp_inf *= beta2
    xp.maximum(exp_inf, abs(g) + eps, out=exp_inf)
    p -= lr / (1 - beta1**step) * (exp_avg / exp_inf)


def nadam_step(
    p: Array,
    g: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float,
    gradient_rate: float,
    mean_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled: bool,
) -> None:
    """NAdam; the rates are what its schedule of momenta makes of ``lr`` for the gradient and the mean in this step."""
    xp = array_namespace(p)
    g = _decoupled_descent(p, g, lr, weight_decay, maximize, decoupled)
    _average(exp_avg, g, beta1)
    _average(exp_avg_sq, g * g, beta2)
    denominator = xp.sqrt(exp_avg_sq / (1 - beta2**step)) + eps
    p -= gradient_rate * (g / denominator)
    p -= mean_rate * (exp_avg / denominator)


def radam_step(
    p: Array,
    g: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled: bool,
) -> None:
    """RAdam: Adam once the variance can be trusted, momentum alone before."""
    xp = array_namespace(p)
    g = _decoupled_descent(p, g, lr, weight_decay, maximize, decoupled)
    _average(exp_avg, g, beta1)
    _average(exp_avg_sq, g * g, beta2)
    update = lr * (exp_avg / (1 - beta1**step))
    trust = rectification(step, beta2)
    if trust:
        update *= trust / (xp.sqrt(exp_avg_sq) + eps)
    p -= update


def rectification(step: int, beta2: float) -> float:
    """RAdam's factor for the step that Adam would make, without its 1 / √v; 0 where there is no trust yet."""
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / (1 - beta2**step)
    if length <= 5:
        return 0.0
    ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return math.sqrt(ratio) * math.sqrt(1 - beta2**step)


def _descent(p: Array, g: Array, weight_decay: float, maximize: bool) -> Array:
    """The gradient to descend."""
    if maximize:
        g = -g
    return g + weight_decay * p if weight_decay else g


def _decoupled_descent(p: Array, g: Array, lr: float, weight_decay: float, maximize: bool, decoupled: bool) -> Array:
    if not decoupled:
        return _descent(p, g, weight_decay, maximize)
    p *= 1 - lr * weight_decay
    return -g if maximize else g


def _average(mean: Array, new: Array, beta: float) -> None:
    """mean ← beta·mean + (1 − beta)·new, in place."""
    mean *= beta
    mean += (1 - beta) * new

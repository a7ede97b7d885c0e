"""RMSprop, Adagrad, Adadelta, Adamax, NAdam and RAdam in one compiled pass (see `flat_steps`): same signatures and same
bits as the reference (kernels.reference.adaptive_steps). Adam itself is in ``optimizer_steps``.
"""

import numpy as np
from numba import njit

from ..reference import adaptive_steps as reference
from ..reference.adaptive_steps import rectification
from .flat_steps import descent, flat_step


def rmsprop_step(
    p: np.ndarray,
    g: np.ndarray,
    square_avg: np.ndarray,
    momentum_buffer: np.ndarray | None,
    grad_avg: np.ndarray | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
) -> None:
    """See the reference, which also serves centered RMSprop: too rare for a loop of its own."""
    if grad_avg is not None:
        reference.rmsprop_step(
            p, g, square_avg, momentum_buffer, grad_avg, lr, alpha, eps, weight_decay, momentum, maximize
        )
    elif momentum_buffer is None:
        _rmsprop(p, g, square_avg, _floats(weight_decay, maximize, lr, alpha, eps))
    else:
        numbers = _floats(weight_decay, maximize, lr, alpha, eps, momentum)
        _rmsprop_momentum(p, g, square_avg, momentum_buffer, numbers)


def adagrad_step(
    p: np.ndarray, g: np.ndarray, total: np.ndarray, lr: float, eps: float, weight_decay: float, maximize: bool
) -> None:
    """See the reference."""
    _adagrad(p, g, total, _floats(weight_decay, maximize, lr, eps))


def adadelta_step(
    p: np.ndarray,
    g: np.ndarray,
    square_avg: np.ndarray,
    acc_delta: np.ndarray,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """See the reference."""
    _adadelta(p, g, square_avg, acc_delta, _floats(weight_decay, maximize, lr, rho, eps))


def adamax_step(
    p: np.ndarray,
    g: np.ndarray,
    exp_avg: np.ndarray,
    exp_inf: np.ndarray,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """See the reference."""
    rate = lr / (1 - beta1**step)
    _adamax(p, g, exp_avg, exp_inf, _floats(weight_decay, maximize, rate, beta1, beta2, eps))


def nadam_step(
    p: np.ndarray,
    g: np.ndarray,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
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
    """See the reference."""
    penalty, shrink = (0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1)
    numbers = _floats(penalty, maximize, shrink, gradient_rate, mean_rate, beta1, beta2, 1 - beta2**step, eps)
    _nadam(p, g, exp_avg, exp_avg_sq, numbers)


def radam_step(
    p: np.ndarray,
    g: np.ndarray,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled: bool,
) -> None:
    """See the reference."""
    penalty, shrink = (0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1)
    trust = rectification(step, beta2)
    _radam(p, g, exp_avg, exp_avg_sq, _floats(penalty, maximize, shrink, lr, beta1, beta2, 1 - beta1**step, trust, eps))


def _floats(*numbers: float) -> tuple[float, ...]:
    return tuple(map(float, numbers))


@flat_step
def _rmsprop(p, g, square, unused, weight_decay, maximize, lr, alpha, eps):
    real = type(p)
    g = descent(p, g, weight_decay, maximize)
    square = _average(square, g * g, alpha)
    return p - real(lr) * (g / (np.sqrt(square) + real(eps))), square


@flat_step
def _rmsprop_momentum(p, g, square, buffer, weight_decay, maximize, lr, alpha, eps, momentum):
    real = type(p)
    g = descent(p, g, weight_decay, maximize)
    square = _average(square, g * g, alpha)
    buffer = real(momentum) * buffer + g / (np.sqrt(square) + real(eps))
    return p - real(lr) * buffer, square, buffer


@flat_step
def _adagrad(p, g, total, unused, weight_decay, maximize, lr, eps):
    real = type(p)
    g = descent(p, g, weight_decay, maximize)
    total += g * g
    return p - real(lr) * (g / (np.sqrt(total) + real(eps))), total


@flat_step
def _adadelta(p, g, square, moved, weight_decay, maximize, lr, rho, eps):
    real = type(p)
    g = descent(p, g, weight_decay, maximize)
    square = _average(square, g * g, rho)
    delta = np.sqrt(moved + real(eps)) / np.sqrt(square + real(eps)) * g
    return p - real(lr) * delta, square, _average(moved, delta * delta, rho)


@flat_step
def _adamax(p, g, mean, largest, weight_decay, maximize, rate, beta1, beta2, eps):
    real = type(p)
    g = descent(p, g, weight_decay, maximize)
    mean = _average(mean, g, beta1)
    faded, size = real(beta2) * largest, abs(g) + real(eps)
    largest = faded if (faded > size) | (faded != faded) else size  # NaN if either is
    return p - real(rate) * (mean / largest), mean, largest


@flat_step
def _nadam(p, g, mean, square, weight_decay, maximize, shrink, g_rate, mean_rate, beta1, beta2, correction, eps):
    real = type(p)
    p *= real(shrink)
    g = descent(p, g, weight_decay, maximize)
    mean, square = _average(mean, g, beta1), _average(square, g * g, beta2)
    denominator = np.sqrt(square / real(correction)) + real(eps)
    return p - real(g_rate) * (g / denominator) - real(mean_rate) * (mean / denominator), mean, square


@flat_step
def _radam(p, g, mean, square, weight_decay, maximize, shrink, lr, beta1, beta2, correction, trust, eps):
    real = type(p)
    p *= real(shrink)
    g = descent(p, g, weight_decay, maximize)
    mean, square = _average(mean, g, beta1), _average(square, g * g, beta2)
    update = real(lr) * (mean / real(correction))
    if trust != 0:
        update *= real(trust) / (np.sqrt(square) + real(eps))
    return p - update, mean, square


@njit(error_model="numpy")
def _average(mean, new, beta):
    """beta·mean + (1 − beta)·new"""
    real = type(mean)
    return real(beta) * mean + real(1 - beta) * new

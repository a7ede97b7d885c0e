"""RMSprop, Adagrad, Adadelta, Adamax, NAdam and RAdam in one compiled pass: same signatures and same bits as the
reference (kernels.reference.adaptive_steps). See ``optimizer_steps`` for how, and for Adam.

All of them are one kind of kernel: p, g and two rows of state (one that has no use for the second gets the first
again), nine numbers, and the number of threads. The first three numbers say what the gradient to descend is.
"""

from collections.abc import Callable

import numpy as np
from numba import njit, prange

from ..reference import adaptive_steps as reference
from ..reference.adaptive_steps import rectification
from .compile import Kernel, compiled
from .optimizer_steps import SPLIT, WORK, step_signatures
from .threads import threads_for

NUMBERS = 9


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
        _run(_rmsprop, p, g, square_avg, square_avg, maximize, weight_decay, 1, lr, alpha, eps)
    else:
        _run(_rmsprop_momentum, p, g, square_avg, momentum_buffer, maximize, weight_decay, 1, lr, alpha, eps, momentum)


def adagrad_step(
    p: np.ndarray, g: np.ndarray, total: np.ndarray, lr: float, eps: float, weight_decay: float, maximize: bool
) -> None:
    """See the reference."""
    _run(_adagrad, p, g, total, total, maximize, weight_decay, 1, lr, eps)


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
    _run(_adadelta, p, g, square_avg, acc_delta, maximize, weight_decay, 1, lr, rho, eps)


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
    _run(_adamax, p, g, exp_avg, exp_inf, maximize, weight_decay, 1, rate, beta1, beta2, eps)


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
    numbers = (gradient_rate, mean_rate, beta1, beta2, 1 - beta2**step, eps)
    _run(_nadam, p, g, exp_avg, exp_avg_sq, maximize, penalty, shrink, *numbers)


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
    numbers = (lr, beta1, beta2, 1 - beta1**step, rectification(step, beta2), eps)
    _run(_radam, p, g, exp_avg, exp_avg_sq, maximize, penalty, shrink, *numbers)


def _run(
    kernel: Kernel,
    p: np.ndarray,
    g: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    maximize: bool,
    penalty: float,
    shrink: float,
    *numbers: float,
) -> None:
    threads = 1 if p.size < SPLIT else threads_for(WORK * p.size, p.size)
    given = (-1.0 if maximize else 1.0, float(penalty), float(shrink), *map(float, numbers))
    kernel(p, g, first, second, given + (0.0,) * (NUMBERS - len(given)), threads)


def _cut_among_threads(part: Callable[..., None]) -> Kernel:
    """The kernel that runs `part` on whole rows, or on a piece of them in each thread."""

    def step(p, g, first, second, numbers, threads):
        size = len(p)
        if len(g) != size or len(first) != size or len(second) != size:
            raise ValueError("p, g and the optimizer's state must have one length")
        if threads <= 1:
            part(p, g, first, second, numbers)
        else:
            for t in prange(threads):
                a, b = t * size // threads, (t + 1) * size // threads
                part(p[a:b], g[a:b], first[a:b], second[a:b], numbers)

    step.__name__ = part.__name__
    return compiled(step_signatures(4, f"UniTuple(float64, {NUMBERS})"), parallel=True)(step)


@njit(error_model="numpy")
def _reals(numbers, real):
    """The numbers in the arrays' dtype, else the arithmetic would turn to float64."""
    return (
        real(numbers[0]), real(numbers[1]), real(numbers[2]), real(numbers[3]), real(numbers[4]), real(numbers[5]),
        real(numbers[6]), real(numbers[7]), real(numbers[8]),
    )  # fmt: skip


@njit(error_model="numpy")
def _descent(p, g, sign, penalty):
    """The gradient to descend, of one element."""
    return sign * g + penalty * p if penalty != 0 else sign * g


@_cut_among_threads
@njit(error_model="numpy")
def _rmsprop(p, g, square_avg, _, numbers):
    sign, penalty, _, rate, keep, small, _, _, _ = _reals(numbers, p.dtype.type)
    take = p.dtype.type(1 - numbers[4])
    for k in range(len(p)):
        gradient = _descent(p[k], g[k], sign, penalty)
        square_avg[k] = keep * square_avg[k] + take * (gradient * gradient)
        p[k] -= rate * (gradient / (np.sqrt(square_avg[k]) + small))


@_cut_among_threads
@njit(error_model="numpy")
def _rmsprop_momentum(p, g, square_avg, buffer, numbers):
    sign, penalty, _, rate, keep, small, momentum, _, _ = _reals(numbers, p.dtype.type)
    take = p.dtype.type(1 - numbers[4])
    for k in range(len(p)):
        gradient = _descent(p[k], g[k], sign, penalty)
        square_avg[k] = keep * square_avg[k] + take * (gradient * gradient)
        buffer[k] = momentum * buffer[k] + gradient / (np.sqrt(square_avg[k]) + small)
        p[k] -= rate * buffer[k]


@_cut_among_threads
@njit(error_model="numpy")
def _adagrad(p, g, total, _, numbers):
    sign, penalty, _, rate, small, _, _, _, _ = _reals(numbers, p.dtype.type)
    for k in range(len(p)):
        gradient = _descent(p[k], g[k], sign, penalty)
        total[k] += gradient * gradient
        p[k] -= rate * (gradient / (np.sqrt(total[k]) + small))


@_cut_among_threads
@njit(error_model="numpy")
def _adadelta(p, g, square_avg, acc_delta, numbers):
    sign, penalty, _, rate, keep, small, _, _, _ = _reals(numbers, p.dtype.type)
    take = p.dtype.type(1 - numbers[4])
    for k in range(len(p)):
        gradient = _descent(p[k], g[k], sign, penalty)
        square_avg[k] = keep * square_avg[k] + take * (gradient * gradient)
        delta = np.sqrt(acc_delta[k] + small) / np.sqrt(square_avg[k] + small) * gradient
        acc_delta[k] = keep * acc_delta[k] + take * (delta * delta)
        p[k] -= rate * delta


@_cut_among_threads
@njit(error_model="numpy")
def _adamax(p, g, exp_avg, exp_inf, numbers):
    sign, penalty, _, rate, keep1, keep2, small, _, _ = _reals(numbers, p.dtype.type)
    take = p.dtype.type(1 - numbers[4])
    for k in range(len(p)):
        gradient = _descent(p[k], g[k], sign, penalty)
        exp_avg[k] = keep1 * exp_avg[k] + take * gradient
        faded, size = keep2 * exp_inf[k], abs(gradient) + small
        exp_inf[k] = faded if faded > size or faded != faded else size  # the larger; NaN if either is
        p[k] -= rate * (exp_avg[k] / exp_inf[k])


@_cut_among_threads
@njit(error_model="numpy")
def _nadam(p, g, exp_avg, exp_avg_sq, numbers):
    sign, penalty, shrink, gradient_rate, mean_rate, keep1, keep2, correction, small = _reals(numbers, p.dtype.type)
    take1, take2 = p.dtype.type(1 - numbers[5]), p.dtype.type(1 - numbers[6])
    for k in range(len(p)):
        weight = shrink * p[k]
        gradient = _descent(weight, g[k], sign, penalty)
        exp_avg[k] = keep1 * exp_avg[k] + take1 * gradient
        exp_avg_sq[k] = keep2 * exp_avg_sq[k] + take2 * (gradient * gradient)
        denominator = np.sqrt(exp_avg_sq[k] / correction) + small
        p[k] = weight - gradient_rate * (gradient / denominator) - mean_rate * (exp_avg[k] / denominator)


@_cut_among_threads
@njit(error_model="numpy")
def _radam(p, g, exp_avg, exp_avg_sq, numbers):
    sign, penalty, shrink, rate, keep1, keep2, correction, trust, small = _reals(numbers, p.dtype.type)
    take1, take2 = p.dtype.type(1 - numbers[4]), p.dtype.type(1 - numbers[5])
    for k in range(len(p)):
        weight = shrink * p[k]
        gradient = _descent(weight, g[k], sign, penalty)
        exp_avg[k] = keep1 * exp_avg[k] + take1 * gradient
        exp_avg_sq[k] = keep2 * exp_avg_sq[k] + take2 * (gradient * gradient)
        update = rate * (exp_avg[k] / correction)
        if trust != 0:
            update *= trust / (np.sqrt(exp_avg_sq[k]) + small)
        p[k] = weight - update

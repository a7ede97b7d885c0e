"""SGD and Adam in one compiled pass: same signatures and same bits as kernels.reference.optimizer_steps.

NumPy reads and writes each chunk a dozen times; here every element is loaded once and stored once, a vector register
at a time (LLVM makes the vectors: the loops have no branches left once the options are known, and at most four arrays,
for which it checks that they do not overlap). What remains is the time that memory takes. Small buffers are updated by
the calling thread; large ones are cut among threads, which changes no bit, since no element looks at another.

Numbers that do not change along the buffer are worked out in float64 and then rounded to the arrays' dtype, as PyTorch
does.
"""

import math

import numpy as np
from numba import njit, prange

from ..reference import optimizer_steps as reference
from .compile import compiled
from .threads import threads_for

SPLIT = 100_000  # elements; fewer are updated before a second thread has woken up
WORK = 10  # of one element, in multiply-adds


def step_signatures(arrays: int, numbers: str) -> list[str]:
    """Of a step over so many rows of one dtype, which takes these numbers and, last, how many threads to use."""
    return [f"void({f'{real}[::1], ' * arrays}{numbers}, int64)" for real in ("float32", "float64")]


def _without_threads(signatures: list[str]) -> list[str]:
    return [signature.removesuffix(", int64)") + ")" for signature in signatures]


_ADAM = step_signatures(4, "int64, float64, float64, float64, float64, float64, boolean, boolean")


def sgd_step(
    p: np.ndarray,
    g: np.ndarray,
    momentum_buffer: np.ndarray | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first_step: bool,
    maximize: bool,
) -> None:
    """Update contiguous p and momentum_buffer (n,) in place from g (n,), all float32 or all float64. See the reference.

    ValueError for lengths that differ or a momentum without a buffer, TypeError for other dtypes or layouts.
    """
    threads = 1 if p.size < SPLIT else threads_for(WORK * p.size, p.size)
    if not momentum:
        _sgd(p, g, lr, weight_decay, maximize, threads)
    elif momentum_buffer is None:
        raise ValueError(f"momentum {momentum} needs a momentum_buffer, got None")
    else:
        _momentum(p, g, momentum_buffer, lr, momentum, dampening, weight_decay, nesterov, first_step, maximize, threads)


def adam_step(
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
    decoupled: bool = False,
    max_exp_avg_sq: np.ndarray | None = None,
) -> None:
    """Update contiguous p, exp_avg and exp_avg_sq (n,) in place from g (n,), all float32 or all float64.

    See the reference, which also serves AMSGrad (with max_exp_avg_sq): too rare for a loop of its own. ValueError for
    a step below 1 or lengths that differ, TypeError for other dtypes or layouts.
    """
    if max_exp_avg_sq is not None:
        reference.adam_step(
            p, g, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled, max_exp_avg_sq
        )
        return
    given = p, g, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled
    if p.size < SPLIT:
        _adam(*given)
    else:
        _adam_of_threads(*given, threads_for(WORK * p.size, p.size))


@compiled(step_signatures(2, "float64, float64, boolean"), parallel=True)
def _sgd(p, g, lr, weight_decay, maximize, threads):
    size = len(p)
    if len(g) != size:
        raise ValueError("p and g must have one length")
    if threads <= 1:
        _sgd_part(p, g, lr, weight_decay, maximize)
    else:
        for t in prange(threads):
            a, b = t * size // threads, (t + 1) * size // threads
            _sgd_part(p[a:b], g[a:b], lr, weight_decay, maximize)


@njit(error_model="numpy")
def _sgd_part(p, g, lr, weight_decay, maximize):
    real = p.dtype.type
    rate, penalty, sign = real(lr), real(weight_decay), real(-1 if maximize else 1)
    for k in range(len(p)):
        update = sign * g[k]
        if penalty != 0:
            update += penalty * p[k]
        p[k] -= rate * update


@compiled(step_signatures(3, "float64, float64, float64, float64, boolean, boolean, boolean"), parallel=True)
def _momentum(p, g, buffer, lr, momentum, dampening, weight_decay, nesterov, first_step, maximize, threads):
    size = len(p)
    if len(g) != size or len(buffer) != size:
        raise ValueError("p, g and momentum_buffer must have one length")
    if threads <= 1:
        _momentum_part(p, g, buffer, lr, momentum, dampening, weight_decay, nesterov, first_step, maximize)
    else:
        for t in prange(threads):
            a, b = t * size // threads, (t + 1) * size // threads
            _momentum_part(
                p[a:b], g[a:b], buffer[a:b], lr, momentum, dampening, weight_decay, nesterov, first_step, maximize
            )


@njit(error_model="numpy")
def _momentum_part(p, g, buffer, lr, momentum, dampening, weight_decay, nesterov, first_step, maximize):
    real = p.dtype.type
    rate, penalty, sign = real(lr), real(weight_decay), real(-1 if maximize else 1)
    keep, take = real(momentum), real(1 - dampening)
    for k in range(len(p)):
        update = sign * g[k]
        if penalty != 0:
            update += penalty * p[k]
        moment = update if first_step else keep * buffer[k] + take * update
        buffer[k] = moment
        p[k] -= rate * (update + keep * moment if nesterov else moment)


# Twice, as Adam is what small models are trained with: what may start threads takes 0.3 µs longer, even if it does not.


@compiled(_without_threads(_ADAM))
def _adam(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled):
    _check_adam(p, g, m, v, step)
    _adam_part(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled)


@compiled(_ADAM, parallel=True)
def _adam_of_threads(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled, threads):
    _check_adam(p, g, m, v, step)
    size = len(p)
    for t in prange(threads):
        a, b = t * size // threads, (t + 1) * size // threads
        _adam_part(p[a:b], g[a:b], m[a:b], v[a:b], step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled)


@njit(error_model="numpy")
def _check_adam(p, g, m, v, step):
    if step < 1:
        raise ValueError("step counts from 1")
    if len(g) != len(p) or len(m) != len(p) or len(v) != len(p):
        raise ValueError("p, g, exp_avg and exp_avg_sq must have one length")


@njit(error_model="numpy")
def _adam_part(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled):
    real = p.dtype.type
    sign = real(-1 if maximize else 1)
    shrink = real(1 - lr * weight_decay if decoupled else 1)
    penalty = real(0 if decoupled else weight_decay)
    # pow of two floats, as Python computes it; ** of an int would multiply, and round otherwise.
    step_size = real(lr / (1 - math.pow(beta1, float(step))))
    root_correction = real(math.sqrt(1 - math.pow(beta2, float(step))))
    take1, keep2, take2, small = real(1 - beta1), real(beta2), real(1 - beta2), real(eps)
    for k in range(len(p)):
        weight = shrink * p[k]
        gradient = sign * g[k]
        if penalty != 0:
            gradient += penalty * weight
        mean = m[k] + take1 * (gradient - m[k])
        square = keep2 * v[k] + take2 * (gradient * gradient)
        m[k] = mean
        v[k] = square
        p[k] = weight - step_size * (mean / (np.sqrt(square) / root_correction + small))

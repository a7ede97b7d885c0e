"""SGD and Adam in one compiled pass (see `flat_steps`): same signatures and same bits as
kernels.reference.optimizer_steps.
"""

import math

import numpy as np

from ..reference import optimizer_steps as reference
from .flat_steps import descent, flat_step


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
    climb = 1.0 if maximize else 0.0
    if not momentum:
        _sgd(p, g, (lr + 0.0, weight_decay + 0.0, climb))  # + 0.0: an int becomes a float
    elif momentum_buffer is None:
        raise ValueError(f"momentum {momentum} needs a momentum_buffer, got None")
    else:
        kind = 1.0 if nesterov else 0.0
        first = 1.0 if first_step else 0.0
        numbers = lr + 0.0, weight_decay + 0.0, climb, momentum + 0.0, dampening + 0.0, kind, first
        _momentum(p, g, momentum_buffer, numbers)


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
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    climb = 1.0 if maximize else 0.0
    apart = 1.0 if decoupled else 0.0
    numbers = step + 0.0, lr + 0.0, beta1 + 0.0, beta2 + 0.0, eps + 0.0, weight_decay + 0.0, climb, apart
    _adam(p, g, exp_avg, exp_avg_sq, numbers)


@flat_step
def _sgd(p, g, unused, unused_too, lr, weight_decay, maximize):
    return p - type(p)(lr) * descent(p, g, weight_decay, maximize)


@flat_step
def _momentum(p, g, buffer, unused, lr, weight_decay, maximize, momentum, dampening, nesterov, first_step):
    real = type(p)
    update = descent(p, g, weight_decay, maximize)
    moment = update if first_step != 0 else real(momentum) * buffer + real(1 - dampening) * update
    return p - real(lr) * (update + real(momentum) * moment if nesterov != 0 else moment), moment


@flat_step
def _adam(p, g, mean, square, step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled):
    real = type(p)
    if decoupled != 0:
        p *= real(1 - lr * weight_decay)
    g = descent(p, g, 0.0 if decoupled != 0 else weight_decay, maximize)
    mean += real(1 - beta1) * (g - mean)
    square = real(beta2) * square + real(1 - beta2) * (g * g)
    # pow of two floats, as Python computes it; ** of an int would multiply, and round otherwise.
    step_size = real(lr / (1 - math.pow(beta1, step)))
    root_correction = real(math.sqrt(1 - math.pow(beta2, step)))
    return p - step_size * (mean / (np.sqrt(square) / root_correction + real(eps))), mean, square

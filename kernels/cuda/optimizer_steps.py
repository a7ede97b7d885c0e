"""One SGD or Adam update of a flat buffer on the GPU, in place: one launch for all parameters in it.

Each number of each array is read once and written once, so the time is that of moving them; a thread has one element of
every array, and neighbouring threads have neighbours. What is the same for all elements (the corrections of Adam's
moments for their start at zero among them) the host computes. The formulas and their order are the reference's.
"""

import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size

Array = Any

THREADS = 256


def sgd_step(
    p: Array,
    g: Array,
    momentum_buffer: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first_step: bool,
    maximize: bool,
) -> None:
    """See the reference. ValueError for arrays of other shapes than ``p``, or that are not contiguous."""
    options = momentum, dampening, weight_decay, nesterov, first_step, maximize
    launcher.launch(plan_sgd, p, g, momentum_buffer, lr, *options)


def adam_step(
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
    decoupled: bool = False,
    max_exp_avg_sq: Array | None = None,
) -> None:
    """See the reference. ValueError for arrays of other shapes than ``p``, or that are not contiguous."""
    options = step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled, max_exp_avg_sq
    launcher.launch(plan_adam, p, g, exp_avg, exp_avg_sq, *options)


def plan_sgd(
    p: Array,
    g: Array,
    momentum_buffer: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first_step: bool,
    maximize: bool,
) -> Plan:
    """The launch that makes ``sgd_step``."""
    if momentum_buffer is None and momentum:
        raise ValueError(f"momentum {momentum} needs a momentum_buffer, got None")
    with_momentum = momentum_buffer is not None and momentum != 0
    buffer = momentum_buffer if with_momentum else p  # p: the kernel does not look
    dtype = check_buffers(p=p, g=g, momentum_buffer=buffer)
    flags = int(with_momentum), int(nesterov), int(first_step), int(maximize)
    scalars = map(dtype.type, (lr, momentum, 1 - dampening, weight_decay))
    return Plan(sgd_kernel(dtype), blocks_for(len(p), THREADS), (p, g, buffer, len(p), *flags, *scalars), p)


def plan_adam(
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
    max_exp_avg_sq: Array | None,
) -> Plan:
    """The launch that makes ``adam_step``."""
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    amsgrad = max_exp_avg_sq is not None
    largest = max_exp_avg_sq if amsgrad else exp_avg_sq  # exp_avg_sq: the kernel does not look
    dtype = check_buffers(p=p, g=g, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq, max_exp_avg_sq=largest)
    shrink, weight_decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    step_size, root_correction = lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
    rates = shrink, weight_decay, 1 - beta1, beta2, 1 - beta2, step_size, root_correction, eps
    args = p, g, exp_avg, exp_avg_sq, largest, len(p), int(maximize), int(amsgrad), *map(dtype.type, rates)
    return Plan(adam_kernel(dtype), blocks_for(len(p), THREADS), args, p)


def check_buffers(**buffers: Array) -> np.dtype:
    """Their one dtype; ValueError unless they are contiguous and of one length."""
    (first, p), *_ = buffers.items()
    for name, buffer in buffers.items():
        if buffer.ndim != 1 or buffer.size != p.size or not buffer.flags.c_contiguous:
            state = "contiguous" if buffer.flags.c_contiguous else "strided"
            raise ValueError(f"{name} must be one contiguous row of {p.size} like {first}, got {state} {buffer.shape}")
    check_size(first, p.shape)
    return check_operands(**buffers)


@cache
def sgd_kernel(dtype: np.dtype) -> Kernel:
    """p ← p − lr · (gradient, or its running sum)."""
    number = getattr(numba, dtype.name)

    def sgd_step(
        p, g, buffer, n, with_momentum, nesterov, first_step, maximize, lr, momentum, undampened, weight_decay
    ):
        i = int32(cuda.grid(1))
        if i < n:
            update = -g[i] if maximize else g[i]
            if weight_decay != number(0):
                update += weight_decay * p[i]
            if with_momentum:
                moment = update
                if not first_step:
                    moment = buffer[i] * momentum + undampened * update
                buffer[i] = moment
                update = update + momentum * moment if nesterov else moment
            p[i] -= update * lr

    others = dict.fromkeys(("lr", "momentum", "undampened", "weight_decay"), dtype.name)
    return Kernel(sgd_step, dtype, pointers=3, threads=THREADS, others=others)


@cache
def adam_kernel(dtype: np.dtype) -> Kernel:
    """p ← p − step_size · m / (√v / root_correction + eps), of the running moments m and v of the gradient."""
    number = getattr(numba, dtype.name)

    def adam_step(
        p, g, exp_avg, exp_avg_sq, max_exp_avg_sq, n, maximize, amsgrad,
        shrink, weight_decay, one_minus_beta1, beta2, one_minus_beta2, step_size, root_correction, eps,
    ):  # fmt: skip
        i = int32(cuda.grid(1))
        if i < n:
            old = p[i] * shrink
            gradient = -g[i] if maximize else g[i]
            if weight_decay != number(0):
                gradient += weight_decay * old
            m = exp_avg[i]
            m += (gradient - m) * one_minus_beta1
            v = exp_avg_sq[i] * beta2 + gradient * gradient * one_minus_beta2
            exp_avg[i] = m
            exp_avg_sq[i] = v
            if amsgrad:
                largest = max_exp_avg_sq[i]
                if largest > v or largest != largest:  # NaN stays
                    v = largest
                max_exp_avg_sq[i] = v
            p[i] = old - m / (number(math.sqrt(v)) / root_correction + eps) * step_size

    rates = "shrink", "weight_decay", "one_minus_beta1", "beta2", "one_minus_beta2", "step_size", "root_correction"
    others = dict.fromkeys((*rates, "eps"), dtype.name)
    return Kernel(adam_step, dtype, pointers=5, threads=THREADS, others=others)

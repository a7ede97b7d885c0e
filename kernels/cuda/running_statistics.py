"""The running mean and variance of a norm's channels on the GPU: one launch, a thread for each channel."""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from ..reference.namespace import array_namespace
from . import launcher
from .plan import Kernel, Plan, blocks_for, check_operands, check_size, flat

Array = Any

THREADS = 256


def follow_statistics(
    running_mean: Array, running_var: Array, statistics: Array, count: int, momentum: float | Array
) -> None:
    """See the reference. TypeError unless both have one dtype, ValueError for wrong sizes."""
    moved = launcher.launch(plan_follow, running_mean, running_var, statistics, count, momentum)
    for running, new in zip((running_mean, running_var), moved):
        if not running.flags.c_contiguous:  # what was moved is a copy
            running[...] = new


def plan_follow(
    running_mean: Array, running_var: Array, statistics: Array, count: int, momentum: float | Array
) -> Plan:
    """The launch that moves both in their place: the result is (mean, variance), copies where not contiguous."""
    dtype, channels = check_operands(running_mean=running_mean, running_var=running_var), running_mean.size
    if running_var.size != channels or not statistics.size or statistics.size % (2 * channels):
        shapes = f"{running_mean.shape}, {running_var.shape} and statistics {statistics.shape}"
        raise ValueError(f"statistics (2, …, C) need running mean and variance (C,), got {shapes}")
    check_size("statistics", statistics.shape)
    samples = statistics.size // (2 * channels)
    new = flat(statistics.astype(dtype, copy=False))
    moved = flat(running_mean), flat(running_var)
    given = hasattr(momentum, "dtype")
    by = array_namespace(new).asarray(momentum, dtype).reshape(-1) if given else new  # new: the kernel does not look
    constant, unbiased = dtype.type(0 if given else momentum), dtype.type(count / max(count - 1, 1))
    args = new, *moved, by, channels, samples, int(given), constant, unbiased
    return Plan(follow_kernel(dtype), blocks_for(channels, THREADS), args, moved)


@cache
def follow_kernel(dtype: np.dtype) -> Kernel:
    """Averages of the samples' statistics, and the running ones a step nearer to them."""
    number = getattr(numba, dtype.name)

    def follow_statistics(statistics, running_mean, running_var, by, C, samples, given, constant, unbiased):
        c = int32(cuda.grid(1))
        if c < C:
            mean = number(0)
            variance = number(0)
            for sample in range(samples):
                mean += statistics[int32(sample * C + c)]
                variance += statistics[int32((samples + sample) * C + c)]
            momentum = by[0] if given else constant
            stays = number(1) - momentum
            running_mean[c] = stays * running_mean[c] + momentum * (mean / number(samples))
            running_var[c] = stays * running_var[c] + momentum * (variance / number(samples) * unbiased)

    others = {"constant": dtype.name, "unbiased": dtype.name}
    return Kernel(follow_statistics, dtype, pointers=4, threads=THREADS, others=others)

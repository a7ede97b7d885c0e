"""The running mean and variance of a norm's channels, in one call: so few numbers that calls are what counts."""

from typing import Any

import numpy as np
from numba import njit

from .compile import compiled
from .signatures import real_signatures


def follow_statistics(
    running_mean: np.ndarray, running_var: np.ndarray, statistics: np.ndarray, count: int, momentum: Any
) -> None:
    """See the reference. TypeError unless both are float32 or both float64, ValueError for wrong sizes."""
    statistics = statistics.reshape(2, -1, len(running_mean))
    if isinstance(momentum, np.ndarray):
        _follow_by(running_mean, running_var, statistics, count, momentum.reshape(1))
    else:
        _follow(running_mean, running_var, statistics, count, momentum)


@compiled(real_signatures("out1A out1A float64[:,:,::1] int64 float64"))
def _follow(running_mean, running_var, statistics, count, momentum):
    _move(running_mean, running_var, statistics, count, momentum)


@compiled(real_signatures("out1A out1A float64[:,:,::1] int64 float64[::1]"))
def _follow_by(running_mean, running_var, statistics, count, momentum):
    _move(running_mean, running_var, statistics, count, momentum[0])


@njit(error_model="numpy")
def _move(running_mean, running_var, statistics, count, momentum):
    _, samples, channels = statistics.shape
    if len(running_mean) != channels or len(running_var) != channels:
        raise ValueError("statistics (2, …, C) need running mean and variance (C,)")
    unbiased = count / max(count - 1, 1)
    for c in range(channels):
        mean = variance = 0.0
        for n in range(samples):
            mean += statistics[0, n, c]
            variance += statistics[1, n, c]
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * (mean / samples)
        running_var[c] = (1 - momentum) * running_var[c] + momentum * (variance / samples * unbiased)

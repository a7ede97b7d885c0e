"""Adaptive average pooling and its gradient, compiled: same meaning as ``kernels.reference.adaptive_pool``.

Its windows are of different widths, and may overlap by one; what is computed of them is ``window_means``.
"""

from functools import lru_cache

import numpy as np

from ..reference.adaptive_pool import adaptive_windows
from .avg_pool import spread_windows, window_means
from .window_means import Windows, windows

Shape4 = tuple[int, int, int, int]


def adaptive_avg_pool2d_forward(x: np.ndarray, output: tuple[int, int]) -> np.ndarray:
    """y (N, C, OH, OW) for x (N, C, H, W) in float32 or float64. TypeError for another dtype."""
    return window_means(x, _windows(x.shape[2], output[0]), _windows(x.shape[3], output[1]))


def adaptive_avg_pool2d_backward(g: np.ndarray, x_shape: Shape4) -> np.ndarray:
    """dx (N, C, H, W) for g (N, C, OH, OW) in float32 or float64. TypeError for another dtype."""
    return spread_windows(g, x_shape, _windows(x_shape[2], g.shape[2]), _windows(x_shape[3], g.shape[3]))


@lru_cache(maxsize=256)
def _windows(size: int, output: int) -> Windows:
    start, end = adaptive_windows(size, output)
    return windows(start, end, end - start)

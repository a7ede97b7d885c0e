"""Average pooling and its gradient, compiled: same signatures and meaning as in ``kernels.reference.pool2d``."""

from functools import lru_cache

import numpy as np

from ..reference.pool2d import axis_windows, pool2d_output_size
from .compile import check_real
from .threads import threads_for
from .window_means import ALONE, Windows, means, means_of_threads, spread, spread_of_threads, windows

Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]


def avg_pool2d_forward(
    x: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """y (N, C, OH, OW) for x in float32 or float64; see the reference. TypeError for another dtype."""
    return window_means(
        x, *_windows(x.shape[2:], kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    )


def avg_pool2d_backward(
    g: np.ndarray,
    x_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> np.ndarray:
    """dx (N, C, H, W) for g in float32 or float64; see the reference.

    TypeError for another dtype, ValueError if g has not the output's shape.
    """
    size = x_shape[2:]
    return spread_windows(
        g, x_shape, *_windows(size, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    )


def window_means(x: np.ndarray, rows: Windows, columns: Windows) -> np.ndarray:
    """The mean of every window: y (N, C, OH, OW) for x (N, C, H, W)."""
    check_real("x", x)
    n, channels, height, width = x.shape
    y = np.empty((n, channels, rows.table.shape[1], columns.table.shape[1]), x.dtype)
    size = n * channels, height, width
    threads = 1 if x.size < ALONE else threads_for(2 * x.size, size[0])
    if threads == 1:
        means(x.ravel(), y.ravel(), size, rows.table, columns.table, columns.even)
    else:
        means_of_threads(x.ravel(), y.ravel(), size, rows.table, columns.table, columns.even, threads)
    return y


def spread_windows(g: np.ndarray, x_shape: Shape4, rows: Windows, columns: Windows) -> np.ndarray:
    """The transpose: dx (N, C, H, W) of g (N, C, OH, OW). ValueError if g has another shape."""
    check_real("g", g)
    n, channels, height, width = x_shape
    if g.shape != (n, channels, rows.table.shape[1], columns.table.shape[1]):
        raise ValueError(f"g {g.shape} is not of the windows' shape for x {x_shape}")
    dx = np.empty(x_shape, g.dtype)
    size = n * channels, height, width
    threads = 1 if dx.size < ALONE else threads_for(2 * dx.size, size[0])
    if threads == 1:
        spread(g.ravel(), dx.ravel(), size, rows.table, columns.table, columns.even)
    else:
        spread_of_threads(g.ravel(), dx.ravel(), size, rows.table, columns.table, columns.even, threads)
    return dx


@lru_cache(maxsize=256)
def _windows(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool,
    divisor_override: int | None,
) -> tuple[Windows, Windows]:  # fmt: skip
    """Those of the rows and of the columns. They depend on sizes alone, and are made once."""
    output = pool2d_output_size((1, 1, *size), kernel, stride, padding, (1, 1), ceil_mode)
    if divisor_override == 0:
        raise ValueError("divisor_override must not be zero")
    found = []
    for axis in (0, 1):
        start, end, count = axis_windows(
            size[axis], output[axis], kernel[axis], stride[axis], padding[axis], count_include_pad
        )
        if divisor_override is not None:
            count = np.full(output[axis], divisor_override if axis == 0 else 1)
        found.append(windows(start, end, count))
    return found[0], found[1]

"""Max pooling and its gradient in compiled loops: same signatures and same bits as kernels.reference.pool2d.

NumPy visits the whole image once a tap and writes masks; here a window's best stays in a register. One thread: a second
pool of threads between multi-threaded BLAS calls costs the step more than it saves here (measured: 1.4 times slower).
"""

import numpy as np

from ..reference.pool2d import first_tap_inside, pool2d_output_size
from ..reference.shapes import window_span
from .compile import carray, check_real, compiled

Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]


def max_pool2d_forward(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(y, winners) for x (N, C, H, W) in float32 or float64; see the reference. TypeError for another dtype."""
    check_real("x", x)
    n, channels, height, width = x.shape
    output = pool2d_output_size(x.shape, kernel, stride, padding, dilation, ceil_mode)
    rows = first_tap_inside(height, output[0], stride[0], padding[0], dilation[0])
    columns = first_tap_inside(width, output[1], stride[1], padding[1], dilation[1])
    row_ends = _last_taps(output[0], kernel[0], stride[0], padding[0], dilation[0], height)
    column_ends = _last_taps(output[1], kernel[1], stride[1], padding[1], dilation[1], width)
    y = np.empty((n, channels, *output), x.dtype)
    winners = np.empty(y.shape, np.int64)
    max_pool2d_forward_planes(
        carray(x).reshape(n * channels, height, width),
        y.reshape(n * channels, *output),
        winners.reshape(n * channels, *output),
        np.stack((rows, row_ends)),
        np.stack((columns, column_ends)),
        dilation[0],
        dilation[1],
    )
    return y, winners


def max_pool2d_backward(g: np.ndarray, winners: np.ndarray, x_shape: Shape4) -> np.ndarray:
    """dx (N, C, H, W) for g in float32 or float64; see the reference.

    TypeError for another dtype, ValueError if the shapes disagree, IndexError for a winner outside its input plane.
    """
    check_real("g", g)
    n, channels, height, width = x_shape
    if g.shape != winners.shape or g.shape[:2] != (n, channels):
        raise ValueError(f"g {g.shape} and winners {winners.shape} must be alike and begin with {(n, channels)}")
    planes, size = n * channels, g.shape[2] * g.shape[3]
    dx = np.zeros((planes, height * width), g.dtype)
    outside = max_pool2d_backward_planes(carray(g).reshape(planes, size), carray(winners).reshape(planes, size), dx)
    if outside:
        raise IndexError(f"{outside} of the winners lie outside their plane of {height} x {width} elements")
    return dx.reshape(x_shape)


def _last_taps(output: int, kernel: int, stride: int, padding: int, dilation: int, size: int) -> np.ndarray:
    """int64 (output,): one past each window's last tap inside the input."""
    start = np.arange(output) * stride - padding
    return np.minimum(start + window_span(kernel, dilation), size)


@compiled(
    [
        f"void({real}[:,:,::1], {real}[:,:,::1], int64[:,:,::1], int64[:,::1], int64[:,::1], int64, int64)"
        for real in ("float32", "float64")
    ]
)
def max_pool2d_forward_planes(x, y, winners, rows, columns, row_step, column_step):
    """x (P, H, W), y and winners (P, OH, OW); rows (2, OH), columns (2, OW): each window's first tap and end."""
    width = x.shape[2]
    for plane in range(x.shape[0]):
        for oh in range(y.shape[1]):
            for ow in range(y.shape[2]):
                best = y.dtype.type(-np.inf)
                winner = rows[0, oh] * width + columns[0, ow]
                for h in range(rows[0, oh], rows[1, oh], row_step):
                    for w in range(columns[0, ow], columns[1, ow], column_step):
                        value = x[plane, h, w]
                        better = (value > best) | (value != value)
                        # Two selections, not a branch: on real images a branch is guessed wrong every other time.
                        best = value if better else best
                        winner = h * width + w if better else winner
                y[plane, oh, ow] = best
                winners[plane, oh, ow] = winner


@compiled([f"int64({real}[:,::1], int64[:,::1], {real}[:,::1])" for real in ("float32", "float64")])
def max_pool2d_backward_planes(g, winners, dx):
    """Add g (P, OH*OW) to dx (P, H*W) at the winners; returns how many winners lay outside and were left out."""
    outside = 0
    for plane in range(g.shape[0]):
        for k in range(g.shape[1]):
            winner = winners[plane, k]
            if 0 <= winner < dx.shape[1]:
                dx[plane, winner] += g[plane, k]
            else:
                outside += 1
    return outside

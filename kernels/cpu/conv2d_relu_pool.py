"""Convolution, ReLU and 2 × 2 max-pooling as one kernel: the signatures of ``kernels.reference.conv2d_relu_pool``.

To the bit what ``conv2d`` and ``max_pool2d`` give one after the other; and where vectors of output channels are not
well filled, those two are what runs.
"""

from typing import Any

import numpy as np

from ..reference.conv2d_relu_pool import DEAD, PAIRS, check_winners
from ..reference.pool2d import pool2d_output_size
from .compile import carray
from .conv2d import check_dtypes, conv2d_forward, conv2d_grad_input, conv2d_grad_weight, grad_weight, run
from .conv_calls import DirectCall, input_calls, output_shape, pooled_call, weight_call
from .conv_pool import correlate_pooled
from .max_pool2d import max_pool2d_taps, max_pool2d_taps_backward
from .threads import threads_for
from .tile import COLUMN_BIAS, ZERO

Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]


def conv2d_relu_pool(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(y (N, O, PH, PW), winners (N, PH, PW, O)); see the reference. Errors as conv2d_forward's, and where PH is 0."""
    check_dtypes("x", x, w, bias)
    geometry = x.shape, w.shape, stride, padding, dilation, groups
    shape, work = output_shape(*geometry)
    pooled = pool2d_output_size(shape, *PAIRS, False)
    threads = threads_for(work, work)
    call = pooled_call(*geometry, x.itemsize, threads) if shape[0] else None
    if call is None:
        y, taps = max_pool2d_taps(conv2d_forward(x, w, bias, *geometry[2:], True), *PAIRS, False)
        taps[y <= 0] = DEAD
        return y, np.ascontiguousarray(taps.transpose(0, 2, 3, 1))
    if bias is not None and bias.shape != shape[1:2]:
        raise ValueError(f"the bias must have shape {shape[1:2]}, got {bias.shape}")
    y, winners = np.empty((*shape[:2], *pooled), x.dtype), np.empty((shape[0], *pooled, shape[1]), np.uint8)
    of = carray(x).reshape(-1)
    cut, strides, rest, _ = call
    start, bias = (ZERO, of) if bias is None else (COLUMN_BIAS, carray(bias))
    correlate_pooled(
        threads, cut, of, carray(w).reshape(-1), strides, bias, start, y.reshape(-1), winners.reshape(-1), *rest
    )
    return y, winners


def conv2d_relu_pool_grad_input(
    g: np.ndarray,
    winners: np.ndarray,
    w: np.ndarray,
    x_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """dx (N, C, H, W) for g (N, O, PH, PW); see the reference."""
    check_dtypes("g", g, w)
    geometry = tuple(x_shape), w.shape, stride, padding, dilation, groups
    shape, work = output_shape(*geometry)
    check_winners(g, winners, shape)
    threads = threads_for(work, work)
    calls, complete = input_calls(*geometry, g.itemsize, threads)
    if not calls or any(type(call) is not DirectCall or call.merged for call in calls):
        return conv2d_grad_input(_unpooled(g, winners, shape), w, x_shape, *geometry[2:])
    dx = np.empty(x_shape, g.dtype) if complete else np.zeros(x_shape, g.dtype)
    run(calls, threads, carray(g).reshape(-1), None, w, None, False, dx, carray(winners).reshape(-1), g.shape[2:])
    return dx


def conv2d_relu_pool_grad_weight(
    g: np.ndarray,
    winners: np.ndarray,
    x: np.ndarray,
    w_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    with_bias: bool = False,
    out: np.ndarray | None = None,
    bias_out: np.ndarray | None = None,
) -> Any:
    """dw, or with_bias (dw, db), for g (N, O, PH, PW); see the reference, and conv2d_grad_weight for `out`."""
    check_dtypes("g", g, x, out, bias_out)
    geometry = x.shape, tuple(w_shape), stride, padding, dilation, groups
    shape, work = output_shape(*geometry)
    check_winners(g, winners, shape)
    call = weight_call(*geometry, x.itemsize)
    if call.by != "direct" or call.merged:
        full = _unpooled(g, winners, shape)
        return conv2d_grad_weight(full, x, w_shape, *geometry[2:], None, with_bias, out, bias_out)
    pool = carray(winners).reshape(-1), g.shape[2:]
    return grad_weight(call, work, g, x, None, pool, geometry[1], with_bias, out, bias_out)


def _unpooled(g: np.ndarray, winners: np.ndarray, shape: Shape4) -> np.ndarray:
    """The gradient of the convolution (N, O, OH, OW)."""
    taps = winners.transpose(0, 3, 1, 2)
    dead = taps == DEAD
    return max_pool2d_taps_backward(np.where(dead, g.dtype.type(0), g), np.where(dead, 0, taps), shape, *PAIRS)

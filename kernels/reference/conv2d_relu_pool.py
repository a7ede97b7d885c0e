"""Convolution, ReLU and 2 × 2 max-pooling one after the other, and the gradients back through all three.

What must be remembered is one byte a window: which of its four numbers won, 2·i + j of the first largest one as in
``pool2d``, or `DEAD` where the winner was cut off by the ReLU, so that no gradient passes. With these *winners*
(N, PH, PW, O) the output of the convolution itself is needed by nobody.

Shapes: x (N, C, H, W), w (O, C/groups, kh, kw), bias (O,), y and g (N, O, PH, PW) with PH = OH // 2, PW = OW // 2.
Raises ValueError where shapes do not fit or no window does.
"""

from typing import Any

from .conv2d import conv2d_forward, conv2d_grad_input, conv2d_grad_weight
from .namespace import array_namespace
from .pool2d import max_pool2d_taps, max_pool2d_taps_backward
from .shapes import conv_output_size

Array = Any
Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]

DEAD = 4  # a window's winner where the ReLU lets nothing through
PAIRS = (2, 2), (2, 2), (0, 0), (1, 1)  # kernel, stride, padding and dilation of the pooling


def conv2d_relu_pool(
    x: Array, w: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> tuple[Array, Array]:
    """(max_pool2d(relu(conv2d(x)), 2), winners)."""
    xp = array_namespace(x)
    y = conv2d_forward(x, w, bias, stride, padding, dilation, groups)
    y, taps = max_pool2d_taps(xp.maximum(y, y.dtype.type(0)), *PAIRS, False)
    taps[y <= 0] = DEAD
    return y, xp.ascontiguousarray(taps.transpose(0, 2, 3, 1))


def conv2d_relu_pool_grad_input(
    g: Array, winners: Array, w: Array, x_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """dx (N, C, H, W): the gradient of the pooled output, put back where it came from, then conv2d_grad_input."""
    full = _unpooled(g, winners, _output_shape(x_shape, w.shape, stride, padding, dilation))
    return conv2d_grad_input(full, w, x_shape, stride, padding, dilation, groups)


def conv2d_relu_pool_grad_weight(
    g: Array, winners: Array, x: Array, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair, groups: int,
    with_bias: bool = False, out: Array | None = None, bias_out: Array | None = None,
) -> Any:  # fmt: skip
    """dw, or with_bias (dw, db); see conv2d_grad_weight."""
    full = _unpooled(g, winners, _output_shape(x.shape, w_shape, stride, padding, dilation))
    return conv2d_grad_weight(
        full, x, w_shape, stride, padding, dilation, groups, with_bias=with_bias, out=out, bias_out=bias_out
    )


def check_winners(g: Array, winners: Array, shape: Shape4) -> None:
    """ValueError unless g and winners are of the pooled output of a convolution with output `shape`."""
    n, channels, rows, columns = shape[0], shape[1], shape[2] // 2, shape[3] // 2
    if g.shape != (n, channels, rows, columns) or winners.shape != (n, rows, columns, channels):
        raise ValueError(
            f"g must have shape {(n, channels, rows, columns)} and winners {(n, rows, columns, channels)}, "
            f"got {g.shape} and {winners.shape}"
        )
    if winners.dtype != "uint8":
        raise ValueError(f"winners must be bytes (uint8), got {winners.dtype}")


def _output_shape(x_shape: Shape4, w_shape: Shape4, stride: Pair, padding: Pair, dilation: Pair) -> Shape4:
    high, wide = (conv_output_size(*axis) for axis in zip(x_shape[2:], w_shape[2:], stride, padding, dilation))
    return x_shape[0], w_shape[0], high, wide


def _unpooled(g: Array, winners: Array, shape: Shape4) -> Array:
    """The gradient of the convolution's output (N, O, OH, OW)."""
    check_winners(g, winners, shape)
    xp = array_namespace(g)
    taps = winners.transpose(0, 3, 1, 2)
    dead = taps == DEAD
    return max_pool2d_taps_backward(xp.where(dead, g.dtype.type(0), g), xp.where(dead, 0, taps), shape, *PAIRS)

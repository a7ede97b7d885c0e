"""Convolution, ReLU and max-pooling of 2 × 2 windows as one node, as `nn.Sequential` runs them.

Of the convolution's output only a quarter is written, and none of it is kept: the gradient needs a byte for each
window, which of its numbers won or that the ReLU cut it off. Values and gradients are those of the three, to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import tape
from ..backend import namespace
from ..backend.dispatch import kernel
from ..tape import Value
from .conv import Convolution, RectifiedConvolution, convolve
from .op import array_of
from .pool import Unpool, max_pool2d
from .reduce import added_up
from .select import where
from .windows import Sizes

DEAD = 4  # what the kernels remember in a winner's place where the ReLU cut it off


class PooledConvolution(Convolution):
    """x (N, C, H, W), weight (O, C/groups, kh, kw), bias (O,) or absent → y (N, O, ⌊OH/2⌋, ⌊OW/2⌋)"""

    kernels_only = True

    def forward(self, x, weight, bias=None):
        self.shapes = x.shape, weight.shape
        try:
            y, self.aux = kernel("conv2d_relu_pool", x)(x, weight, bias, *self.geometry)
        except ValueError as error:
            if min(self._convolved_size()) < 2:
                raise RuntimeError(f"max_pool2d: {error}") from None
            raise
        return y

    def vjp(self, g, x, weight):
        if isinstance(g, Value):
            return self._simple_vjp(self._unpooled(g), x, weight)
        dx = dw = db = None
        winners, (of_x, of_weight), geometry = self.aux, self.shapes, self.geometry
        if self.needs[0]:
            dx = kernel("conv2d_relu_pool_grad_input", g)(g, winners, weight, of_x, *geometry)
        with_bias = len(self.needs) == 3 and self.needs[2]
        if self.needs[1]:
            grad_weight = kernel("conv2d_relu_pool_grad_weight", g)
            if with_bias:
                dw, db = grad_weight(g, winners, x, of_weight, *geometry, True, self.room(1), self.room(2))
            else:
                dw = grad_weight(g, winners, x, of_weight, *geometry, False, self.room(1))
        elif with_bias:
            db = added_up(self._unpooled_array(g), (0, 2, 3), keepdim=False)
        return (dx, dw) if len(self.needs) == 2 else (dx, dw, db)

    def _unpooled(self, g):
        """The gradient of the convolution's output."""
        xp = namespace(self.aux)
        taps = self.aux.transpose(0, 3, 1, 2).astype(xp.int64)
        (n, *_), (channels, *_) = self.shapes
        rows, columns = self._convolved_size()
        alive = taps != DEAD
        h = xp.arange(taps.shape[2])[:, None] * 2 + taps % DEAD // 2
        winners = h * columns + xp.arange(taps.shape[3]) * 2 + taps % 2
        return Unpool(winners, (n, channels, rows, columns))(where(tape.new_value(alive), g, 0.0))

    def _unpooled_array(self, g):
        """The same as an array."""
        taps = self.aux.transpose(0, 3, 1, 2)
        alive = taps != DEAD
        shape = (*g.shape[:2], *self._convolved_size())
        unpool = kernel("max_pool2d_taps_backward", g)
        return unpool(np.where(alive, g, g.dtype.type(0)), taps * alive, shape, (2, 2), (2, 2), (0, 0), (1, 1))

    def _convolved_size(self):
        """Height and width of the convolution's output."""
        stride, padding, dilation, _ = self.geometry
        size, window = (shape[2:] for shape in self.shapes)
        return [(size[i] + 2 * padding[i] - dilation[i] * (window[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]


def conv_relu_pool(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0, dilation: Sizes = 1, groups: int = 1
) -> Any:
    """max_pool2d(relu(conv2d(…)), 2), as one node where the kernels can. Arguments and errors as of the two.

    >>> from minipar.ops.conv_pool import conv_relu_pool
    >>> conv_relu_pool(minipar.tensor([[[1.0, 2.0], [3.0, -4.0]]]), minipar.ones(1, 1, 1, 1))
    tensor([[[3.]]])
    """
    return pooled_convolution(
        input, lambda operation: convolve(2, input, weight, bias, stride, padding, dilation, groups, operation)
    )


def pooled_convolution(input: Any, convolved: Any) -> Any:
    """`convolved(operation)`, a ReLU and a max-pooling after it; `operation` is a class, Convolution or derived."""
    if not isinstance(array_of(input), np.ndarray):
        return max_pool2d(convolved(RectifiedConvolution), 2)
    return convolved(PooledConvolution)

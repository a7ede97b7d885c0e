"""Two-dimensional convolution (cross-correlation, as in PyTorch) as one node over the convolution kernels."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ..backend.dispatch import kernel
from .index import PutItem
from .linalg import matmul
from .op import Fat, check_dtypes
from .shape import reshape

Pair = int | tuple[int, int]


def pair(value: Any, name: str, least: int) -> tuple[int, int]:
    """One int for both axes, or (height, width); ValueError below `least`."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or not all(isinstance(n, int) for n in both):
        raise TypeError(f"{name} must be an int or a pair of ints, not {value!r}")
    if min(both) < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return both


class Conv2d(Fat):
    """x (N, C, H, W), weight (O, C/groups, kh, kw), bias (O,) or absent → y (N, O, OH, OW)"""

    __slots__ = ("geometry", "shapes")
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 0})

    def __init__(self, stride, padding, dilation, groups):
        self.geometry = stride, padding, dilation, groups

    def forward(self, x, weight, bias=None):
        self.shapes = x.shape, weight.shape
        return kernel("conv2d_forward", x)(x, weight, bias, *self.geometry)

    def vjp(self, g, x, weight):
        dx = kernel("conv2d_grad_input", g)(g, weight, self.shapes[0], *self.geometry) if self.needs[0] else None
        dw = kernel("conv2d_grad_weight", g)(g, x, self.shapes[1], *self.geometry) if self.needs[1] else None
        if len(self.needs) == 2:
            return dx, dw
        return dx, dw, g.sum((0, 2, 3)) if self.needs[2] else None

    def composite(self, x, weight, bias=None):
        """For each kernel tap: a strided slice of the padded image times one matrix of weights, all added up."""
        (sh, sw), padding, (dh, dw), groups = self.geometry
        x = pad2d(x, padding)
        n, c, h, w = x.shape
        o, _, kh, kw = weight.shape
        oh, ow = (h - dh * (kh - 1) - 1) // sh + 1, (w - dw * (kw - 1) - 1) // sw + 1
        y = None
        for i in range(kh):
            for j in range(kw):
                rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh)
                columns = slice(j * dw, j * dw + (ow - 1) * sw + 1, sw)
                pixels = reshape(x[:, :, rows, columns], (n, groups, c // groups, oh * ow))
                tap = reshape(weight[:, :, i, j], (groups, o // groups, c // groups))
                part = matmul(tap, pixels)  # (n, groups, o/groups, oh·ow)
                y = part if y is None else y + part
        y = reshape(y, (n, o, oh, ow))
        return y if bias is None else y + reshape(bias, (o, 1, 1))


def pad2d(x: Any, padding: tuple[int, int]) -> Any:
    """`x` framed by zeros: padding[0] rows above and below, padding[1] columns left and right."""
    if padding == (0, 0):
        return x
    (n, c, h, w), (top, left) = x.shape, padding
    inside = (..., slice(top, top + h), slice(left, left + w))
    return PutItem(inside, (n, c, h + 2 * top, w + 2 * left))(x)


def conv2d(
    x: Any, weight: Any, bias: Any = None, stride: Pair = 1, padding: Any = 0, dilation: Pair = 1, groups: int = 1
) -> Any:
    """Convolve images x (N, C, H, W) or one image (C, H, W) with weight (O, C/groups, kh, kw), and add bias (O,).

    Output height ⌊(H + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1, width alike; `padding` may be "valid" (none)
    or "same" (stride 1 only). RuntimeError where shapes or dtypes do not fit, ValueError for an impossible argument.
    """
    if len(weight.shape) != 4:
        raise RuntimeError(f"conv2d: weight must have shape (out, in/groups, kh, kw), not {tuple(weight.shape)}")
    if len(x.shape) == 3:
        y = conv2d(reshape(x, (1, *x.shape)), weight, bias, stride, padding, dilation, groups)
        return reshape(y, y.shape[1:])
    if len(x.shape) != 4:
        raise RuntimeError(f"conv2d: input must have shape (N, C, H, W) or (C, H, W), not {tuple(x.shape)}")
    stride, dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    o, per_group, kh, kw = weight.shape
    if not isinstance(groups, int) or groups < 1 or o % groups:
        raise ValueError(f"groups must divide the {o} output channels, got {groups}")
    if x.shape[1] != per_group * groups:
        raise RuntimeError(
            f"conv2d: weight {tuple(weight.shape)} with groups={groups} expects {per_group * groups} input channels, "
            f"got input of shape {tuple(x.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (o,):
        raise RuntimeError(f"conv2d: bias must have shape ({o},), not {tuple(bias.shape)}")
    check_dtypes("conv2d", x, weight, bias)
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise ValueError(f"padding must be 'valid', 'same', an int or a pair, not {padding!r}")
        if padding == "same" and stride != (1, 1):
            raise ValueError(f"padding='same' needs stride 1, got {stride}")
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, (kh, kw))]
        if any(n % 2 for n in total):
            raise NotImplementedError(
                f"padding='same' with an even kernel {(kh, kw)} needs unequal sides; pad the input by hand"
            )
        padding = (total[0] // 2, total[1] // 2)
    padding = pair(padding, "padding", 0)
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return Conv2d(stride, padding, dilation, groups)(*inputs)

"""Convolution composed of CuPy's own operations: unfold the whole image once, then one cuBLAS product.

This is what a CuPy user without cuDNN would write (CuPy has no convolution of its own that sums over channels). Same
arguments and results as minipar.kernels.reference.conv2d, without groups.
"""

from __future__ import annotations

from typing import Any

from ...kernels.reference.namespace import array_namespace

Array = Any
Pair = tuple[int, int]


def conv2d_forward(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Pair) -> Array:
    """y (N, O, OH, OW)."""
    windows, (oh, ow) = _unfold(x, w.shape[2:], stride, padding)
    y = (w.reshape(len(w), -1) @ windows).reshape(len(x), len(w), oh, ow)
    return y if bias is None else y + bias[:, None, None]


def conv2d_grad_weight(g: Array, x: Array, w_shape: tuple[int, int, int, int], stride: Pair, padding: Pair) -> Array:
    """dw (O, C, kh, kw)."""
    windows, _ = _unfold(x, w_shape[2:], stride, padding)
    return (g.reshape(len(x), w_shape[0], -1) @ windows.swapaxes(1, 2)).sum(0).reshape(w_shape)


def conv2d_grad_input(g: Array, w: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    """dx (N, C, H, W): each window's gradient added back where the window was read."""
    xp = array_namespace(g)
    (n, c, h, width), (o, _, kh, kw), (oh, ow) = x_shape, w.shape, g.shape[2:]
    windows = (w.reshape(o, -1).T @ g.reshape(n, o, -1)).reshape(n, c, kh, kw, oh, ow)
    framed = xp.zeros((n, c, h + 2 * padding[0], width + 2 * padding[1]), g.dtype)
    for i in range(kh):
        for j in range(kw):
            framed[:, :, i : i + stride[0] * oh : stride[0], j : j + stride[1] * ow : stride[1]] += windows[:, :, i, j]
    return framed[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + width]


def _unfold(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Array, Pair]:
    """(windows (N, C·kh·kw, OH·OW), (OH, OW))."""
    xp = array_namespace(x)
    framed = xp.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    n, c, h, w = framed.shape
    oh, ow = (h - kernel[0]) // stride[0] + 1, (w - kernel[1]) // stride[1] + 1
    sn, sc, sh, sw = framed.strides
    taps = xp.lib.stride_tricks.as_strided(
        framed, (n, c, *kernel, oh, ow), (sn, sc, sh, sw, sh * stride[0], sw * stride[1])
    )
    return taps.reshape(n, c * kernel[0] * kernel[1], oh * ow), (oh, ow)

"""Three-dimensional convolution and its gradients as compiled two-dimensional ones, with the reference's signatures.

An output slice sees `kd` slices of the volume. Those are laid side by side as so many more channels of one image, in
the order in which the weight holds them: then a whole volume is one call of ``conv2d``, which adds over the depth too.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..reference.conv2d import _check_gradient
from ..reference.shapes import conv_output_size, tap_slices
from .compile import check_real
from .conv2d import conv2d_forward, conv2d_grad_input, conv2d_grad_weight

Triple = tuple[int, int, int]
Shape5 = tuple[int, int, int, int, int]

ROOM = 1 << 25  # bytes of slices side by side, about: so many volumes at a time


def conv3d_forward(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Triple,
    padding: Triple,
    dilation: Triple,
    groups: int,
) -> np.ndarray:
    """y (N, O, OD, OH, OW) for x (N, C, D, H, W), float32 or float64; see the reference."""
    check_real("x", x)
    output = _output(x.shape, w.shape, stride, padding, dilation)
    y = np.empty((len(x), len(w), *output), x.dtype)
    for some in _volumes_at_once(x.shape, w.shape, output, x.itemsize):
        images = _side_by_side(x[some], w.shape, output, stride, padding, dilation)
        part = conv2d_forward(images, _flat(w), bias, stride[1:], padding[1:], dilation[1:], groups)
        y[some] = part.reshape(-1, output[0], len(w), *output[1:]).swapaxes(1, 2)
    return y


def conv3d_grad_input(
    g: np.ndarray, w: np.ndarray, x_shape: Shape5, stride: Triple, padding: Triple, dilation: Triple, groups: int
) -> np.ndarray:
    """dx (N, C, D, H, W) for g (N, O, OD, OH, OW); see the reference."""
    check_real("g", g)
    output = _output(x_shape, w.shape, stride, padding, dilation)
    _check_gradient(g, (x_shape[0], len(w), *output))
    dx = np.zeros(x_shape, g.dtype)
    channels, depth, plane = x_shape[1], w.shape[2], x_shape[3:]
    for some in _volumes_at_once(x_shape, w.shape, output, g.itemsize):
        images = _slices(g[some])
        shape = (len(images), channels * depth, *plane)
        part = conv2d_grad_input(images, _flat(w), shape, stride[1:], padding[1:], dilation[1:], groups)
        part = part.reshape(-1, output[0], channels, depth, *plane)
        for tap in range(depth):
            where, source = tap_slices(tap, x_shape[2], output[0], stride[0], padding[0], dilation[0])
            dx[some, :, source] += part[:, where, :, tap].swapaxes(1, 2)
    return dx


def conv3d_grad_weight(
    g: np.ndarray, x: np.ndarray, w_shape: Shape5, stride: Triple, padding: Triple, dilation: Triple, groups: int
) -> np.ndarray:
    """dw (O, C/groups, kd, kh, kw) for g (N, O, OD, OH, OW) and x (N, C, D, H, W); see the reference."""
    check_real("g", g)
    output = _output(x.shape, w_shape, stride, padding, dilation)
    _check_gradient(g, (len(x), w_shape[0], *output))
    flat = (w_shape[0], w_shape[1] * w_shape[2], *w_shape[3:])
    dw = None
    for some in _volumes_at_once(x.shape, w_shape, output, x.itemsize):
        images = _side_by_side(x[some], w_shape, output, stride, padding, dilation)
        part = conv2d_grad_weight(_slices(g[some]), images, flat, stride[1:], padding[1:], dilation[1:], groups)
        dw = part if dw is None else np.add(dw, part, out=dw)
    return np.zeros(w_shape, x.dtype) if dw is None else dw.reshape(w_shape)


def _output(x_shape: Shape5, w_shape: Shape5, stride: Triple, padding: Triple, dilation: Triple) -> tuple[int, ...]:
    return tuple([conv_output_size(*axis) for axis in zip(x_shape[2:], w_shape[2:], stride, padding, dilation)])


def _volumes_at_once(x_shape: Shape5, w_shape: Shape5, output: tuple[int, ...], itemsize: int) -> Iterator[slice]:
    n, channels, _, height, width = x_shape
    size = output[0] * channels * w_shape[2] * height * width * itemsize
    step = max(1, ROOM // max(size, 1))
    for start in range(0, n, step):
        yield slice(start, start + step)


def _side_by_side(
    x: np.ndarray, w_shape: Shape5, output: tuple[int, ...], stride: Triple, padding: Triple, dilation: Triple
) -> np.ndarray:
    """Images (N·OD, C·kd, H, W): what each output slice sees, zeros outside the volume."""
    n, channels, size, height, width = x.shape
    depth = w_shape[2]
    images: Any = np.empty((n, output[0], channels, depth, height, width), x.dtype)
    for tap in range(depth):
        where, source = tap_slices(tap, size, output[0], stride[0], padding[0], dilation[0])
        images[:, : where.start, :, tap] = 0
        images[:, where, :, tap] = x[:, :, source].swapaxes(1, 2)
        images[:, where.stop :, :, tap] = 0
    return images.reshape(n * output[0], channels * depth, height, width)


def _slices(g: np.ndarray) -> np.ndarray:
    """Volumes (N, O, OD, OH, OW) as images (N·OD, O, OH, OW)."""
    n, channels, depth, height, width = g.shape
    return g.swapaxes(1, 2).reshape(n * depth, channels, height, width)


def _flat(w: np.ndarray) -> np.ndarray:
    """The weight (O, C/groups, kd, kh, kw) with its depth among the channels."""
    return w.reshape(w.shape[0], w.shape[1] * w.shape[2], *w.shape[3:])

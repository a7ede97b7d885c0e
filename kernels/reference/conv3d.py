"""Three-dimensional convolution and its two gradients: a sum, over the kernel's depth taps, of two-dimensional ones.

Tap d of the kernel sees one slice of the volume for each output slice; those slices, taken as so many more images, are
convolved with the tap's (kh x kw) window. What lies outside the volume never takes part, so depth needs no padding.

Shapes: x (N, C, D, H, W), w (O, C/groups, kd, kh, kw), bias (O,), g (N, O, OD, OH, OW). ``stride``, ``padding`` and
``dilation`` are (depth, height, width). float16 is added up in float32. Raises ValueError where shapes do not fit.
"""

from collections.abc import Iterator
from typing import Any

from .conv2d import conv2d_forward, conv2d_grad_input, conv2d_grad_weight
from .namespace import accumulator_dtype, array_namespace
from .shapes import conv_output_size, tap_slices

Array = Any
Triple = tuple[int, int, int]
Shape5 = tuple[int, int, int, int, int]


def conv3d_forward(
    x: Array, w: Array, bias: Array | None, stride: Triple, padding: Triple, dilation: Triple, groups: int
) -> Array:
    """y (N, O, OD, OH, OW): conv2d_forward of every depth tap, added up, and the bias."""
    xp = array_namespace(x)
    output = [conv_output_size(*axis) for axis in zip(x.shape[2:], w.shape[2:], stride, padding, dilation)]
    dtype = accumulator_dtype(x.dtype)
    y = xp.zeros((len(x), len(w), *output), dtype)
    if bias is not None:
        y += bias[:, None, None, None]
    plane = stride[1:], padding[1:], dilation[1:], groups
    for tap, where, source in _depth_taps(x.shape, w.shape, stride, padding, dilation):
        part = conv2d_forward(_images(x[:, :, source], dtype), w[:, :, tap].astype(dtype), None, *plane)
        y[:, :, where] += _volumes(part, len(x), where)
    return y.astype(x.dtype, copy=False)


def conv3d_grad_input(
    g: Array, w: Array, x_shape: Shape5, stride: Triple, padding: Triple, dilation: Triple, groups: int
) -> Array:
    """dx (N, C, D, H, W): conv2d_grad_input of every depth tap, added where the tap was read."""
    n, channels, _, height, width = x_shape
    dtype = accumulator_dtype(g.dtype)
    dx = array_namespace(g).zeros(x_shape, dtype)
    plane = stride[1:], padding[1:], dilation[1:], groups
    for tap, where, source in _depth_taps(x_shape, w.shape, stride, padding, dilation):
        images = _images(g[:, :, where], dtype)
        shape = (len(images), channels, height, width)
        part = conv2d_grad_input(images, w[:, :, tap].astype(dtype), shape, *plane)
        dx[:, :, source] += _volumes(part, n, where)
    return dx.astype(g.dtype, copy=False)


def conv3d_grad_weight(
    g: Array, x: Array, w_shape: Shape5, stride: Triple, padding: Triple, dilation: Triple, groups: int
) -> Array:
    """dw (O, C/groups, kd, kh, kw): conv2d_grad_weight of every depth tap."""
    dw = array_namespace(g).empty(w_shape, x.dtype)
    plane = stride[1:], padding[1:], dilation[1:], groups
    for tap, where, source in _depth_taps(x.shape, w_shape, stride, padding, dilation):
        seen = _images(g[:, :, where], g.dtype), _images(x[:, :, source], x.dtype)
        dw[:, :, tap] = conv2d_grad_weight(*seen, (*w_shape[:2], *w_shape[3:]), *plane)
    return dw


def _depth_taps(
    x_shape: Shape5, w_shape: Shape5, stride: Triple, padding: Triple, dilation: Triple
) -> Iterator[tuple[int, slice, slice]]:
    """(tap, output slices whose tap is inside the volume, those input slices)."""
    geometry = stride[0], padding[0], dilation[0]
    output = conv_output_size(x_shape[2], w_shape[2], *geometry)
    for tap in range(w_shape[2]):
        yield tap, *tap_slices(tap, x_shape[2], output, *geometry)


def _images(x: Array, dtype: Any) -> Array:
    """Volumes (N, C, D, H, W) as images (N·D, C, H, W)."""
    n, channels, depth, height, width = x.shape
    return x.swapaxes(1, 2).reshape(n * depth, channels, height, width).astype(dtype, copy=False)


def _volumes(images: Array, n: int, slices: slice) -> Array:
    """Images (N·D, C, H, W) as volumes (N, C, D, H, W), D the number of slices (of step 1)."""
    return images.reshape(n, slices.stop - slices.start, *images.shape[1:]).swapaxes(1, 2)

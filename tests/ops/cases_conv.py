"""Rows of the table: convolution and transposed convolution, windows as columns, resizing, shuffles."""

from __future__ import annotations

import numpy as np

from minipar.ops.conv import ConvWeight, RectifiedConvolution
from minipar.ops.conv_pool import PooledConvolution
from minipar.ops.resample import Resample, Taps
from tests.ops.case import Case, among


def function(name, *arguments, **options):
    return lambda m, *inputs: getattr(m.nn.functional, name)(*inputs, *arguments, **options)


def conv(**options):
    return function("conv2d", **options)


def _padded(name):
    """PyTorch's padding="same" of an even window, which warns that it copies, with the copy made by hand."""

    def run(m, x, w):
        F = m.nn.functional
        sides = [side for k in reversed(w.shape[2:]) for side in ((k - 1) // 2, k // 2)]
        return getattr(F, name)(F.pad(x, sides), w)

    return run


IMAGES = ((2, 2, 3, 3), (2, 2, 2, 2))  # x and w

CONV = [
    Case("conv2d", conv(), IMAGES, among(((2, 3, 5, 4), (4, 3, 3, 2)), ((0, 1, 3, 3), (2, 1, 2, 2)),
                                         ((1, 1, 1, 1), (1, 1, 1, 1)), ((2, 3, 4), (3, 2, 2, 3)))),
    Case("conv2d bias", conv(), (*IMAGES, (2,))),
    Case("conv2d stride", conv(stride=2), ((1, 1, 5, 5), (2, 1, 2, 2)),
         among(*[((1, 1, n, 6), (1, 1, 2, 3)) for n in range(2, 10)])),
    Case("conv2d stride pair", conv(stride=(1, 3)), ((1, 1, 3, 5), (1, 1, 2, 2)),
         among(*[((2, 1, 4, n), (2, 1, 3, 2)) for n in range(2, 10)])),
    Case("conv2d padding", conv(padding=1), ((1, 1, 2, 2), (1, 1, 2, 2)), among(((2, 2, 1, 3), (3, 2, 3, 2)))),
    Case("conv2d padding pair", conv(padding=(0, 2), stride=2), ((1, 1, 3, 2), (1, 1, 2, 2))),
    Case("conv2d dilation", conv(dilation=2), ((1, 1, 4, 4), (1, 1, 2, 2)), among(((2, 2, 5, 6), (1, 2, 3, 2)))),
    Case("conv2d dilation pair", conv(dilation=(1, 2), padding=1), ((1, 1, 3, 3), (1, 1, 2, 2))),
    Case("conv2d groups", conv(groups=2), ((1, 2, 3, 3), (4, 1, 2, 2)), among(((2, 4, 3, 4), (6, 2, 2, 2)))),
    Case("conv2d depthwise", conv(groups=3, padding=1, stride=2, dilation=2), ((1, 3, 3, 3), (3, 1, 2, 2)),
         among(((2, 3, 5, 4), (6, 1, 2, 2)))),
    Case("conv2d same", conv(padding="same", dilation=(1, 2)), ((1, 1, 3, 3), (1, 1, 3, 3))),
    Case("conv2d same, even window", conv(padding="same"), ((1, 1, 3, 3), (1, 1, 2, 2)),
         among(((2, 2, 3, 4), (1, 2, 4, 2)), ((1, 1, 1), (1, 1, 2, 2))), theirs=_padded("conv2d")),
    Case("conv2d valid", conv(padding="valid"), IMAGES),
    Case("conv1d", function("conv1d"), ((2, 2, 4), (2, 2, 3)), among(((2, 5), (3, 2, 2)), ((0, 1, 3), (1, 1, 1)))),
    Case("conv1d options", function("conv1d", stride=2, padding=(1,), dilation=2, groups=2),
         ((1, 2, 6), (2, 1, 2), (2,)), among(((3, 4, 7), (2, 2, 3), (2,)))),
    Case("conv1d same", function("conv1d", padding="same"), ((1, 1, 3), (1, 1, 4)), theirs=_padded("conv1d")),
    Case("conv3d", function("conv3d"), ((1, 1, 2, 3, 3), (2, 1, 2, 2, 2)),
         among(((2, 3, 3, 4), (1, 2, 2, 2, 3)), ((0, 1, 2, 2, 2), (1, 1, 1, 1, 1)))),
    Case("conv3d options", function("conv3d", stride=(2, 1, 2), padding=(1, 0, 1), dilation=(2, 1, 1), groups=2),
         ((1, 2, 3, 2, 3), (2, 1, 2, 2, 2), (2,)), among(((2, 4, 4, 3, 3), (2, 2, 2, 1, 2), (2,)))),
]  # fmt: skip

TRANSPOSED = [
    Case("conv_transpose2d", function("conv_transpose2d"), ((2, 2, 2, 2), (2, 2, 2, 2)),
         among(((2, 3, 2, 3), (3, 2, 3, 2)), ((3, 2, 3), (3, 1, 1, 2)), ((0, 1, 2, 2), (1, 1, 2, 2)))),
    Case("conv_transpose2d bias", function("conv_transpose2d"), ((1, 2, 2, 2), (2, 2, 2, 2), (2,))),
    Case("conv_transpose2d stride", function("conv_transpose2d", stride=(2, 3), padding=(1, 0), output_padding=(1, 2)),
         ((1, 1, 2, 2), (1, 1, 2, 2)), among(((2, 2, 3, 1), (2, 3, 3, 2)))),
    Case("conv_transpose2d padding behind, more than a stride",
         function("conv_transpose2d", padding=1, output_padding=(2, 1), dilation=3), ((1, 1, 2, 2), (1, 1, 2, 2))),
    Case("conv_transpose2d groups", function("conv_transpose2d", groups=2, dilation=2, stride=2),
         ((1, 2, 2, 2), (2, 1, 2, 2)), among(((2, 4, 2, 3), (4, 3, 2, 1)))),
    Case("conv_transpose1d", function("conv_transpose1d", stride=2, padding=1, output_padding=1),
         ((2, 2, 3), (2, 1, 3), (1,)), among(((2, 4), (2, 3, 2), (3,)))),
    Case("conv_transpose3d", function("conv_transpose3d", stride=(2, 1, 1), padding=(1, 0, 0)),
         ((1, 1, 2, 2, 2), (1, 2, 2, 2, 2), (2,)), among(((2, 2, 1, 2), (2, 1, 3, 1, 2), (1,)))),
]  # fmt: skip

COLUMNS = [
    Case("unfold", function("unfold", 2), ((1, 2, 3, 3),), among(((2, 3, 4),), ((2, 1, 2, 5),), ((0, 2, 3, 3),))),
    Case("unfold options", function("unfold", (2, 1), dilation=2, padding=(1, 0), stride=(1, 2)), ((1, 2, 3, 3),),
         among(((2, 1, 4, 5),))),
    Case("fold", function("fold", (3, 3), 2), ((1, 8, 4),), among(((4, 4),), ((2, 4, 4),))),
    Case("fold options", function("fold", (3, 4), (2, 1), dilation=2, padding=(1, 0), stride=(1, 2)), ((1, 4, 6),)),
]  # fmt: skip


def resized(**options):
    return function("interpolate", **options)


SEQUENCES = among(*[((2, 1, n),) for n in range(1, 7)])
SQUARES = among(*[((1, 2, n, m),) for n in range(1, 7) for m in (1, 3, 4)])
VOLUME = ((1, 1, 2, 3, 2),)

RESIZE = [
    Case("interpolate nearest", resized(scale_factor=2), ((1, 1, 3, 3),), SQUARES),
    Case("interpolate nearest sequence", resized(size=4), ((1, 2, 3),), SEQUENCES),
    Case("interpolate nearest shrinking", resized(scale_factor=(0.7, 1.6)), ((1, 1, 3, 3),),
         among(*[((1, 2, n, n),) for n in range(2, 7)])),
    Case("interpolate nearest volume", resized(size=(3, 2, 5)), VOLUME, among(VOLUME, ((2, 1, 4, 4, 1),))),
    Case("interpolate nearest-exact", resized(size=(4, 2), mode="nearest-exact"), ((1, 1, 3, 3),), SQUARES),
    Case("interpolate linear", resized(size=5, mode="linear"), ((2, 1, 3),), SEQUENCES),
    Case("interpolate bilinear", resized(scale_factor=(1.7, 2), mode="bilinear"), ((1, 1, 3, 3),), SQUARES),
    Case("interpolate bilinear ratio",
         resized(scale_factor=1.3, mode="bilinear", recompute_scale_factor=True), ((1, 1, 3, 3),), SQUARES),
    Case("interpolate bilinear corners", resized(size=(5, 1), mode="bilinear", align_corners=True), ((1, 1, 3, 3),),
         SQUARES),
    Case("interpolate trilinear", resized(size=(3, 2, 5), mode="trilinear"), VOLUME),
    Case("interpolate bicubic", resized(size=(4, 5), mode="bicubic"), ((1, 1, 3, 3),), SQUARES),
    Case("interpolate bicubic corners", resized(size=(4, 2), mode="bicubic", align_corners=True), ((1, 1, 3, 3),),
         SQUARES),
    Case("interpolate area", resized(size=(2, 2), mode="area"), ((1, 1, 3, 3),), SQUARES),
    Case("interpolate antialias bilinear", resized(size=(3, 2), mode="bilinear", antialias=True), ((1, 1, 5, 4),),
         among(((2, 1, 7, 3),), ((1, 1, 2, 6),))),
    Case("interpolate antialias bicubic", resized(size=(3, 2), mode="bicubic", antialias=True), ((1, 1, 5, 4),),
         among(((2, 1, 7, 3),), ((1, 1, 2, 6),))),
]  # fmt: skip

SHUFFLE = [
    Case("pixel_shuffle", function("pixel_shuffle", 2), ((1, 4, 2, 2),), among(((8, 1, 3),), ((2, 1, 4, 2, 1),))),
    Case("pixel_unshuffle", function("pixel_unshuffle", 2), ((1, 1, 4, 4),), among(((2, 2, 6),), ((2, 2, 1, 2, 2),))),
    Case("channel_shuffle", function("channel_shuffle", 2), ((1, 4, 2, 2),), among(((2, 6, 3),), ((1, 2, 1, 1, 2),))),
]  # fmt: skip

TAPS = Taps(np.array([0, 1, 1, 2]), np.array([2, 2, 0, 2]), np.array([0.5, 2.0, -1.0, 3.0]), 3, 3)


def _dense(m, x):
    matrix = m.zeros(3, 3, dtype=x.dtype)
    for to, of, weight in zip(*TAPS[:3]):
        matrix[to, of] += float(weight)
    return matrix @ x


def _weight_gradient(m, g, x):
    return m.nn.grad.conv2d_weight(x, (2, 1, 2, 2), g, 1, 0, 1, 2)


def _rectified(m, x, w, b):
    return m.relu(m.nn.functional.conv2d(x, w, b, stride=(1, 2), padding=(1, 0)))


def _rectified_and_pooled(m, x, w, b):
    return m.nn.functional.max_pool2d(_rectified(m, x, w, b), 2)


HIDDEN_CONV = [
    Case("RectifiedConvolution", lambda m, x, w, b: RectifiedConvolution((1, 2), (1, 0), (1, 1), 1)(x, w, b),
         ((2, 2, 3, 4), (3, 2, 2, 2), (3,)), theirs=_rectified),
    Case("PooledConvolution", lambda m, x, w, b: PooledConvolution((1, 2), (1, 0), (1, 1), 1)(x, w, b),
         ((2, 2, 4, 6), (3, 2, 2, 2), (3,)), theirs=_rectified_and_pooled),
    Case("ConvWeight", lambda m, g, x: ConvWeight((2, 1, 2, 2), (1, 1), (0, 0), (1, 1), 2)(g, x),
         ((1, 2, 2, 2), (1, 2, 3, 3)), theirs=_weight_gradient),
    Case("Resample", lambda m, x: Resample(TAPS, 0)(x), theirs=_dense),
]  # fmt: skip

CONVOLUTION = CONV + TRANSPOSED + COLUMNS + RESIZE + SHUFFLE + HIDDEN_CONV

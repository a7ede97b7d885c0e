"""Rows of the table of layers: convolution, pooling, padding, resizing and their like."""

from __future__ import annotations

import numpy as np

from tests.nn.layers.layer import Layer, normal


def cubed(layer, *inputs):
    """What the layer gives, and its cube: most of these layers are linear, and have no second gradient of their own."""
    outputs = layer(*inputs)
    y = outputs[0] if isinstance(outputs, tuple) else outputs
    return outputs, y * y * y


def layer(name, *arguments, inputs, **options):
    """nn.name(*arguments, **options), under that text as its name."""
    shown = [*map(repr, arguments), *[f"{k}={v!r}" for k, v in options.items()]]
    return Layer(f"{name}({', '.join(shown)})", lambda nn: getattr(nn, name)(*arguments, **options), inputs, call=cubed)


LINE = [normal((2, 4, 7)), normal((4, 6))]
PLANE = [normal((2, 4, 5, 6)), normal((4, 6, 5))]
BOX = [normal((1, 4, 3, 4, 3)), normal((4, 3, 3, 4))]

CONV = [
    layer("Conv1d", 4, 6, 3, inputs=LINE),
    layer("Conv1d", 4, 6, 3, stride=2, padding=2, dilation=2, groups=2, bias=False, inputs=LINE),
    layer("Conv1d", 4, 2, 3, padding="same", padding_mode="circular", inputs=LINE),
    layer("Conv2d", 4, 6, 3, inputs=PLANE),
    layer("Conv2d", 4, 2, (2, 3), stride=(2, 1), padding=(1, 2), inputs=PLANE),
    layer("Conv2d", 4, 2, 3, padding="valid", dilation=(1, 2), groups=2, inputs=PLANE),
    layer("Conv2d", 4, 2, (3, 1), padding=(2, 1), padding_mode="reflect", inputs=PLANE),
    layer("Conv2d", 4, 2, 2, padding=1, padding_mode="replicate", inputs=PLANE),
    layer("Conv2d", 4, 1, (2, 3), padding="same", padding_mode="reflect", inputs=PLANE),
    layer("Conv3d", 4, 2, (2, 3, 1), padding=(1, 0, 0), stride=(1, 1, 2), inputs=BOX),
    layer("Conv3d", 4, 4, 2, groups=4, padding=1, padding_mode="replicate", bias=False, inputs=BOX),
    layer("ConvTranspose1d", 4, 3, 3, stride=2, padding=1, output_padding=1, inputs=LINE),
    layer("ConvTranspose2d", 4, 6, 3, inputs=PLANE),
    layer("ConvTranspose2d", 4, 6, 2, stride=(2, 3), padding=(0, 1), groups=2, bias=False, dilation=2, inputs=PLANE),
    layer("ConvTranspose3d", 4, 2, 2, stride=(1, 2, 1), output_padding=(0, 1, 0), inputs=BOX),
    Layer(
        "ConvTranspose2d to a given size",
        lambda nn: nn.ConvTranspose2d(4, 1, 3, stride=2, padding=1),
        PLANE[0],
        call=lambda layer, x: (layer(x, [10, 12]), layer(x, output_size=(2, 1, 9, 12))),
    ),
]

POOL = [
    layer("MaxPool1d", 3, stride=2, padding=1, ceil_mode=True, inputs=LINE),
    layer("MaxPool1d", 2, dilation=2, return_indices=True, inputs=LINE),
    layer("MaxPool2d", (2, 3), (1, 2), inputs=PLANE),
    layer("MaxPool2d", 2, padding=1, return_indices=True, inputs=PLANE),
    layer("MaxPool3d", 2, stride=1, padding=(1, 0, 1), inputs=BOX),
    layer("MaxPool3d", (1, 2, 3), return_indices=True, ceil_mode=True, inputs=BOX),
    layer("AvgPool1d", 3, 2, 1, True, False, inputs=LINE),
    layer("AvgPool2d", 2, inputs=PLANE),
    layer("AvgPool2d", (2, 3), stride=1, padding=(1, 0), count_include_pad=False, inputs=PLANE),
    layer("AvgPool2d", 2, ceil_mode=True, divisor_override=3, inputs=PLANE),
    layer("AvgPool3d", 2, stride=1, padding=1, inputs=BOX),
    layer("LPPool1d", 2, 3, stride=2, inputs=LINE),
    layer("LPPool2d", 2.0, (2, 3), ceil_mode=True, inputs=PLANE),
    layer("LPPool3d", 2, 2, inputs=BOX),
    layer("AdaptiveAvgPool1d", 3, inputs=LINE),
    layer("AdaptiveAvgPool2d", (3, None), inputs=PLANE),
    layer("AdaptiveAvgPool2d", 1, inputs=PLANE),
    layer("AdaptiveAvgPool3d", (2, 3, 1), inputs=BOX),
    layer("AdaptiveMaxPool1d", 3, return_indices=True, inputs=LINE),
    layer("AdaptiveMaxPool2d", (None, 4), inputs=PLANE),
    layer("AdaptiveMaxPool3d", 2, return_indices=True, inputs=BOX),
]


def maxima(*shape):
    """Numbers (1, 1, *shape) and the places in a plane or line twice as large that they come from."""

    def draw(generator):
        size = int(np.prod(shape))
        places = generator.permutation(size * 2 ** len(shape))[:size].reshape(1, 1, *shape)
        return generator.standard_normal((1, 1, *shape)), places

    return draw


UNPOOL = [
    layer("MaxUnpool1d", 2, inputs=maxima(4)),
    layer("MaxUnpool2d", (2, 2), stride=2, inputs=maxima(2, 3)),
    layer("MaxUnpool3d", 4, 2, 1, inputs=maxima(2, 2, 2)),
]

PAD = [
    layer("ConstantPad1d", (1, 2), 3.5, inputs=LINE),
    layer("ConstantPad2d", 1, -1.0, inputs=PLANE),
    layer("ConstantPad3d", (1, 0, -1, 2, 0, 1), 0.5, inputs=BOX),
    *[layer(f"{kind}Pad1d", (2, 1), inputs=LINE) for kind in ("Zero", "Reflection", "Replication", "Circular")],
    *[layer(f"{kind}Pad2d", (1, 2, 0, 1), inputs=PLANE) for kind in ("Zero", "Reflection", "Replication", "Circular")],
    *[layer(f"{kind}Pad3d", 1, inputs=BOX) for kind in ("Zero", "Reflection", "Replication", "Circular")],
]

REARRANGE = [
    layer("Upsample", scale_factor=2, inputs=PLANE[0]),
    layer("Upsample", size=9, mode="linear", inputs=LINE[0]),
    layer("Upsample", scale_factor=(1.5, 2), mode="bilinear", align_corners=True, inputs=PLANE[0]),
    layer("Upsample", size=(4, 9), mode="bicubic", inputs=PLANE[0]),
    layer("Upsample", scale_factor=1.3, mode="bilinear", recompute_scale_factor=True, inputs=PLANE[0]),
    layer("UpsamplingNearest2d", scale_factor=3, inputs=PLANE[0]),
    layer("UpsamplingBilinear2d", size=(7, 3), inputs=PLANE[0]),
    layer("Unfold", (2, 3), dilation=(1, 2), padding=1, stride=2, inputs=PLANE),
    layer("Fold", (3, 4), 2, inputs=[normal((2, 8, 6)), normal((4, 6))]),
    layer("PixelShuffle", 2, inputs=PLANE),
    layer("PixelUnshuffle", 3, inputs=[normal((2, 1, 6, 3)), normal((1, 3, 9))]),
    layer("ChannelShuffle", 2, inputs=[normal((2, 4, 5, 3)), normal((2, 6, 1))]),
]

CONVOLUTIONS = CONV + POOL + UNPOOL + PAD + REARRANGE

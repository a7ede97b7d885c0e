"""What the kernels are checked and timed on: matrix products and convolutions by their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Product:
    """A matrix product: shapes of both factors, and whether each comes as a transposed view."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    transposed: tuple[bool, bool] = (False, False)

    def __str__(self) -> str:
        return " @ ".join(
            f"{shape}{' transposed' * turned}" for shape, turned in zip((self.a, self.b), self.transposed)
        )


@dataclass(frozen=True)
class Convolution:
    """Input (N, C, H, W), weight (O, C/groups, kh, kw) and how the one walks over the other."""

    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def geometry(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def y(self) -> tuple[int, int, int, int]:
        """The shape of the output (N, O, OH, OW)."""
        spans = (d * (k - 1) + 1 for d, k in zip(self.dilation, self.w[2:]))
        padded = (size + 2 * pad for size, pad in zip(self.x[2:], self.padding))
        height, width = ((size - span) // stride + 1 for size, span, stride in zip(padded, spans, self.stride))
        return self.x[0], self.w[0], height, width

    def __str__(self) -> str:
        walk = f"stride {self.stride}, padding {self.padding}, dilation {self.dilation}, groups {self.groups}"
        return f"{self.x} * {self.w}, {walk}"


PRODUCTS = (
    Product((1, 1), (1, 1)),
    Product((5, 3), (3, 7)),
    Product((64, 64), (64, 64)),
    Product((64, 48), (48, 96), (True, True)),
    Product((129, 65), (65, 33)),
    Product((129, 65), (65, 33), (True, False)),
    Product((31, 257), (257, 130), (False, True)),
    Product((256, 1000), (1000, 128)),
    Product((3, 17, 9), (3, 9, 21)),
    Product((2, 1, 8, 16), (5, 16, 8)),
    Product((4, 0), (0, 5)),
)
LINEARS = ((5, 3, 7), (64, 64, 64), (90, 40, 63), (33, 130, 64))  # rows, inputs, outputs

SAME = (1, 1)  # a padding that keeps the size under a window of 3 x 3
CONVOLUTIONS = (
    Convolution((1, 1, 5, 5), (1, 1, 3, 3)),
    Convolution((2, 3, 9, 11), (4, 3, 3, 3), padding=SAME),
    Convolution((3, 4, 12, 10), (5, 4, 3, 2), stride=(2, 1), padding=(1, 0)),
    Convolution((2, 6, 13, 13), (9, 2, 3, 3), padding=(2, 2), dilation=(2, 2), groups=3),
    Convolution((4, 8, 7, 7), (16, 8, 1, 1)),
    Convolution((8, 1, 28, 28), (32, 1, 5, 5), padding=(2, 2)),
    Convolution((4, 32, 14, 14), (64, 32, 5, 5), padding=(2, 2)),
    Convolution((2, 100, 10, 10), (100, 100, 1, 1)),  # a matrix product, where there is no bias
    Convolution((3, 6, 12, 9), (6, 1, 3, 3), padding=SAME, groups=6),  # a channel by itself
    Convolution((3, 6, 12, 9), (12, 1, 3, 3), stride=(2, 2), padding=SAME, groups=6),
    Convolution((2, 5, 9, 30), (5, 1, 1, 4), stride=(1, 3), dilation=(1, 2), groups=5),
)
# Those whose implicit products take the high tiles: forward, by the input, by the weight.
LARGE_CONVOLUTIONS = (
    Convolution((8, 4, 64, 64), (64, 4, 3, 3), padding=SAME),
    Convolution((8, 4, 64, 64), (128, 4, 3, 3), padding=SAME),
    Convolution((8, 64, 64, 64), (4, 64, 1, 3), padding=(0, 1)),
    Convolution((8, 128, 64, 64), (4, 128, 1, 3), padding=(0, 1)),
    Convolution((1, 512, 4, 4), (512, 512, 3, 3), padding=SAME),
    Convolution((1, 512, 4, 4), (1024, 512, 3, 3), padding=SAME),
)

BATCH = 32
RESNET18: Mapping[Convolution, int] = {  # each convolution of torchvision's resnet18 on 224 x 224 → how many it has
    Convolution((BATCH, 3, 224, 224), (64, 3, 7, 7), (2, 2), (3, 3)): 1,
    Convolution((BATCH, 64, 56, 56), (64, 64, 3, 3), (1, 1), SAME): 4,
    Convolution((BATCH, 64, 56, 56), (128, 64, 3, 3), (2, 2), SAME): 1,
    Convolution((BATCH, 64, 56, 56), (128, 64, 1, 1), (2, 2)): 1,
    Convolution((BATCH, 128, 28, 28), (128, 128, 3, 3), (1, 1), SAME): 3,
    Convolution((BATCH, 128, 28, 28), (256, 128, 3, 3), (2, 2), SAME): 1,
    Convolution((BATCH, 128, 28, 28), (256, 128, 1, 1), (2, 2)): 1,
    Convolution((BATCH, 256, 14, 14), (256, 256, 3, 3), (1, 1), SAME): 3,
    Convolution((BATCH, 256, 14, 14), (512, 256, 3, 3), (2, 2), SAME): 1,
    Convolution((BATCH, 256, 14, 14), (512, 256, 1, 1), (2, 2)): 1,
    Convolution((BATCH, 512, 7, 7), (512, 512, 3, 3), (1, 1), SAME): 3,
}
ARTICLES_CNN = (
    Convolution((64, 1, 28, 28), (32, 1, 5, 5), padding=(2, 2)),
    Convolution((64, 32, 14, 14), (64, 32, 5, 5), padding=(2, 2)),
)

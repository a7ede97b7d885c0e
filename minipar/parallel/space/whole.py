"""Where the rows end: layers that need whole images. Behind them every rank of `space` computes the same.

Each rank's loss then counts the same samples, as many times as there are ranks: the denominators count them as often.
So the gradient of a gathered row is the sum of what all ranks send back, as after any `functional.all_gather`.
"""

from __future__ import annotations

import math

import numpy as np

from ... import nn
from ...nn import functional as F
from ...nn.module import Module
from ...ops.linear import linear
from ...ops.shape import reshape
from ...tensor import Tensor
from .. import functional as pf
from ..shares import share
from .halo import heights_of
from .windows import OnRows


class OfWholeImages(OnRows, Module):
    """`layer`, one without parameters, of the rows of all ranks."""

    def __init__(self, layer: Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, input: Tensor) -> Tensor:
        return self.layer(pf.all_gather(input, self.space, -2))


class RowsOfWholeImages(OfWholeImages):
    """… of whose output each rank keeps its share of the rows."""

    def forward(self, input: Tensor) -> Tensor:
        whole = super().forward(input)
        return whole[..., share(whole.shape[-2], self.space.rank, self.space.size), :]


class RowsGlobalAvgPool2d(OnRows, nn.AdaptiveAvgPool2d):
    """nn.AdaptiveAvgPool2d(1): the sums of all ranks' rows are added up, and nothing is gathered."""

    def forward(self, input: Tensor) -> Tensor:
        count = sum(heights_of(input, self.space)) * input.shape[-1]
        return pf.all_reduce(input.sum((-2, -1), keepdim=True), self.space) / count


class RowsGlobalMaxPool2d(OnRows, nn.AdaptiveMaxPool2d):
    """nn.AdaptiveMaxPool2d(1): the maxima of all ranks' rows are gathered, and their maximum taken; the first wins."""

    def forward(self, input: Tensor) -> Tensor:
        # A row of −∞ stands for no rows: it takes part, and loses.
        rows = F.pad(input, (0, 0, 0, 1), value=-math.inf) if input.shape[-2] == 0 else input
        return super().forward(pf.all_gather(super().forward(rows), self.space, -2))


class RowsLinear(OnRows, nn.Linear):
    """nn.Linear behind nn.Flatten: of rows (N, C, h, W), as if the whole images (N, C, H, W) had been flattened.

    Each rank multiplies its rows with those columns of the weight that belong to them; the products are added up.
    """

    def forward(self, input: Tensor) -> Tensor:
        heights = heights_of(input, self.space)
        n, channels, height, width = input.shape
        if channels * sum(heights) * width != self.in_features:
            raise RuntimeError(
                f"linear: images of {channels} channels, {sum(heights)} rows and {width} columns do not have "
                f"in_features={self.in_features} numbers"
            )
        start = int(np.sum(heights[: self.space.rank]))
        weight = reshape(self.weight, (self.out_features, channels, sum(heights), width))[:, :, start : start + height]
        numbers = channels * height * width
        part = linear(reshape(input, (n, numbers)), reshape(weight, (self.out_features, numbers)))
        y = pf.all_reduce(part, self.space)
        return y if self.bias is None else y + self.bias

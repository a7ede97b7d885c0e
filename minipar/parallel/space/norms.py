"""Layers on rows that look at no windows: norms and dropout, which need to know of the others' rows, and softmax."""

from __future__ import annotations

from typing import Any

from ... import nn
from ...backend.random import held_parts, holds_part_of_a_batch, part_of_elements
from ...nn.module import Module
from ...ops.normalization import scaled
from ...ops.shape import reshape
from ...tensor import Tensor
from ..sync_batch_norm import Running, standardized_over_ranks
from .halo import heights_of
from .windows import OnRows


class RowsGroupNorm(OnRows, nn.GroupNorm):
    """nn.GroupNorm: the statistics of a sample's group are those of all ranks' rows."""

    def forward(self, input: Tensor) -> Tensor:
        return scaled(_standardized_groups(input, self.num_groups, self), self.weight, self.bias)


class RowsInstanceNorm2d(OnRows, nn.InstanceNorm2d):
    """nn.InstanceNorm2d: the same for groups of one channel. Running statistics follow on every rank alike."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training and self.track_running_stats:
            return super().forward(input)
        self._check_input_dim(input)
        running = None
        if self.training and self.running_mean is not None:
            if holds_part_of_a_batch():
                return super().forward(input)  # which refuses it
            running = self.running_mean.array, self.running_var.array, self.momentum or 0.0
        single = input.ndim == 3
        x = reshape(input, (1, *input.shape)) if single else input
        y = scaled(_standardized_groups(x, x.shape[1], self, running), self.weight, self.bias)
        if running is not None:
            self.running_mean.bump("instance_norm")
            self.running_var.bump("instance_norm")
        return reshape(y, y.shape[1:]) if single else y


def _standardized_groups(
    x: Tensor, groups: int, layer: RowsGroupNorm | RowsInstanceNorm2d, running: Running | None = None
) -> Tensor:
    """Each group of channels of each sample is, for the statistics, a channel of one large sample."""
    n, channels, height, width = x.shape
    if channels % groups:
        raise RuntimeError(f"group_norm: {channels} channels must be divisible by num_groups={groups}")
    seen = reshape(x, (1, n * groups, channels // groups * height * width))
    return reshape(standardized_over_ranks(seen, None, None, layer.space, layer.eps, running), x.shape)


class RowsDropout(OnRows, Module):
    """`dropout`, any of nn's dropout layers: it drops of these rows what it would drop of them in one process."""

    def __init__(self, dropout: Module) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return self.dropout(input)
        heights = heights_of(input, self.space)
        with part_of_elements(-2, sum(heights[: self.space.rank]), sum(heights), also=held_parts()):
            return self.dropout(input)


class RowsSoftmax(OnRows, Module):
    """`softmax`, over channels or columns as they are counted from the front, where images come in batches."""

    def __init__(self, softmax: Any) -> None:
        super().__init__()
        self.softmax = softmax

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            dim = self.softmax.dim - 4
            raise RuntimeError(
                f"{self.softmax} on rows takes images (N, C, H, W), not {tuple(input.shape)}, whose axis "
                f"{self.softmax.dim} may be that of the rows: count from the end, dim={dim}"
            )
        return self.softmax(input)

"""Convolutions of which each rank holds a part of the channels, and what may stand between two of them.

As with linear layers: the first is split by output channels, the second by the same channels as its input; what treats
each channel by itself (activations, pooling, batch norm, group norm of whole groups) stays between them.
"""

from __future__ import annotations

import math

from ...nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from ...nn.conv import ConvolvingNd
from ...nn.module import Module
from ...nn.normalization import GroupNorm
from ...ops.conv import Convolution
from ...ops.shape import reshape
from ...tensor import Tensor
from ..comm import Communicator
from ..functional import copy_to_ranks, gather_from_ranks, reduce_from_ranks
from .cut import Split, cut, own_units, span, take_over

CHANNEL_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)


class ColumnParallelConv(Split, ConvolvingNd):
    """This rank's output channels of `conv` (nn.Conv1d, 2d or 3d, of one group): x, the same on all ranks → its part.

    `gather_output` puts the channels of all ranks together. `unit`: channels are split in blocks of so many. `conv`
    gives its parameters away, as a linear layer does to ColumnParallelLinear.

    TypeError unless it is a convolution, NotImplementedError for several groups, ValueError for fewer channels than
    ranks.

    >>> def channels(comm):
    ...     layer = minipar.parallel.ColumnParallelConv(nn.Conv2d(1, 5, 3), comm)
    ...     return layer(minipar.ones(2, 1, 8, 8)).shape
    >>> minipar.parallel.launch(channels, workers=2, backend="thread")
    [(2, 3, 6, 6), (2, 2, 6, 6)]
    """

    def __init__(self, conv: ConvolvingNd, comm: Communicator, gather_output: bool = False, *, unit: int = 1) -> None:
        _check("ColumnParallelConv", conv)
        take_over(self, conv)
        self.comm, self.gather_output, self.dims = comm, gather_output, conv.dims
        self.channels = own_units("ColumnParallelConv", "output channels", conv.out_channels, comm, unit)
        cut(self.weight, 0, self.channels)
        if self.bias is not None:
            cut(self.bias, 0, self.channels)

    def forward(self, input: Tensor) -> Tensor:
        y = self.own(copy_to_ranks(input, self.comm))
        return gather_from_ranks(y, self.comm, -1 - self.dims) if self.gather_output else y

    def own(self, input: Tensor) -> Tensor:
        """What this rank computes."""
        return self._convolved(input, Convolution)

    def part_shown(self) -> str:
        return f"output channels {span(self.channels, self.out_channels)}"

    def collectives(self) -> tuple[int, int]:
        return int(self.gather_output), 1


class RowParallelConv(Split, ConvolvingNd):
    """This rank's input channels of `conv`: x, this rank's channels → all output channels, the same on all ranks.

    What the ranks make is added up, then the bias once. Otherwise as ColumnParallelConv, which it follows.

    >>> def both(comm):
    ...     minipar.manual_seed(0)
    ...     first, second, x = nn.Conv1d(2, 3, 3), nn.Conv1d(3, 4, 3), minipar.ones(2, 2, 9)
    ...     expected = second(first(x).relu())
    ...     first = minipar.parallel.ColumnParallelConv(first, comm)
    ...     second = minipar.parallel.RowParallelConv(second, comm)
    ...     return minipar.allclose(second(first(x).relu()), expected, atol=1e-6)
    >>> minipar.parallel.launch(both, workers=2, backend="thread")
    [True, True]
    """

    def __init__(self, conv: ConvolvingNd, comm: Communicator, *, unit: int = 1) -> None:
        _check("RowParallelConv", conv)
        take_over(self, conv)
        self.comm, self.dims = comm, conv.dims
        self.channels = own_units("RowParallelConv", "input channels", conv.in_channels, comm, unit)
        cut(self.weight, 1, self.channels)

    def forward(self, input: Tensor) -> Tensor:
        y = reduce_from_ranks(self.own(input), self.comm)
        return y if self.bias is None else y + reshape(self.bias, (-1, *[1] * self.dims))

    def own(self, input: Tensor) -> Tensor:
        """What this rank computes, without the bias."""
        return self._convolved(input, Convolution, with_bias=False)

    def part_shown(self) -> str:
        return f"input channels {span(self.channels, self.in_channels)}"

    def collectives(self) -> tuple[int, int]:
        return 1, 0


def _check(layer: str, conv: Module) -> None:
    if not isinstance(conv, ConvolvingNd) or isinstance(conv, Split):
        raise TypeError(f"{layer}: conv must be an nn.Conv1d, Conv2d or Conv3d, not {type(conv).__name__}")
    if conv.groups != 1:
        raise NotImplementedError(f"{layer}: groups={conv.groups} is not supported, only groups=1; leave it whole")


def block_of_channels(norms: list[Module]) -> int:
    """Of how many channels in a row a rank must have all or none, so that no group of a GroupNorm is torn."""
    return math.lcm(*[norm.num_channels // norm.num_groups for norm in norms if isinstance(norm, GroupNorm)])


def cut_channel_norm(norm: Module, channels: range) -> None:
    """Make a batch, instance or group norm into one of this rank's channels, where it is."""
    for tensor in (norm.weight, norm.bias):
        if tensor is not None:
            cut(tensor, 0, channels)
    if isinstance(norm, GroupNorm):
        size = norm.num_channels // norm.num_groups
        norm.num_channels, norm.num_groups = len(channels), len(channels) // size
        return
    norm.num_features = len(channels)
    for tensor in (norm.running_mean, norm.running_var):
        if tensor is not None:
            cut(tensor, 0, channels)

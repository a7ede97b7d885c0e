"""Sequence parallelism: between the layers that are split by features, each rank has a part of the sequence.

What stands there (norm, dropout, the residual sum) treats every position by itself. All ranks would compute the same,
and keep it for backward; instead each takes its part of the positions. An all-reduce is a reduce-scatter and an
all-gather, so nothing more is said: the parts are put together before the layers that are split by features, and what
comes out of these is added up for each rank's part only (Korthikanti et al., Reducing activation recomputation in large
transformer models, 2022, arXiv 2205.05198).

    part ─▶ norm ─▶ all-gather ─▶ heads or features ─▶ reduce-scatter ─▶ dropout ─▶ + ─▶ part
"""

from __future__ import annotations

from typing import Any

from ...backend.random import part_of_elements
from ...nn import functional as F
from ...nn.normalization import LayerNorm
from ...nn.transformer import TransformerEncoderLayer
from ...tensor import Tensor
from ..comm import Communicator
from ..functional import copy_to_ranks, gather_from_ranks, scatter_to_ranks
from ..part_dropout import PartDropout
from ..shares import share
from .attention import HeadParallelAttention
from .cut import Split, take_over
from .linear import ColumnParallelLinear, RowParallelLinear, check_kind


class SequenceParallelLayerNorm(Split, LayerNorm):
    """`norm`, an nn.LayerNorm, on this rank's part of the positions: its parameters' gradients are added up over ranks.

    >>> def normalised(comm):
    ...     layer = minipar.parallel.SequenceParallelLayerNorm(nn.LayerNorm(4), comm)
    ...     layer(minipar.randn(3, 4)).sum().backward()
    ...     return layer.bias.grad.tolist()
    >>> minipar.parallel.launch(normalised, workers=2, backend="thread")[0]
    [6.0, 6.0, 6.0, 6.0]
    """

    def __init__(self, norm: LayerNorm, comm: Communicator) -> None:
        check_kind("SequenceParallelLayerNorm", "norm", norm, LayerNorm)
        take_over(self, norm)
        self.comm = comm

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = (None if p is None else copy_to_ranks(p, self.comm) for p in (self.weight, self.bias))
        return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)

    def part_shown(self) -> str:
        return "some positions"

    def collectives(self) -> tuple[int, int]:
        return 0, (self.weight is not None) + (self.bias is not None)


class SequenceParallelEncoderLayer(Split, TransformerEncoderLayer):
    """`layer`, an nn.TransformerEncoderLayer, with heads and hidden features split, and positions between them.

    src, the same on all ranks and batched, → as the unsplit layer. Sequences need not divide evenly, nor be as long as
    there are ranks. RuntimeError for a src without a batch; otherwise as ColumnParallelLinear.

    >>> def both(comm):
    ...     minipar.manual_seed(0)
    ...     whole, x = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), minipar.randn(3, 2, 4)
    ...     expected = whole(x)
    ...     layer = minipar.parallel.SequenceParallelEncoderLayer(whole, comm)
    ...     return minipar.allclose(layer(x), expected, atol=1e-5)
    >>> minipar.parallel.launch(both, workers=2, backend="thread")
    [True, True]
    """

    def __init__(self, layer: TransformerEncoderLayer, comm: Communicator) -> None:
        check_kind("SequenceParallelEncoderLayer", "layer", layer, TransformerEncoderLayer)
        take_over(self, layer)
        self.comm, self.axis = comm, 1 if layer.self_attn.batch_first else 0
        split: Any = layer
        self.self_attn = HeadParallelAttention(split.self_attn, comm, sequence_axis=self.axis)
        self.linear1 = ColumnParallelLinear(split.linear1, comm, sequence_axis=self.axis)
        self.linear2 = RowParallelLinear(split.linear2, comm, sequence_axis=self.axis)
        self.norm1, self.norm2 = (SequenceParallelLayerNorm(norm, comm) for norm in (split.norm1, split.norm2))
        own = self.linear1.rows
        self.dropout: Any = PartDropout(split.dropout, -1, own.start, self.linear1.out_features)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        if src.ndim != 3:
            raise RuntimeError(
                f"SequenceParallelEncoderLayer: src must have three axes (with a batch), got shape {tuple(src.shape)}"
            )
        length = src.shape[self.axis]
        first = share(length, self.comm.rank, self.comm.size).start
        part = scatter_to_ranks(src, self.comm, self.axis)
        with part_of_elements(self.axis - 3, first, length):  # what is split otherwise says so inside
            y = super().forward(part, src_mask, src_key_padding_mask, is_causal)
        return gather_from_ranks(y, self.comm, self.axis)

    def part_shown(self) -> str:
        return "positions between its layers"

    def collectives(self) -> tuple[int, int]:
        return 1, 1

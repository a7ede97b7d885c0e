"""Sequence parallelism: between the layers that are split by features, each rank has a part of the sequence.

What stands there (norm, dropout, the residual sum) treats every position by itself. All ranks would compute the same,
and keep it for backward; instead each takes its part of the positions. The parts are put together before the layers
that are split by features, and what comes out of these is added up for each rank's part only (Korthikanti et al.,
Reducing activation recomputation in large transformer models, 2022, arXiv 2205.05198).

    part ─▶ norm ─▶ all-gather ─▶ heads or features ─▶ reduce-scatter ─▶ dropout ─▶ + ─▶ part

An all-reduce is a reduce-scatter and an all-gather, so inside as many bytes are sent as by whole sequences: of b bytes
of activations on p ranks, those of four all-reduces a layer, 2b(p−1)/p each from every rank. What comes on top:

    the border   an all-gather forward, behind the last layer, and one backward, before the first: together the bytes
                 of one all-reduce. A stack has one border, a layer that stands alone one of its own.
    parameters   the gradients of two norms and two biases, six times the width, in one all-reduce a layer

and where positions do not divide evenly, b is that of the next length that does: parts are sent in one size.
"""

from __future__ import annotations

from typing import Any

from ...nn import functional as F
from ...nn.container import ModuleList
from ...nn.normalization import LayerNorm
from ...nn.transformer import TransformerEncoder, TransformerEncoderLayer
from ...tensor import Tensor
from ..comm import Communicator
from ..part_dropout import PartDropout
from .attention import HeadParallelAttention
from .cut import Split, take_over
from .linear import ColumnParallelLinear, RowParallelLinear, check_kind
from .positions import OnPositions, Positions


class SequenceParallelLayerNorm(OnPositions, LayerNorm):
    """`norm`, an nn.LayerNorm, on this rank's part of the positions: its parameters' gradients are added up over ranks.

    >>> def normalised(comm):
    ...     layer = minipar.parallel.SequenceParallelLayerNorm(nn.LayerNorm(4), comm)
    ...     layer(minipar.randn(3, 4)).sum().backward()
    ...     return layer.bias.grad.tolist()
    >>> minipar.parallel.launch(normalised, workers=2, backend="thread")[0]
    [6.0, 6.0, 6.0, 6.0]
    """

    positions: Positions

    def __init__(self, norm: LayerNorm, comm: Communicator) -> None:
        check_kind("SequenceParallelLayerNorm", "norm", norm, LayerNorm)
        take_over(self, norm)
        self.comm = comm
        self.positions = Positions(comm, 0)  # along whichever axis: it looks at no other position

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.positions.copies(self.weight, self.bias)
        return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)

    def part_shown(self) -> str:
        return "some positions"

    def collectives(self) -> tuple[int, int]:
        return 0, int(self.stands_alone and any(p is not None for p in (self.weight, self.bias)))


class SequenceParallelEncoderLayer(OnPositions, TransformerEncoderLayer):
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

    positions: Positions

    def __init__(self, layer: TransformerEncoderLayer, comm: Communicator) -> None:
        check_kind("SequenceParallelEncoderLayer", "layer", layer, TransformerEncoderLayer)
        take_over(self, layer)
        self.comm, axis = comm, sequence_axis_of(layer)
        split: Any = layer
        self.self_attn = HeadParallelAttention(split.self_attn, comm, sequence_axis=axis)
        self.linear1 = ColumnParallelLinear(split.linear1, comm, sequence_axis=axis)
        self.linear2 = RowParallelLinear(split.linear2, comm, sequence_axis=axis)
        self.norm1, self.norm2 = (SequenceParallelLayerNorm(norm, comm) for norm in (split.norm1, split.norm2))
        own = self.linear1.rows
        self.dropout: Any = PartDropout(split.dropout, -1, own.start, self.linear1.out_features)
        self._give(Positions(comm, axis))

    def belong_to(self, positions: Positions) -> None:
        super().belong_to(positions)
        self._give(positions)

    def _give(self, positions: Positions) -> None:
        self.positions = positions
        for part in (self.self_attn, self.linear1, self.linear2, self.norm1, self.norm2):
            part.belong_to(positions)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        _check_batched(self, src)
        return self.positions.within(lambda x: self._on_part(x, src_mask, src_key_padding_mask, is_causal), src)

    def _on_part(self, x: Tensor, *masks: Any) -> Tensor:
        with self.positions.gradients_in_one_sum(*self._whole_parameters()):
            return super().forward(x, *masks)

    def _whole_parameters(self) -> list[Tensor | None]:
        """What every rank has whole, and uses on its positions."""
        norms = [parameter for norm in (self.norm1, self.norm2) for parameter in (norm.weight, norm.bias)]
        return [*norms, self.self_attn.out_proj.bias, self.linear2.bias]

    def part_shown(self) -> str:
        return "positions between its layers"

    def collectives(self) -> tuple[int, int]:
        border = int(self.stands_alone)
        return border, border + any(parameter is not None for parameter in self._whole_parameters())


class SequenceParallelEncoder(Split, TransformerEncoder):
    """`encoder`, an nn.TransformerEncoder of layers that can be split so: each rank has its positions from the first to
    the last, and in the norm behind it, an nn.LayerNorm if there is one. Otherwise as SequenceParallelEncoderLayer.
    """

    def __init__(self, encoder: TransformerEncoder, comm: Communicator) -> None:
        check_kind("SequenceParallelEncoder", "encoder", encoder, TransformerEncoder)
        take_over(self, encoder)
        self.comm = comm
        layers: Any = list(encoder.layers)
        self.positions = Positions(comm, sequence_axis_of(layers[0]))
        self.layers = ModuleList([SequenceParallelEncoderLayer(layer, comm) for layer in layers])
        for layer in self.layers:
            layer.belong_to(self.positions)
        if encoder.norm is not None:
            norm: Any = encoder.norm
            self.norm = SequenceParallelLayerNorm(norm, comm)

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        _check_batched(self, src)
        whole_masks = (mask, src_key_padding_mask, is_causal)
        return self.positions.within(lambda x: super(SequenceParallelEncoder, self).forward(x, *whole_masks), src)

    def part_shown(self) -> str:
        return "positions from its first layer to its last"

    def collectives(self) -> tuple[int, int]:
        return 1, 1


def sequence_axis_of(layer: Any) -> int:
    """Which axis of what a transformer layer takes counts positions."""
    return 1 if layer.self_attn.batch_first else 0


def _check_batched(layer: Split, src: Tensor) -> None:
    if src.ndim != 3:
        raise RuntimeError(
            f"{type(layer).__name__}: src must have three axes (with a batch), got shape {tuple(src.shape)}"
        )

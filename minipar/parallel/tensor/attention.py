"""Attention of which each rank has some of the heads (Megatron-LM, §3: they are independent until the last projection).

The rows of the three projections that make a head's query, key and value go to the rank that has the head; the output
projection is split by the same features as its input, and adds up what the ranks have.
"""

from __future__ import annotations

from typing import Any

from ...backend.random import part_of_elements
from ...nn.attention import MultiheadAttention
from ...ops.reduce import sum as sum_over
from ...ops.shape import reshape
from ...tensor import Tensor
from ..comm import Communicator
from ..functional import copy_to_ranks, gather_from_ranks, reduce_from_ranks
from .cut import cut, own_units, span, take_over
from .linear import RowParallelLinear, check_kind
from .positions import OnPositions, Positions

HEADS = -3  # the axis of the scores (N, heads, L, S) that counts heads


class HeadParallelAttention(OnPositions, MultiheadAttention):
    """This rank's heads of `attention`: the arguments of nn.MultiheadAttention, the same on all ranks, as its results.

    `attention` gives its parameters away, as a linear layer does to ColumnParallelLinear. Masks are those of all heads.
    With `sequence_axis` query, key and value (of which only one tensor may be given for all three) are this rank's part
    of a sequence, and so is the output.

    TypeError unless it is an nn.MultiheadAttention, ValueError for fewer heads than ranks.

    >>> def both(comm):
    ...     minipar.manual_seed(0)
    ...     whole, x = nn.MultiheadAttention(6, 3, batch_first=True), minipar.randn(2, 4, 6)
    ...     expected = whole(x, x, x)[0]
    ...     layer = minipar.parallel.HeadParallelAttention(whole, comm)
    ...     return layer.num_heads, minipar.allclose(layer(x, x, x)[0], expected, atol=1e-6)
    >>> minipar.parallel.launch(both, workers=2, backend="thread")
    [(2, True), (1, True)]
    """

    def __init__(self, attention: MultiheadAttention, comm: Communicator, *, sequence_axis: int | None = None) -> None:
        check_kind("HeadParallelAttention", "attention", attention, MultiheadAttention)
        take_over(self, attention)
        self.comm, self.total_heads = comm, attention.num_heads
        self.positions = None if sequence_axis is None else Positions(comm, sequence_axis)
        self.heads = own_units("HeadParallelAttention", "heads", attention.num_heads, comm)
        self.num_heads = len(self.heads)
        own = range(self.heads.start * self.head_dim, self.heads.stop * self.head_dim)
        of_all_three = tuple(i * self.embed_dim + row for i in range(3) for row in own)
        for name, dim, rows in (
            ("in_proj_weight", 0, of_all_three), ("in_proj_bias", 0, of_all_three),
            ("q_proj_weight", 0, own), ("k_proj_weight", 0, own), ("v_proj_weight", 0, own),
            ("bias_k", 2, own), ("bias_v", 2, own),
        ):  # fmt: skip
            parameter = getattr(self, name)
            if parameter is not None:
                cut(parameter, dim, rows)
        projection: Any = attention.out_proj
        self.out_proj: Any = RowParallelLinear(projection, comm, unit=self.head_dim, sequence_axis=sequence_axis)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if self.positions is None:
            copies = {id(x): copy_to_ranks(x, self.comm) for x in (query, key, value)}
            q, k, v = (copies[id(x)] for x in (query, key, value))
        elif query is key and key is value:
            q = k = v = self.positions.gathered(query)
        else:
            raise NotImplementedError("HeadParallelAttention: with sequence_axis, key and value must be query itself")
        attn_mask, key_padding_mask = (
            copy_to_ranks(mask, self.comm) if mask is not None and mask.requires_grad else mask
            for mask in (attn_mask, key_padding_mask)
        )
        with part_of_elements(HEADS, self.heads.start, self.total_heads):
            output, weights = super().forward(
                q, k, v, key_padding_mask, need_weights, self._of_own_heads(attn_mask), False, is_causal
            )
        if weights is None:
            return output, None
        if not average_attn_weights:
            return output, gather_from_ranks(weights, self.comm, HEADS)
        return output, reduce_from_ranks(sum_over(weights, HEADS), self.comm) / self.total_heads

    def _of_own_heads(self, mask: Any) -> Any:
        """A mask (N · heads, L, S) of this rank's heads; one for all heads (L, S) as it is."""
        if mask is None or mask.ndim != 3 or mask.shape[0] % self.total_heads:
            return mask  # what does not fit, MultiheadAttention says
        each = reshape(mask, (-1, self.total_heads, *mask.shape[1:]))[:, self.heads.start : self.heads.stop]
        return reshape(each, (-1, *mask.shape[1:]))

    def belong_to(self, positions: Positions) -> None:
        super().belong_to(positions)
        self.out_proj.belong_to(positions)

    def part_shown(self) -> str:
        return f"heads {span(self.heads, self.total_heads)}"

    def collectives(self) -> tuple[int, int]:
        return int(self.positions is not None), 1  # one for self-attention; for each tensor that differs

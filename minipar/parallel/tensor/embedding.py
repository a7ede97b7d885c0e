"""A table of vectors of which each rank holds some rows (Megatron-LM, §3: the vocabulary is split)."""

from __future__ import annotations

from typing import Any

from ...backend import namespace
from ...nn.embedding import Embedding
from ...ops.embedding import check_numbers, embedding
from ...ops.index import PutItem
from ...ops.shape import reshape
from ...tensor import Tensor, wrap
from ..comm import Communicator
from ..functional import reduce_from_ranks
from .cut import Split, cut, own_units, span, take_over
from .linear import check_kind


class VocabParallelEmbedding(Split, Embedding):
    """This rank's rows of `embedding`: row numbers (…), the same on all ranks → vectors (…, width), the same on all.

    Each rank looks up those that it has, and has zeros for the others; then all are added up. `embedding` gives its
    weight away, as a linear layer does to ColumnParallelLinear; tied to a ColumnParallelLinear (the head of a language
    model) it stays tied. Padding, max_norm and scale_grad_by_freq as in nn.Embedding.

    TypeError unless it is an nn.Embedding, ValueError for fewer rows than ranks, IndexError for a number of no row.

    >>> def rows(comm):
    ...     minipar.manual_seed(0)
    ...     whole = nn.Embedding(5, 2)
    ...     numbers = minipar.tensor([[0, 4], [3, 3]])
    ...     expected = whole(numbers)
    ...     layer = minipar.parallel.VocabParallelEmbedding(whole, comm)
    ...     return tuple(layer.weight.shape), minipar.equal(layer(numbers), expected)
    >>> minipar.parallel.launch(rows, workers=2, backend="thread")
    [((3, 2), True), ((2, 2), True)]
    """

    def __init__(self, embedding: Embedding, comm: Communicator) -> None:
        check_kind("VocabParallelEmbedding", "embedding", embedding, Embedding)
        take_over(self, embedding)
        self.comm = comm
        self.rows = own_units("VocabParallelEmbedding", "rows", embedding.num_embeddings, comm)
        cut(self.weight, 0, self.rows)
        padding = self.padding_idx
        self.own_padding = padding - self.rows.start if padding is not None and padding in self.rows else None

    def forward(self, input: Tensor) -> Tensor:
        numbers = self._numbers(input).reshape(-1)
        own = namespace(numbers).flatnonzero((numbers >= self.rows.start) & (numbers < self.rows.stop))
        picked = embedding(
            wrap(numbers[own] - self.rows.start), self.weight, self.own_padding, self.max_norm, self.norm_type,
            self.scale_grad_by_freq,
        )  # fmt: skip
        placed = PutItem(own, (len(numbers), self.embedding_dim))(picked)
        return reduce_from_ranks(reshape(placed, (*input.shape, self.embedding_dim)), self.comm)

    def _numbers(self, input: Tensor) -> Any:
        """The row numbers, checked against the whole table."""
        return check_numbers("embedding", input, _Shape((self.num_embeddings, self.embedding_dim)))

    def part_shown(self) -> str:
        return f"rows {span(self.rows, self.num_embeddings)}"

    def collectives(self) -> tuple[int, int]:
        return 1, 0


class _Shape:
    """A table of which only the shape is known."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

"""Tables of learned vectors."""

from __future__ import annotations

from typing import Any

from ..creation import empty
from ..ops.embedding import embedding
from ..tape import set_grad_mode
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """Row numbers (…), int64 → vectors (…, embedding_dim). Weight (num_embeddings, embedding_dim) starts normal.

    Row `padding_idx` starts at zero and gets no gradient. `max_norm`, `scale_grad_by_freq` and `sparse` raise
    NotImplementedError.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        for name, given in (
            ("max_norm", max_norm is not None),
            ("scale_grad_by_freq", scale_grad_by_freq),
            ("sparse", sparse),
        ):
            if given:
                raise NotImplementedError(f"Embedding: {name} is not supported")
        if norm_type != 2.0:
            raise NotImplementedError("Embedding: norm_type belongs to max_norm, which is not supported")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx must be in [{-num_embeddings}, {num_embeddings}), not {padding_idx}")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with set_grad_mode(False):
                self.weight[self.padding_idx] = 0.0

    def forward(self, input: Tensor) -> Tensor:
        return embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

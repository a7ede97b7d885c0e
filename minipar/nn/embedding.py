"""Tables of learned vectors."""

from __future__ import annotations

from typing import Any

from ..creation import empty
from ..ops.embedding import embedding, normal_padding
from ..ops.embedding_bag import embedding_bag
from ..tape import set_grad_mode
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter


class _Table(Module):
    """What both have: weight (num_embeddings, embedding_dim), normal at first, its row `padding_idx` zero."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, max_norm: float | None,
        norm_type: float, scale_grad_by_freq: bool, sparse: bool, weight: Tensor | None, freeze: bool, device: Any,
        dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        kind = type(self).__name__
        if sparse:
            raise NotImplementedError(f"{kind}: sparse=True is not supported: gradients are dense here")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = normal_padding(kind, padding_idx, num_embeddings)
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.sparse = sparse
        if weight is None:
            shape = num_embeddings, embedding_dim
            self.weight = Parameter(empty(shape, device=device, dtype=dtype), requires_grad=not freeze)
            self.reset_parameters()
        elif weight.shape != (num_embeddings, embedding_dim):
            raise ValueError(f"{kind}: _weight must have shape {(num_embeddings, embedding_dim)}, got {weight.shape}")
        else:
            self.weight = Parameter(weight, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Standard normal; the row `padding_idx` zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with set_grad_mode(False):
                self.weight[self.padding_idx] = 0.0

    def _norm_repr(self) -> str:
        text = "" if self.max_norm is None else f", max_norm={self.max_norm}"
        text += "" if self.norm_type == 2 else f", norm_type={self.norm_type}"
        return text + (", scale_grad_by_freq=True" if self.scale_grad_by_freq else "")


def _sizes(embeddings: Tensor) -> tuple[int, int]:
    if embeddings.ndim != 2:
        raise ValueError(f"from_pretrained: embeddings must have 2 dimensions, got shape {embeddings.shape}")
    return embeddings.shape


class Embedding(_Table):
    """Row numbers (…), integers → vectors (…, embedding_dim). Weight (num_embeddings, embedding_dim) starts normal.

    Row `padding_idx` starts at zero and gets no gradient; `max_norm`, `norm_type` and `scale_grad_by_freq` as in
    `F.embedding`. `sparse` raises NotImplementedError; a number that is no row, IndexError.

    >>> nn.Embedding(10, 3)(minipar.tensor([[1, 2], [4, 5]])).shape
    (2, 2, 3)
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
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            _freeze, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        return embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer whose weight is `embeddings` (rows, width), not trained if `freeze`.

        >>> nn.Embedding.from_pretrained(minipar.tensor([[1., 2.], [3., 4.]]))(minipar.tensor(1))
        tensor([3., 4.])
        """
        rows, width = _sizes(embeddings)
        return cls(rows, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}{self._norm_repr()}"


class EmbeddingBag(_Table):
    """Bags of row numbers → the sum, mean or max of each bag's vectors (bags, embedding_dim); see `F.embedding_bag`.

    input (bags, n), or (N,) with `offsets` (bags,). `sparse` raises NotImplementedError.

    >>> nn.EmbeddingBag(10, 3, mode="sum")(minipar.tensor([1, 2, 4]), minipar.tensor([0, 1])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: mode must be 'sum', 'mean' or 'max', not {mode!r}")
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            False, device, dtype,
        )  # fmt: skip
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode,
            self.sparse, per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A layer whose weight is `embeddings` (rows, width), not trained if `freeze`.

        >>> nn.EmbeddingBag.from_pretrained(minipar.tensor([[1., 2.], [3., 4.]]))(minipar.tensor([[0, 1]]))
        tensor([[2., 3.]])
        """
        rows, width = _sizes(embeddings)
        layer = cls(rows, width, max_norm, norm_type, scale_grad_by_freq, mode, sparse, embeddings,
                    include_last_offset, padding_idx)  # fmt: skip
        layer.weight.requires_grad = not freeze
        return layer

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{self._norm_repr()}, mode={self.mode!r}{padding}"

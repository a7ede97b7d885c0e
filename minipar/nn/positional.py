"""Positional encodings: attention does not see the order of its inputs, so it is told. PyTorch has none of these."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..creation import empty, tensor
from ..ops.dropout import check_probability, dropout
from ..ops.join import cat, stack
from ..ops.shape import reshape, unsqueeze
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _angles(positions: int, width: int, base: float) -> np.ndarray:
    """position · base^(−2i/width), of shape (positions, ⌈width/2⌉), in float64."""
    frequencies = base ** (-np.arange(0, width, 2) / width)
    return np.arange(positions)[:, None] * frequencies


class _Added(Module):
    """An encoding (max_len, d_model) that is added to embeddings (T, N, d_model), (N, T, d_model) or (T, d_model)."""

    def __init__(self, d_model: int, dropout: float, max_len: int, batch_first: bool) -> None:
        super().__init__()
        _check_sizes(d_model=d_model, max_len=max_len)
        check_probability(dropout)
        self.d_model, self.dropout, self.max_len, self.batch_first = d_model, dropout, max_len, batch_first

    def _add(self, input: Tensor, encoding: Any) -> Any:
        name = type(self).__name__
        if input.ndim not in (2, 3) or input.shape[-1] != self.d_model:
            raise RuntimeError(
                f"{name}: input must have shape (T, N, {self.d_model}), or (N, T, {self.d_model}) with batch_first, or "
                f"(T, {self.d_model}), got {tuple(input.shape)}"
            )
        steps = input.shape[1 if self.batch_first and input.ndim == 3 else 0]
        if steps > self.max_len:
            raise RuntimeError(f"{name}: a sequence of {steps} steps is longer than max_len={self.max_len}")
        rows = encoding[:steps]
        rows = unsqueeze(rows, 1) if input.ndim == 3 and not self.batch_first else rows
        batch_dim = None if input.ndim == 2 else 0 if self.batch_first else 1
        return dropout(input + rows, self.dropout, self.training, batch_dim=batch_dim)

    def extra_repr(self) -> str:
        return f"{self.d_model}, dropout={self.dropout}, max_len={self.max_len}, batch_first={self.batch_first}"


class SinusoidalPositionalEncoding(_Added):
    """x + PE with PE(t, 2i) = sin(t / 10000^(2i/d_model)) and PE(t, 2i + 1) = cos of the same, then dropout.

    input (T, N, d_model), or (N, T, d_model) with `batch_first`, or (T, d_model); `d_model` may be odd (the last sine
    has no cosine). Nothing is learned, and nothing is in the state dict. RuntimeError for another width or more than
    `max_len` steps. Vaswani et al., Attention is all you need, NeurIPS 2017, §3.5.

    >>> nn.SinusoidalPositionalEncoding(4)(minipar.zeros(2, 4))
    tensor([[0.    , 1.    , 0.    , 1.    ],
            [0.8415, 0.5403, 0.01  , 0.9999]])
    """

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.0,
        max_len: int = 5000,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(d_model, dropout, max_len, batch_first)
        angles = _angles(max_len, d_model, 10000.0)
        encoding = np.empty((max_len, d_model))
        encoding[:, 0::2], encoding[:, 1::2] = np.sin(angles), np.cos(angles[:, : d_model // 2])
        made = tensor(encoding, dtype=empty(0, dtype=dtype).dtype, device=device)
        self.register_buffer("encoding", made, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return self._add(input, self.encoding)


class LearnedPositionalEncoding(_Added):
    """x + W, then dropout: one learned row of W (max_len, d_model) for each position.

    input as in SinusoidalPositionalEncoding. The parameter `weight` starts normal with standard deviation 0.02. Gehring
    et al., Convolutional sequence to sequence learning, ICML 2017, §3.1; Devlin et al., BERT, 2019.

    >>> nn.LearnedPositionalEncoding(4, max_len=10)(minipar.zeros(2, 3, 4)).shape
    (2, 3, 4)
    """

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.0,
        max_len: int = 512,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(d_model, dropout, max_len, batch_first)
        self.weight = Parameter(empty(max_len, d_model, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.normal_(self.weight, 0.0, 0.02)

    def forward(self, input: Tensor) -> Tensor:
        return self._add(input, self.weight)


class RotaryPositionalEncoding(Module):
    """Queries or keys (…, T, dim) with features 2i and 2i + 1 turned by the angle t · base^(−2i/dim) at position t.

    The dot product of two vectors so turned depends on their distance alone. `offset` is the position of the first
    step. An odd last feature is left as it is. Nothing is learned. RuntimeError for another width or positions from
    `max_len` on. Su et al., RoFormer: Enhanced transformer with rotary position embedding, 2021, §3.2.2.

    >>> rotary = nn.RotaryPositionalEncoding(2)
    >>> rotary(minipar.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[1.    , 0.    ],
            [0.5403, 0.8415]])
    """

    def __init__(
        self, dim: int, max_len: int = 5000, base: float = 10000.0, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        _check_sizes(dim=dim, max_len=max_len)
        self.dim, self.max_len, self.base = dim, max_len, base
        angles = _angles(max_len, dim, base)[:, : dim // 2]
        kind = empty(0, dtype=dtype).dtype
        self.register_buffer("cos", tensor(np.cos(angles), dtype=kind, device=device), persistent=False)
        self.register_buffer("sin", tensor(np.sin(angles), dtype=kind, device=device), persistent=False)

    def forward(self, input: Tensor, offset: int = 0) -> Tensor:
        if input.ndim < 2 or input.shape[-1] != self.dim:
            raise RuntimeError(
                f"RotaryPositionalEncoding: input must have shape (…, T, {self.dim}), got {tuple(input.shape)}"
            )
        last = offset + input.shape[-2]
        if offset < 0 or last > self.max_len:
            raise RuntimeError(
                f"RotaryPositionalEncoding: positions {offset} … {last - 1} must lie in [0, max_len={self.max_len})"
            )
        even = self.dim // 2 * 2
        cos, sin = self.cos[offset:last], self.sin[offset:last]
        first, second = input[..., 0:even:2], input[..., 1:even:2]
        turned = stack([first * cos - second * sin, first * sin + second * cos], -1)
        pairs = reshape(turned, (*input.shape[:-1], even))
        return pairs if even == self.dim else cat([pairs, input[..., even:]], -1)

    def extra_repr(self) -> str:
        return f"{self.dim}, max_len={self.max_len}, base={self.base}"

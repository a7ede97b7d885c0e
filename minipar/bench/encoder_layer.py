"""A Transformer encoder layer out of minipar's operations.

Parameters and meaning are those of nn.TransformerEncoderLayer in PyTorch (post-norm, ReLU, batch first), after Vaswani
et al. 2017, "Attention is all you need".
"""

from __future__ import annotations

import math

from .. import creation, nn
from ..nn import functional as F
from ..ops.linalg import matmul
from ..ops.softmax import softmax
from ..tensor import Tensor


class LayerNorm(nn.Module):
    """(x − mean) / √(var + eps) over the last axis, of `width`, times weight plus bias."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(creation.ones(width))
        self.bias = nn.Parameter(creation.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        return centred / (variance + self.eps).sqrt() * self.weight + self.bias


class SelfAttention(nn.Module):
    """Scaled dot-product self-attention: x (B, T, width) → (B, T, width), with width/heads features a head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(creation.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(creation.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        qkv = qkv.reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]  # each (B, heads, T, width/heads)
        scores = matmul(q * (1 / math.sqrt(width // self.heads)), k.transpose(-2, -1))
        mixed = matmul(softmax(scores, -1), v)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class TransformerEncoderLayer(nn.Module):
    """Self-attention, then a two-layer ReLU network of `dim_feedforward`; each is added to its input and normalised.

    x (B, T, d_model) → (B, T, d_model). NotImplementedError for dropout, or unless batch_first.
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, *, batch_first: bool = False
    ) -> None:
        super().__init__()
        if dropout or not batch_first:
            raise NotImplementedError("this encoder layer takes dropout=0.0 and batch_first=True only")
        if d_model % nhead:
            raise ValueError(f"nhead must divide d_model, got {nhead} and {d_model}")
        self.self_attn = SelfAttention(d_model, nhead)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = LayerNorm(d_model)
        self.norm2 = LayerNorm(d_model)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(self.linear1(x).relu()))

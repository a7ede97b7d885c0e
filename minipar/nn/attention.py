"""Multi-head attention (Vaswani et al., Attention is all you need, NeurIPS 2017, §3.2.2)."""

from __future__ import annotations

import math
from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..creation import empty, zeros
from ..ops.attention import packed_self_attention, scaled_dot_product_attention
from ..ops.dropout import dropout
from ..ops.join import cat
from ..ops.linalg import matmul
from ..ops.linear import linear
from ..ops.op import cast
from ..ops.pad import pad
from ..ops.reduce import mean
from ..ops.shape import expand, permute, reshape, squeeze, transpose, unsqueeze
from ..ops.softmax import softmax
from ..tensor import Tensor, wrap
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter


class NonDynamicallyQuantizableLinear(Linear):
    """Linear, under the name that PyTorch shows for the output projection of attention.

    >>> nn.MultiheadAttention(4, 2).out_proj
    NonDynamicallyQuantizableLinear(in_features=4, out_features=4, bias=True)
    """


class MultiheadAttention(Module):
    """Attention of `num_heads` projections side by side, their results joined and projected once more.

    query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), or with `batch_first` (N, L, …), or of one sequence
    (L, …). Returns (output like query, weights): weights (N, L, S), the average over heads, or with
    `average_attn_weights=False` (N, num_heads, L, S); None without `need_weights`, which is faster.

    Masks are True where a query may *not* attend, or floating point and added: `attn_mask` (L, S) or
    (N·num_heads, L, S), `key_padding_mask` (N, S). `is_causal` says that attn_mask, which must be given, is the causal
    one. `add_bias_kv` appends a learned key and value, `add_zero_attn` a zero one; `dropout` is of the weights.

    AssertionError as in PyTorch where embed_dim is not divisible by num_heads or widths do not fit, RuntimeError where
    masks do not.

    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = minipar.randn(3, 5, 8)
    >>> y, weights = attention(x, x, x)
    >>> y.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads}"
            )
        if embed_dim % num_heads:
            raise AssertionError(
                f"embed_dim must be divisible by num_heads, got embed_dim={embed_dim} and num_heads={num_heads}"
            )
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        made = {"device": device, "dtype": dtype}
        packed = self.kdim == self.vdim == embed_dim
        widths = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        for name, width in widths.items():
            separate = None if packed else Parameter(empty(embed_dim, width, **made))
            self.register_parameter(f"{name}_proj_weight", separate)
        self.register_parameter(
            "in_proj_weight", Parameter(empty(3 * embed_dim, embed_dim, **made)) if packed else None
        )
        self.register_parameter("in_proj_bias", Parameter(empty(3 * embed_dim, **made)) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **made)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(empty(1, 1, embed_dim, **made)) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for appended in (self.bias_k, self.bias_v):
            if appended is not None:
                init.xavier_normal_(appended)

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
        self._check(query, key, value, key_padding_mask, attn_mask)
        if is_causal and attn_mask is None:
            raise RuntimeError("MultiheadAttention: is_causal is a hint about attn_mask; pass attn_mask too")
        if query is key and key is value and not need_weights and self._is_plain(query, attn_mask):
            return self._self_attention(query, attn_mask, key_padding_mask, is_causal), None
        single = query.ndim == 2
        q, k, v = self._projected(query, key, value)
        if single:
            q, k, v = unsqueeze(q, 1), unsqueeze(k, 1), unsqueeze(v, 1)
        elif self.batch_first:
            q, k, v = transpose(q, 0, 1), transpose(k, 0, 1), transpose(v, 0, 1)
        if single and key_padding_mask is not None:
            key_padding_mask = unsqueeze(key_padding_mask, 0)
        causal = is_causal and key_padding_mask is None and not need_weights
        mask = None if causal else self._merged(attn_mask, key_padding_mask, q.shape[1], q.dtype)
        k, v, mask = self._appended(k, v, mask)
        q, k, v = self._heads(q), self._heads(k), self._heads(v)
        rate = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = self._weights(q, k, mask)
            y = matmul(dropout(weights, rate, batch_dim=None if single else 0), v)
            weights = mean(weights, 1) if average_attn_weights else weights
        else:
            y = scaled_dot_product_attention(q, k, v, mask, rate, is_causal=causal)
        y = reshape(permute(y, (2, 0, 1, 3)), (y.shape[2], y.shape[0], self.num_heads * self.head_dim))
        y = self.out_proj(y)
        if single:
            return squeeze(y, 1), None if weights is None else squeeze(weights, 0)
        return (transpose(y, 0, 1) if self.batch_first else y), weights

    def _is_plain(self, query: Any, attn_mask: Any) -> bool:
        """May the heads' attention be one operation on the packed projection?"""
        appends = self.bias_k is not None or self.add_zero_attn
        if self.in_proj_weight is None or appends or query.array.ndim != 3 or query.array.dtype.char not in "fd":
            return False
        return attn_mask is None or not attn_mask.requires_grad

    def _self_attention(self, x: Any, attn_mask: Any, key_padding_mask: Any, is_causal: bool) -> Any:
        batch_axis = 0 if self.batch_first else 1
        causal = is_causal and key_padding_mask is None
        mask = None
        if not causal and (attn_mask is not None or key_padding_mask is not None):
            mask = self._merged(attn_mask, key_padding_mask, x.shape[batch_axis], x.dtype).array
        rate = self.dropout if self.training else 0.0
        projected = linear(x, self.in_proj_weight, self.in_proj_bias)
        return self.out_proj(packed_self_attention(projected, self.num_heads, batch_axis, mask, rate, causal))

    def _weights(self, q: Any, k: Any, mask: Any) -> Any:
        scores = matmul(q * (1 / math.sqrt(self.head_dim)), transpose(k, -1, -2))
        return softmax(scores if mask is None else scores + mask, -1)

    def _projected(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """The three after their projections: in one product where they are the same tensor."""
        width, bias, weight = self.num_heads * self.head_dim, self.in_proj_bias, self.in_proj_weight
        parts = [slice(i * width, (i + 1) * width) for i in range(3)]
        if weight is not None and query is key and key is value:
            together = linear(query, weight, bias)
            return tuple(together[..., part] for part in parts)
        if weight is None:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        else:
            weights = [weight[part] for part in parts]
        biases = [None if bias is None else bias[part] for part in parts]
        return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))

    def _heads(self, x: Any) -> Any:
        """(L, N, num_heads · head_dim) as (N, num_heads, L, head_dim)."""
        return permute(reshape(x, (*x.shape[:2], self.num_heads, self.head_dim)), (1, 2, 0, 3))

    def _merged(self, attn_mask: Any, key_padding_mask: Any, batch: int, dtype: Any) -> Any:
        """Both masks as one that is added to the scores (N or 1, heads or 1, L or 1, S)."""
        merged = None
        if attn_mask is not None:
            merged = _added(attn_mask, dtype)
            lead = (1, 1) if attn_mask.ndim == 2 else (batch, self.num_heads)
            merged = reshape(merged, (*lead, *attn_mask.shape[-2:]))
        if key_padding_mask is not None:
            padding = _added(key_padding_mask, dtype)
            padding = reshape(padding, (padding.shape[0], 1, 1, padding.shape[1]))
            merged = padding if merged is None else merged + padding
        return merged

    def _appended(self, k: Any, v: Any, mask: Any) -> tuple[Any, Any, Any]:
        """Keys and values (S, N, E) with what add_bias_kv and add_zero_attn append, to which everybody may attend."""
        one = (1, *k.shape[1:])
        more = [] if self.bias_k is None else [(expand(self.bias_k, one), expand(self.bias_v, one))]
        if self.add_zero_attn:
            nothing = zeros(one, dtype=k.dtype, device=k.device)
            more.append((nothing, nothing))
        for key, value in more:
            k, v = cat([k, key]), cat([v, value])
            mask = None if mask is None else pad(mask, (0, 1))
        return k, v, mask

    def _check(self, query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any) -> None:
        if query is key and key is value and attn_mask is None and key_padding_mask is None:
            shape = query.array.shape
            if len(shape) == 3 and shape[2] == self.embed_dim == self.kdim == self.vdim:
                return
        shapes = [tuple(x.shape) for x in (query, key, value)]
        ranks = {len(shape) for shape in shapes}
        if ranks not in ({2}, {3}):
            raise AssertionError(
                "MultiheadAttention: query, key and value must all have 3 axes, or all 2 for one sequence, got "
                + ", ".join(map(str, shapes))
            )
        widths = (self.embed_dim, self.kdim, self.vdim)
        for name, shape, width in zip(("query", "key", "value"), shapes, widths):
            if shape[-1] != width:
                raise AssertionError(f"MultiheadAttention: {name} must have {width} features, got shape {shape}")
        batch_axis = 0 if self.batch_first else 1
        batches = {shape[batch_axis] for shape in shapes} if ranks == {3} else {1}
        if shapes[1][:-1] != shapes[2][:-1] or len(batches) > 1:
            raise AssertionError(
                f"MultiheadAttention: key and value must be equally long, and all of one batch size, got {shapes}"
            )
        single = ranks == {2}
        target, source = (shapes[0][0], shapes[1][0]) if single else (x[1 - batch_axis] for x in shapes[:2])
        batch = batches.pop()
        padding = (source,) if single else (batch, source)
        if key_padding_mask is not None and tuple(key_padding_mask.shape) != padding:
            raise AssertionError(
                f"MultiheadAttention: key_padding_mask must have shape {padding}, got {tuple(key_padding_mask.shape)}"
            )
        whole, each = (target, source), (batch * self.num_heads, target, source)
        if attn_mask is not None and tuple(attn_mask.shape) not in (whole, each):
            raise RuntimeError(
                f"MultiheadAttention: attn_mask must have shape {whole} or {each}, got {tuple(attn_mask.shape)}"
            )


@on_its_gpu
def _added(mask: Any, dtype: Any) -> Any:
    """A mask as what is added to the scores: −∞ where a bool one is True."""
    if mask.dtype.kind == "f":
        return cast(mask, dtype)
    if mask.dtype.kind != "b":
        raise AssertionError(f"MultiheadAttention: masks must be bool or floating point, not {mask.dtype.name}")
    xp = namespace(mask.array)
    return wrap(xp.where(mask.array, dtype.type(-math.inf), dtype.type(0)))

"""Scaled dot-product attention as one node (Vaswani et al., Attention is all you need, NeurIPS 2017, §3.2.1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dispatch import kernel
from ..backend.dtypes import float16, float32
from .accepts import rank, tensor_shape
from .dropout import check_probability, dropout
from .linalg import matmul
from .op import Fat, array_of, broadcast_error, cast, check_dtypes, unbroadcast
from .repeat import repeat_interleave
from .select import where
from .shape import expand, permute, reshape, transpose
from .softmax import softmax


class Attention(Fat):
    """q (…, L, E), k (…, S, E), v (…, S, D), bias (broadcast to (…, L, S)) or absent → softmax(q kᵀ · scale + bias) v

    `mask` (added as bias is, but constant) and `noise` (dropout's, of the weights) are arrays or None; `allowed` is the
    array of bools that mask was made of, where it was. ∂v = wᵀ G, ∂scores = w (∂w − Σ ∂w w) with ∂w = G vᵀ,
    ∂q = ∂scores k · scale, ∂k = ∂scoresᵀ q · scale, ∂bias = ∂scores.
    """

    __slots__ = ("mask", "noise", "causal", "scale", "allowed")
    saves = (0, 1, 2)

    def __init__(self, mask, noise, causal, scale, allowed=None):
        self.mask, self.noise, self.causal, self.scale = mask, noise, causal, scale
        self.allowed = allowed

    def forward(self, q, k, v, bias=None):
        y = namespace(q).empty((*q.shape[:-1], v.shape[-1]), q.dtype)
        added = self.mask if bias is None else bias
        if added is not None:
            added = _four(namespace(q).broadcast_to(added, (*q.shape[:-1], k.shape[-2])))
        noise = None if self.noise is None else _four(self.noise)
        forward = kernel("attention_forward", q)
        self.aux = forward(_four(q), _four(k), _four(v), added, noise, self.causal, self.scale, _four(y))
        return y

    def vjp(self, g, q, k, v):
        empty = namespace(q).empty
        dq, dk, dv = (empty(x.shape, x.dtype) for x in (q, k, v))
        noise = None if self.noise is None else _four(self.noise)
        given = [_four(x) for x in (g, q, k, v)]
        places = [_four(x) for x in (dq, dk, dv)]
        wants = len(self.needs) == 4 and self.needs[3]
        dscores = kernel("attention_gradient", g)(*given, self.aux, noise, self.scale, *places, wants)
        if len(self.needs) == 3:
            return dq, dk, dv
        if not wants:
            return dq, dk, dv, None
        return dq, dk, dv, unbroadcast(dscores.reshape((*q.shape[:-1], k.shape[-2])), self.inputs[3].shape)

    def composite(self, q, k, v, bias=None):
        scores = matmul(q * self.scale, transpose(k, -1, -2))
        scores = scores if bias is None else scores + bias
        scores = scores if self.mask is None else scores + self.mask
        if self.causal:
            scores = where(namespace(array_of(q)).tri(*scores.shape[-2:], dtype=bool), scores, -math.inf)
        idle = (array_of(scores) == -math.inf).all(-1, keepdims=True)  # attends to nothing: weights 0
        weights = where(idle, 0.0, softmax(where(idle, 0.0, scores), -1))
        return matmul(weights if self.noise is None else weights * self.noise, v)


class PackedAttention(Fat):
    """Rows (…) of queries, keys and values side by side, each of `heads` heads → the heads' results side by side.

    x (N, L, 3·heads·D), or with `batch_axis` 1 (L, N, 3·heads·D) → (N, L, heads·D) or (L, N, heads·D). The heads are
    read, and their gradients written, where they lie.
    """

    __slots__ = ("heads", "batch_axis", "mask", "noise", "causal", "scale")
    saves = (0,)

    def __init__(self, heads, batch_axis, mask, noise, causal, scale):
        self.heads, self.batch_axis, self.mask = heads, batch_axis, mask
        self.noise, self.causal, self.scale = noise, causal, scale

    def forward(self, x):
        q, k, v = self._parts(x)
        y = namespace(x).empty((*x.shape[:2], x.shape[2] // 3), x.dtype)
        added = self.mask
        if added is not None:
            added = namespace(x).broadcast_to(added, (*q.shape[:3], k.shape[2]))
        forward = kernel("attention_forward", x)
        self.aux = forward(q, k, v, added, self.noise, self.causal, self.scale, self._heads(y))
        return y

    def vjp(self, g, x):
        dx = namespace(x).empty(x.shape, x.dtype)
        gradient = kernel("attention_gradient", x)
        gradient(self._heads(g), *self._parts(x), self.aux, self.noise, self.scale, *self._parts(dx))
        return dx

    def _parts(self, x: Any) -> Any:
        """Queries, keys and values (N, heads, L, D), each a view of x."""
        a, b, width = x.shape
        parts = x.reshape(a, b, 3, self.heads, width // (3 * self.heads))
        return parts.transpose((2, 0, 3, 1, 4) if self.batch_axis == 0 else (2, 1, 3, 0, 4))

    def _heads(self, y: Any) -> Any:
        """Results (N, heads, L, D), a view of y."""
        a, b, width = y.shape
        heads = y.reshape(a, b, self.heads, width // self.heads)
        return heads.transpose((0, 2, 1, 3) if self.batch_axis == 0 else (1, 2, 0, 3))

    def composite(self, x):
        a, b, width = x.shape
        parts = reshape(x, (a, b, 3, self.heads, width // (3 * self.heads)))
        parts = permute(parts, (2, 0, 3, 1, 4) if self.batch_axis == 0 else (2, 1, 3, 0, 4))
        y = Attention(self.mask, self.noise, self.causal, self.scale)(parts[0], parts[1], parts[2])
        return reshape(permute(y, (0, 2, 1, 3) if self.batch_axis == 0 else (2, 0, 1, 3)), (a, b, width // 3))


def _four(x: Any) -> Any:
    """An array (…, L, E) with two axes before its last two."""
    lead = x.shape[:-2]
    if len(lead) == 2:
        return x
    return x.reshape(math.prod(lead[:-1]), lead[-1] if lead else 1, *x.shape[-2:])


def packed_self_attention(
    x: Any, heads: int, batch_axis: int, mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False
) -> Any:
    """Self-attention of `heads` heads on projections x (N, L, 3·E), or, with `batch_axis` 1, (L, N, 3·E).

    Each row holds a query, a key and a value of E = heads·D features. `mask` is an array that broadcasts to
    (N, heads, L, L) and is added to the scores, or None. Returns (N, L, E) or (L, N, E).
    """
    shape = tensor_shape(x)
    batch, length = shape[batch_axis], shape[1 - batch_axis]
    noise = _noise(x, dropout_p, (batch, heads, length, length))
    width = shape[2] // (3 * heads)
    return PackedAttention(heads, batch_axis, mask, noise, is_causal, 1 / math.sqrt(width))(x)


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query keyᵀ · scale + mask) value: query (…, L, E), key (…, S, E), value (…, S, D) → (…, L, D).

    `attn_mask` broadcasts to (…, L, S): bool, True where a query may attend, or floating point, added to the scores. A
    query that may attend to nothing gets 0. `is_causal`: query i attends to keys 0 … i. `scale` is 1/√E by default.
    Weights are dropped with probability `dropout_p`, always (pass 0 in eval mode). `enable_gqa`: the heads, axis −3, of
    query are a multiple of key's and value's, each of which serves several (Ainslie et al., GQA, 2023). RuntimeError
    where shapes or dtypes do not fit, or for a mask together with is_causal. Vaswani et al., 2017.

    >>> q = k = minipar.zeros(1, 2, 4)
    >>> F.scaled_dot_product_attention(q, k, minipar.tensor([[[1.0], [3.0]]])).tolist()
    [[[2.0], [2.0]]]
    """
    check_dtypes("scaled_dot_product_attention", query, key, value)
    check_probability(dropout_p)
    if is_causal and attn_mask is not None:
        raise RuntimeError("scaled_dot_product_attention: attn_mask must be None when is_causal=True")
    if query.dtype == float16:
        query, key, value = (cast(x, float32) for x in (query, key, value))
        y = scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
        return cast(y, float16)
    if enable_gqa:
        key, value = _served(query, key), _served(query, value)
    query, key, value = _matched(query, key, value)
    scores = (*query.shape[:-1], key.shape[-2])
    constant, bias = _masks(query, attn_mask, scores)
    noise = _noise(query, dropout_p, scores)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None and query.shape[-1] else 1.0 if scale is None else scale
    allowed = array_of(attn_mask) if attn_mask is not None and bias is None else None
    node = Attention(constant, noise, is_causal, factor, allowed)
    return node(query, key, value) if bias is None else node(query, key, value, bias)


def _served(query: Any, x: Any) -> Any:
    """x with each of its heads repeated for the several of query that it serves."""
    if rank(query) < 3 or rank(x) < 3 or not x.shape[-3] or query.shape[-3] % x.shape[-3]:
        raise RuntimeError(
            "scaled_dot_product_attention: with enable_gqa the heads (axis −3) of query must be a multiple of those of "
            f"key and value, got query {tuple(query.shape)} and {tuple(x.shape)}"
        )
    times = query.shape[-3] // x.shape[-3]
    return x if times == 1 else repeat_interleave(x, times, len(x.shape) - 3)


def _matched(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """The three with leading axes of one shape."""
    shapes = [tuple(tensor_shape(x)) for x in (query, key, value)]
    fits = all(len(shape) > 1 for shape in shapes)
    if not fits or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise RuntimeError(
            "scaled_dot_product_attention: needs query (…, L, E), key (…, S, E) and value (…, S, D), got "
            f"{', '.join(map(str, shapes))}"
        )
    leads = {shape[:-2] for shape in shapes}
    if len(leads) == 1:
        return query, key, value
    lead = _broadcast(shapes, [shape[:-2] for shape in shapes])
    return tuple(expand(x, (*lead, *x.shape[-2:])) for x in (query, key, value))


def _broadcast(shapes: list[tuple[int, ...]], leads: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*leads)
    except ValueError:
        raise RuntimeError(broadcast_error("scaled_dot_product_attention", shapes)) from None


@on_its_gpu
def _masks(query: Any, mask: Any, scores: tuple[int, ...]) -> tuple[Any, Any]:
    """(constant, bias) to be added to the scores: an array or None, and a floating-point value or None."""
    if mask is None:
        return None, None
    shape = tuple(tensor_shape(mask))
    if len(shape) > len(scores) or any(n not in (1, m) for n, m in zip(shape[::-1], scores[::-1])):
        raise RuntimeError(
            f"scaled_dot_product_attention: attn_mask must broadcast to the scores' shape {scores}, got {shape}"
        )
    if mask.dtype.kind == "b":
        array = array_of(mask)
        number = query.dtype.type
        return namespace(array).where(array, number(0), number(-math.inf)), None
    if mask.dtype.kind != "f":
        raise RuntimeError(
            f"scaled_dot_product_attention: attn_mask must be bool or floating point, not {mask.dtype.name}"
        )
    return None, cast(mask, query.dtype)


@on_its_gpu
def _noise(query: Any, p: float, scores: tuple[int, ...]) -> Any:
    """What the weights are multiplied by: 0 with probability p, else 1/(1 − p); None for p = 0."""
    if not p:
        return None
    array = array_of(query)
    ones = tape.new_value(namespace(array).ones(scores, array.dtype))
    return array_of(dropout(ones, p, batch_dim=0 if len(scores) > 2 else None))

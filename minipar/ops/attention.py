"""Scaled dot-product attention as one node (Vaswani et al., Attention is all you need, NeurIPS 2017, §3.2.1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import namespace, random
from ..backend.dispatch import kernel
from ..backend.dtypes import float16, float32
from .dropout import check_probability
from .linalg import matmul
from .op import Fat, array_of, broadcast_error, cast, check_dtypes, unbroadcast
from .repeat import repeat_interleave
from .select import where
from .shape import expand, transpose
from .softmax import softmax


class Attention(Fat):
    """q (…, L, E), k (…, S, E), v (…, S, D), bias (broadcast to (…, L, S)) or absent → softmax(q kᵀ · scale + bias) v

    `allowed` (bool) and `noise` (dropout's, of the weights) are arrays or None, and constant. ∂v = wᵀ G,
    ∂scores = w (∂w − Σ ∂w w) with ∂w = G vᵀ, ∂q = ∂scores k · scale, ∂k = ∂scoresᵀ q · scale, ∂bias = ∂scores.
    """

    __slots__ = ("allowed", "noise", "scale")
    saves = (0, 1, 2)

    def __init__(self, allowed, noise, scale):
        self.allowed, self.noise, self.scale = allowed, noise, scale

    def forward(self, q, k, v, bias=None):
        self.aux = kernel("attention_weights", q)(q, k, bias, self.allowed, self.scale)
        return (self.aux if self.noise is None else self.aux * self.noise) @ v

    def vjp(self, g, q, k, v):
        *grads, dscores = kernel("attention_backward", g)(g, q, k, v, self.aux, self.noise, self.scale)
        return tuple(grads) if len(self.needs) == 3 else (*grads, unbroadcast(dscores, self.inputs[3].shape))

    def composite(self, q, k, v, bias=None):
        scores = matmul(q * self.scale, transpose(k, -1, -2))
        scores = scores if bias is None else scores + bias
        scores = scores if self.allowed is None else where(self.allowed, scores, -math.inf)
        idle = (array_of(scores) == -math.inf).all(-1, keepdims=True)  # attends to nothing: weights 0
        weights = where(idle, 0.0, softmax(where(idle, 0.0, scores), -1))
        return matmul(weights if self.noise is None else weights * self.noise, v)


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
    allowed, bias = _masks(query, attn_mask, is_causal, scores)
    noise = _noise(query, dropout_p, scores)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None and query.shape[-1] else 1.0 if scale is None else scale
    node = Attention(allowed, noise, factor)
    return node(query, key, value) if bias is None else node(query, key, value, bias)


def _served(query: Any, x: Any) -> Any:
    """x with each of its heads repeated for the several of query that it serves."""
    if len(query.shape) < 3 or len(x.shape) < 3 or not x.shape[-3] or query.shape[-3] % x.shape[-3]:
        raise RuntimeError(
            "scaled_dot_product_attention: with enable_gqa the heads (axis −3) of query must be a multiple of those of "
            f"key and value, got query {tuple(query.shape)} and {tuple(x.shape)}"
        )
    times = query.shape[-3] // x.shape[-3]
    return x if times == 1 else repeat_interleave(x, times, len(x.shape) - 3)


def _matched(query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    """The three with leading axes of one shape."""
    shapes = [tuple(x.shape) for x in (query, key, value)]
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


def _masks(query: Any, mask: Any, is_causal: bool, scores: tuple[int, ...]) -> tuple[Any, Any]:
    """(allowed, bias): a bool array or None, and a floating-point value or None."""
    xp = namespace(array_of(query))
    if is_causal:
        return xp.tril(xp.ones(scores[-2:], bool)), None
    if mask is None:
        return None, None
    shape = tuple(mask.shape)
    if len(shape) > len(scores) or any(n not in (1, m) for n, m in zip(shape[::-1], scores[::-1])):
        raise RuntimeError(
            f"scaled_dot_product_attention: attn_mask must broadcast to the scores' shape {scores}, got {shape}"
        )
    if mask.dtype.kind == "b":
        return array_of(mask), None
    if mask.dtype.kind != "f":
        raise RuntimeError(
            f"scaled_dot_product_attention: attn_mask must be bool or floating point, not {mask.dtype.name}"
        )
    return None, cast(mask, query.dtype)


def _noise(query: Any, p: float, scores: tuple[int, ...]) -> Any:
    """What the weights are multiplied by: 0 with probability p, else 1/(1 − p); None for p = 0."""
    if not p:
        return None
    array = array_of(query)
    kept = random.uniform_for_samples(scores, 0 if len(scores) > 2 else None) >= p
    return namespace(array).asarray(kept).astype(array.dtype) * array.dtype.type(1 / (1 - p) if p < 1 else 0)

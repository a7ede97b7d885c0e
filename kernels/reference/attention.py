"""Scaled dot-product attention: y = softmax(q kᵀ · scale + bias) v, over any leading axes."""

from typing import Any

import numpy as np

from .namespace import array_namespace

Array = Any


def attention_forward(
    q: Array, k: Array, v: Array, bias: Array | None, noise: Array | None, causal: bool, scale: float, out: Array
) -> Array:
    """out (N, H, L, D) = (weights · noise) v, and returns the weights (N, H, L, S).

    q (N, H, L, E), k (N, H, S, E), v (N, H, S, D); bias and noise of the weights' shape, or None. `causal`: query i
    attends to keys 0 … i. The last axis of `out` is contiguous.
    """
    allowed = array_namespace(q).tri(q.shape[-2], k.shape[-2], dtype=bool) if causal else None
    weights = attention_weights(q, k, bias, allowed, scale)
    out[...] = (weights if noise is None else weights * noise) @ v
    return weights


def attention_gradient(
    g: Array,
    q: Array,
    k: Array,
    v: Array,
    weights: Array,
    noise: Array | None,
    scale: float,
    dq: Array,
    dk: Array,
    dv: Array,
    wants_scores: bool = False,
) -> Array | None:
    """Writes dq, dk and dv, whose last axes are contiguous; returns the gradient of the bias if `wants_scores`."""
    dq[...], dk[...], dv[...], dscores = attention_backward(g, q, k, v, weights, noise, scale)
    return dscores if wants_scores else None


def attention_weights(q: Array, k: Array, bias: Array | None, allowed: Array | None, scale: float) -> Array:
    """softmax(q kᵀ · scale + bias) (…, L, S) of q (…, L, E) and k (…, S, E); 0 where not `allowed` (bool, or None).

    A query that may attend to nothing gets weights 0, not NaN.
    """
    xp = array_namespace(q)
    scores = (q * q.dtype.type(scale)) @ k.swapaxes(-1, -2)
    if bias is not None:
        scores += bias
    if allowed is not None:
        scores = xp.where(allowed, scores, scores.dtype.type(-np.inf))
    if not scores.size:
        return scores
    top = scores.max(-1, keepdims=True)
    scores -= xp.where(top == -np.inf, scores.dtype.type(0), top)
    weights = xp.exp(scores, out=scores)
    total = weights.sum(-1, keepdims=True)
    weights /= xp.where(total == 0, total.dtype.type(1), total)
    return weights


def attention_backward(
    g: Array, q: Array, k: Array, v: Array, weights: Array, noise: Array | None, scale: float
) -> tuple[Array, Array, Array, Array]:
    """(dq, dk, dv, gradient of the scores) from the gradient g of y = (weights · noise) v.

    The softmax's: dscores = w (dw − Σ dw w), with dw = (g vᵀ) · noise.
    """
    dropped = weights if noise is None else weights * noise
    dv = dropped.swapaxes(-1, -2) @ g
    dscores = g @ v.swapaxes(-1, -2)
    if noise is not None:
        dscores *= noise
    dscores -= (dscores * weights).sum(-1, keepdims=True)
    dscores *= weights
    scaled = dscores * dscores.dtype.type(scale)
    return scaled @ k, scaled.swapaxes(-1, -2) @ q, dv, dscores

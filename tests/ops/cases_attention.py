"""Rows of the table: scaled dot-product attention."""

from __future__ import annotations

import math

import numpy as np

from minipar.ops.attention import Attention, packed_self_attention
from tests.ops.case import Case, among, beside

ALLOWED = np.array([[True, False, True], [False, False, False], [True, True, True]])  # the second attends to nothing
NOISE = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])


def attend(**options):
    return lambda m, q, k, v, *mask: m.nn.functional.scaled_dot_product_attention(q, k, v, *mask, **options)


def masked(m, q, k, v):
    return m.nn.functional.scaled_dot_product_attention(q, k, v, m.tensor(ALLOWED))


def blocked(m, q, k, v):
    bias = m.tensor(np.where(ALLOWED, 0.5, -math.inf), dtype=q.dtype)
    return m.nn.functional.scaled_dot_product_attention(q, k, v, bias)


def noisy(m, q, k, v):
    return Attention(None, beside(q, NOISE), False, 0.5)(q, k, v)


def noisy_by_hand(m, q, k, v):
    weights = (0.5 * q @ k.transpose(-1, -2)).softmax(-1)
    return (weights * m.tensor(NOISE, dtype=q.dtype)) @ v


def dependent(m, x):
    return m.nn.functional.scaled_dot_product_attention(x, x * x, x + 1)


def packed(batch_axis, is_causal=False):
    return lambda m, x: packed_self_attention(x, 2, batch_axis, is_causal=is_causal)


def packed_by_hand(batch_axis, is_causal=False):
    def run(m, x):
        a, b, width = x.shape
        parts = x.reshape(a, b, 3, 2, width // 6)
        q, k, v = parts.permute(*((2, 0, 3, 1, 4) if batch_axis == 0 else (2, 1, 3, 0, 4)))
        y = m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
        return y.permute(*((0, 2, 1, 3) if batch_axis == 0 else (2, 0, 1, 3))).reshape(a, b, width // 3)

    return run


SQUARE = ((3, 3), (3, 3), (3, 3))
HEADS = among(((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2)), ((1, 1, 1), (1, 2, 1), (1, 2, 3)),
              ((0, 2, 3), (0, 4, 3), (0, 4, 3)))  # fmt: skip

ATTENTION = [
    Case("attention", attend(), SQUARE, HEADS),
    Case("attention scale", attend(scale=0.3), SQUARE, HEADS),
    Case("attention causal", attend(is_causal=True), SQUARE, among(((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2)))),
    Case("attention mask", masked, SQUARE, among(((2, 3, 4), (2, 3, 4), (2, 3, 1)))),
    Case("attention blocked", blocked, SQUARE),
    Case("attention bias", attend(), (*SQUARE, (3, 3)),
         among(((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 2), (2, 1, 3, 5)), ((2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5)))),
    Case("attention bias of a row", attend(), (*SQUARE, (1, 3))),
    Case("attention grouped", attend(enable_gqa=True), ((1, 4, 2, 2), (1, 2, 2, 2), (1, 2, 2, 2))),
    Case("attention broadcast", attend(), ((2, 1, 2, 2), (1, 2, 2, 2), (2, 2, 2, 2))),
    Case("attention dropout", noisy, SQUARE, theirs=noisy_by_hand),
    *[Case(f"attention packed {options}", packed(*options), ((2, 3, 12),), among(((3, 1, 6),), ((1, 4, 18),)),
           theirs=packed_by_hand(*options)) for options in ((0,), (1,), (0, True))],
    Case("attention of dependent inputs", dependent, ((3, 3),)),
]  # fmt: skip

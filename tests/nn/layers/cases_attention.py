"""Rows of the table of layers: attention and transformers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tests.nn.layers.layer import Layer, normal

PADDING = np.array([[False, False, True], [False, False, False]])
FORBIDDEN = np.array([[False, True, False], [False, False, True]])
BIAS = np.array([[0.5, -math.inf, 0.0], [1.0, 0.0, -2.0]])
FIRST = normal((2, 2, 4), (3, 2, 4), (3, 2, 4))  # q, k, v: sequence first, L = 2, S = 3, N = 2
BATCH = normal((2, 2, 4), (2, 3, 4), (2, 3, 4))
SINGLE = normal((2, 4), (3, 4), (3, 4))


def library(x):
    """minipar or torch, whose tensor x is."""
    import minipar

    return minipar if isinstance(x, minipar.Tensor) else __import__("torch")


def tensors(like, given):
    """The arrays as tensors of the library and on the device of tensor `like`."""
    T = library(like)
    return {n: T.tensor(x, device=like.device) if isinstance(x, np.ndarray) else x for n, x in given.items()}


def masks(**given):
    return lambda layer, q, k, v: layer(q, k, v, **tensors(q, given))


def itself(layer, x):
    return layer(x, x, x)


def multihead(name, inputs=FIRST, call=lambda layer, *x: layer(*x), **options):
    return Layer(f"MultiheadAttention {name}", lambda nn: nn.MultiheadAttention(4, 2, **options), inputs, call)


PER_HEAD = np.concatenate([FORBIDDEN[None]] * 2 + [np.zeros((2, 2, 3), bool)])
MULTIHEAD = [
    multihead("sequence first"),
    multihead("batch first", BATCH, batch_first=True),
    multihead("one sequence", SINGLE, bias=False),
    multihead("one sequence, masked", SINGLE, masks(key_padding_mask=PADDING[0], attn_mask=FORBIDDEN)),
    multihead("of itself", normal((3, 2, 4)), itself),
    multihead("other widths", normal((2, 2, 4), (3, 2, 5), (3, 2, 3)), kdim=5, vdim=3),
    multihead("other widths no bias", normal((2, 2, 4), (3, 2, 5), (3, 2, 4)), kdim=5, bias=False),
    multihead("appended", BATCH, masks(key_padding_mask=PADDING, attn_mask=FORBIDDEN), add_bias_kv=True,
              add_zero_attn=True, batch_first=True),
    multihead("zero appended", add_zero_attn=True),
    multihead("without weights", FIRST, masks(need_weights=False)),
    multihead("without weights, masked", FIRST,
              masks(need_weights=False, key_padding_mask=PADDING, attn_mask=FORBIDDEN)),
    multihead("weights of each head", BATCH, masks(average_attn_weights=False, attn_mask=FORBIDDEN), batch_first=True),
    multihead("bias as mask", FIRST, masks(attn_mask=BIAS)),
    multihead("mask of each head", FIRST, masks(attn_mask=PER_HEAD)),
    multihead("causal", normal((3, 2, 4), (3, 2, 4), (3, 2, 4)),
              masks(attn_mask=~np.tri(3, dtype=bool), is_causal=True, need_weights=False)),
]  # fmt: skip


def source(**given):
    return lambda layer, x: layer(x, **tensors(x, given))


def causal(layer, src, tgt):
    mask = library(src).nn.Transformer.generate_square_subsequent_mask(tgt.shape[1]).to(src.dtype)
    return layer(src, tgt, tgt_mask=mask, tgt_is_causal=True)


SMALL = {"dim_feedforward": 5, "dropout": 0.0}
ENCODER, DECODER = normal((3, 2, 4)), normal((3, 2, 4), (2, 2, 4))
TRI = ~np.tri(3, dtype=bool)
TRANSFORMERS = [
    Layer("TransformerEncoderLayer", lambda nn: nn.TransformerEncoderLayer(4, 2, **SMALL), ENCODER),
    Layer("TransformerEncoderLayer one sequence", lambda nn: nn.TransformerEncoderLayer(4, 2, **SMALL), normal((3, 4))),
    Layer("TransformerEncoderLayer norm first", lambda nn: nn.TransformerEncoderLayer(
        4, 2, 5, 0.0, "gelu", 1e-3, batch_first=True, norm_first=True, bias=False), normal((2, 3, 4)),
          source(src_mask=TRI, src_key_padding_mask=PADDING)),
    Layer("TransformerEncoderLayer layer as activation", lambda nn: nn.TransformerEncoderLayer(
        4, 1, **SMALL, activation=nn.Tanh()), ENCODER, source(src_mask=TRI, is_causal=True)),
    Layer("TransformerEncoderLayer dropout", lambda nn: nn.TransformerEncoderLayer(4, 2, 5), ENCODER, train=(False,)),
    Layer("TransformerDecoderLayer", lambda nn: nn.TransformerDecoderLayer(4, 2, **SMALL), DECODER),
    Layer("TransformerDecoderLayer norm first", lambda nn: nn.TransformerDecoderLayer(
        4, 2, **SMALL, norm_first=True, batch_first=True, activation="gelu"), normal((2, 3, 4), (2, 2, 4))),
    Layer("TransformerEncoder", lambda nn: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(4, 2, **SMALL), 2, nn.LayerNorm(4), enable_nested_tensor=False), ENCODER,
          source(mask=TRI)),
    Layer("TransformerDecoder", lambda nn: nn.TransformerDecoder(
        nn.TransformerDecoderLayer(4, 2, **SMALL), 2), DECODER),
    Layer("Transformer", lambda nn: nn.Transformer(4, 2, 1, 1, **SMALL, batch_first=True),
          normal((2, 2, 4), (2, 3, 4)), causal),
]  # fmt: skip


def by_formula(call):
    """The same call, in which PyTorch takes the kernel that has a second derivative."""

    def run(layer, *inputs):
        if library(inputs[0]).__name__ == "minipar":
            return call(layer, *inputs)
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel(SDPBackend.MATH):
            return call(layer, *inputs)

    return run


ATTENTION = [replace(layer, call=by_formula(layer.call)) for layer in MULTIHEAD + TRANSFORMERS]

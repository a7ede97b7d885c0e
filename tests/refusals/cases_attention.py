"""Rows of the table of bad inputs: attention, transformers, positional encodings."""

from __future__ import annotations

from tests.refusals.refusal import Refusal


def attend(*shapes, **options):
    def call(m):
        return m.nn.functional.scaled_dot_product_attention(*[m.ones(*shape) for shape in shapes], **options)

    return call


def multihead(*shapes, **options):
    def call(m):
        layer = m.nn.MultiheadAttention(4, 2)
        masks = {name: m.ones(*shape) if isinstance(shape, tuple) else shape for name, shape in options.items()}
        return layer(*[m.ones(*shape) for shape in shapes], **masks)

    return call


SDPA, MHA = "nn.functional.scaled_dot_product_attention", "nn.MultiheadAttention"
Q, X = (2, 3, 4), (3, 2, 4)

ATTENTION = [
    Refusal(SDPA, "features differ", attend(Q, (2, 3, 5), Q), RuntimeError, (r"key \(…, S, E\)", r"\(2, 3, 5\)")),
    Refusal(SDPA, "one axis", attend((4,), (4,), (4,)), RuntimeError, (r"query \(…, L, E\)", r"\(4,\)")),
    Refusal(SDPA, "batches differ", attend(Q, (3, 3, 4), (3, 3, 4)), RuntimeError, ("broadcast", r"\(3, 3, 4\)")),
    Refusal(SDPA, "mask of another shape", attend(Q, Q, Q, (3, 5)), RuntimeError, ("attn_mask", r"\(3, 5\)")),
    Refusal(SDPA, "integer mask",
            lambda m: m.nn.functional.scaled_dot_product_attention(*[m.ones(Q)] * 3, m.ones(3, 3).long()),
            RuntimeError, ("attn_mask", "bool or floating", "int64")),
    Refusal(SDPA, "mask and causal", attend(Q, Q, Q, (3, 3), is_causal=True), RuntimeError, ("attn_mask", "is_causal")),
    Refusal(SDPA, "dropout above 1", attend(Q, Q, Q, dropout_p=2), ValueError, ("between 0 and 1", "2")),
    Refusal(SDPA, "heads not a multiple", attend((1, 3, 2, 2), (1, 2, 2, 2), (1, 2, 2, 2), enable_gqa=True),
            RuntimeError, ("enable_gqa", "multiple", r"\(1, 3, 2, 2\)")),
    Refusal(SDPA, "two dtypes",
            lambda m: m.nn.functional.scaled_dot_product_attention(m.ones(Q), m.ones(Q).double(), m.ones(Q)),
            RuntimeError, ("float32", "float64")),
    Refusal(MHA, "no heads", lambda m: m.nn.MultiheadAttention(4, 0), ValueError, ("num_heads", "0")),
    Refusal(MHA, "indivisible", lambda m: m.nn.MultiheadAttention(4, 3), AssertionError, ("divisible", "num_heads=3")),
    Refusal(MHA, "four axes", multihead((1, *X), (1, *X), (1, *X)), AssertionError, ("3 axes", r"\(1, 3, 2, 4\)")),
    Refusal(MHA, "another width", multihead((3, 2, 5), X, X), AssertionError, ("query must have 4", r"\(3, 2, 5\)")),
    Refusal(MHA, "key longer than value", multihead(X, X, (2, 2, 4)), AssertionError, ("equally long", r"\(2, 2, 4\)")),
    Refusal(MHA, "padding of another shape", multihead(X, X, X, key_padding_mask=(3, 2)), AssertionError,
            ("key_padding_mask", r"\(2, 3\)", r"\(3, 2\)")),
    Refusal(MHA, "mask of another shape", multihead(X, X, X, attn_mask=(2, 3)), RuntimeError,
            ("attn_mask", r"\(3, 3\)", r"\(4, 3, 3\)", r"\(2, 3\)")),
    Refusal(MHA, "causal without mask", multihead(X, X, X, is_causal=True), RuntimeError, ("is_causal", "attn_mask")),
    Refusal("nn.TransformerEncoderLayer", "unknown activation",
            lambda m: m.nn.TransformerEncoderLayer(4, 2, activation="tanh"), RuntimeError, ("activation", "tanh")),
    Refusal("nn.TransformerDecoderLayer", "unknown activation",
            lambda m: m.nn.TransformerDecoderLayer(4, 2, activation="tanh"), RuntimeError, ("activation", "tanh")),
    Refusal("nn.TransformerEncoder", "another width",
            lambda m: m.nn.TransformerEncoder(m.nn.TransformerEncoderLayer(4, 2, 5), 1)(m.ones(3, 2, 5)),
            AssertionError, ("4 features", r"\(3, 2, 5\)")),
    Refusal("nn.TransformerDecoder", "another width",
            lambda m: m.nn.TransformerDecoder(m.nn.TransformerDecoderLayer(4, 2, 5), 1)(m.ones(X), m.ones(3, 2, 5)),
            AssertionError, ("4 features", r"\(3, 2, 5\)")),
    Refusal("nn.Transformer", "batches differ",
            lambda m: m.nn.Transformer(4, 2, 1, 1, 5)(m.ones(X), m.ones(3, 1, 4)), RuntimeError,
            ("batch number", r"\(3, 1, 4\)")),
    Refusal("nn.Transformer", "another width",
            lambda m: m.nn.Transformer(4, 2, 1, 1, 5)(m.ones(X), m.ones(3, 2, 5)), RuntimeError,
            ("d_model=4", r"\(3, 2, 5\)")),
    Refusal("nn.SinusoidalPositionalEncoding", "another width",
            lambda m: m.nn.SinusoidalPositionalEncoding(4)(m.ones(3, 5)), RuntimeError, (r"\(T, 4\)", r"\(3, 5\)")),
    Refusal("nn.SinusoidalPositionalEncoding", "no features", lambda m: m.nn.SinusoidalPositionalEncoding(0),
            ValueError, ("d_model", "0")),
    Refusal("nn.LearnedPositionalEncoding", "too long",
            lambda m: m.nn.LearnedPositionalEncoding(4, max_len=2)(m.ones(3, 4)), RuntimeError,
            ("3 steps", "max_len=2")),
    Refusal("nn.RotaryPositionalEncoding", "another width",
            lambda m: m.nn.RotaryPositionalEncoding(4)(m.ones(3, 5)), RuntimeError, (r"\(…, T, 4\)", r"\(3, 5\)")),
    Refusal("nn.RotaryPositionalEncoding", "too far",
            lambda m: m.nn.RotaryPositionalEncoding(4, max_len=4)(m.ones(3, 4), 2), RuntimeError,
            ("positions 2 … 4", "max_len=4")),
]  # fmt: skip

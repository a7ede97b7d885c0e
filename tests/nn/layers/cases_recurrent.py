"""Rows of the table: recurrent layers and their cells, embeddings."""

from __future__ import annotations

import numpy as np

from tests.nn.layers.layer import Layer, normal

SEQUENCES = [normal((3, 2, 3)), normal((3, 3)), normal((1, 2, 3))]
KINDS = ("RNN", "LSTM", "GRU")


def made(kind, *sizes, **options):
    return lambda nn: getattr(nn, kind)(*sizes, **options)


def pair(layer, x, *states):
    """LSTM takes its two states as one argument."""
    return layer(x, states if len(states) == 2 else states[0]) if states else layer(x)


def states_of(kind, count, width, *shape, out=None):
    one = (count, *shape, out or width)
    return (one, (count, *shape, width)) if kind == "LSTM" else (one,)


LAYERS = [
    Layer(f"{kind} {name}", made(kind, 3, 2, **options), SEQUENCES, pair)
    for kind in KINDS
    for name, options in (
        ("bidirectional", {"bidirectional": True}),
        ("batch first, no bias", {"batch_first": True, "bias": False}),
    )
]
LAYERS += [
    Layer(f"{kind} with states", made(kind, 3, 2, 2, batch_first=True, bidirectional=True),
          [normal((3, 4, 3), *states_of(kind, 4, 2, 3)), normal((4, 3), *states_of(kind, 4, 2))], pair)
    for kind in KINDS
]  # fmt: skip
LAYERS += [
    Layer("RNN relu", made("RNN", 3, 2, 2, "relu"), SEQUENCES),
    Layer("LSTM projected", made("LSTM", 3, 3, num_layers=2, bidirectional=True, proj_size=2),
          [normal((3, 2, 3), *states_of("LSTM", 4, 3, 2, out=2)), normal((4, 3))], pair),
    Layer("LSTM projected, no bias", made("LSTM", 3, 4, bias=False, proj_size=1), SEQUENCES),
    *[Layer(f"{kind} dropout in eval", made(kind, 3, 2, 2, dropout=0.5), SEQUENCES[:1], train=(False,))
      for kind in KINDS],
    *[Layer(f"{kind} dropping all", made(kind, 3, 2, 2, dropout=1.0), SEQUENCES[:1], train=(True,)) for kind in KINDS],
]  # fmt: skip


def packed(lengths, enforce_sorted, batch_first=False, with_states=False):
    """A padded batch is packed, run through the layer, and padded again."""

    def call(layer, x, *states):
        rnn = __import__(type(layer).__module__.split(".")[0]).nn.utils.rnn
        pack = rnn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted)
        output, last = pair(layer, pack, *states)
        return rnn.pad_packed_sequence(output, batch_first), last, output.data

    return call


BATCH = (4, 4, 3)
LAYERS += [
    layer
    for kind in KINDS
    for layer in (
        Layer(f"{kind} packed", made(kind, 3, 2),
              normal(BATCH, *states_of(kind, 1, 2, 4)), packed([3, 2, 2, 1], True)),
        Layer(f"{kind} packed unsorted", made(kind, 3, 2, 2, bidirectional=True),
              [normal(BATCH, *states_of(kind, 4, 2, 4)), normal(BATCH)], packed([2, 4, 1, 3], False)),
        Layer(f"{kind} packed, equal lengths", made(kind, 3, 2, batch_first=True), normal((4, 3, 3)),
              packed([2, 2, 2, 2], True, batch_first=True)),
    )
]  # fmt: skip
LAYERS += [
    Layer("LSTM packed and projected", made("LSTM", 3, 3, bidirectional=True, proj_size=2),
          normal(BATCH, *states_of("LSTM", 2, 3, 4, out=2)), packed([2, 4, 1, 3], False)),
    Layer("GRU packed without bias", made("GRU", 3, 2, bidirectional=True, bias=False), normal(BATCH),
          packed([2, 4, 1, 3], False)),
]  # fmt: skip

for kind in KINDS:
    pairs = 2 if kind == "LSTM" else 1
    LAYERS += [
        Layer(f"{kind}Cell", made(f"{kind}Cell", 3, 2),
              [normal((4, 3)), normal((3,)), normal((4, 3), *[(4, 2)] * pairs), normal((3,), *[(2,)] * pairs)], pair),
        Layer(f"{kind}Cell without bias", made(f"{kind}Cell", 3, 2, bias=False), [normal((4, 3))]),
    ]  # fmt: skip
LAYERS.append(Layer("RNNCell relu", made("RNNCell", 3, 2, nonlinearity="relu"), [normal((4, 3)), normal((3,))]))


def numbers(*shape):
    return lambda draw: (draw.integers(0, 5, shape),)


BAGS = [numbers(3, 4)]
FLAT = [lambda draw: (draw.integers(0, 5, 7), np.array([0, 2, 2, 7]))]

LAYERS += [
    Layer("Embedding", made("Embedding", 5, 3), [numbers(6), numbers(2, 3), numbers(), numbers(0)]),
    Layer("Embedding padded", made("Embedding", 5, 3, padding_idx=-2), [numbers(6), numbers(2, 3)]),
    Layer("Embedding of bounded norm", made("Embedding", 5, 3, max_norm=0.5, norm_type=1.0), [numbers(2, 3)]),
    Layer("Embedding by frequency", made("Embedding", 5, 3, scale_grad_by_freq=True, padding_idx=1), [numbers(9)],
          second=False),
    *[Layer(f"EmbeddingBag {mode}", made("EmbeddingBag", 5, 3, mode=mode), BAGS + FLAT, second=False)
      for mode in ("sum", "mean", "max")],
    *[Layer(f"EmbeddingBag {mode}, padded, last offset", made("EmbeddingBag", 5, 3, mode=mode, padding_idx=2,
      include_last_offset=True, max_norm=1.0), FLAT, second=False) for mode in ("sum", "mean", "max")],
    Layer("EmbeddingBag weighted", made("EmbeddingBag", 5, 3, mode="sum"),
          [lambda draw: (draw.integers(0, 5, 4), draw.standard_normal(4))],
          lambda layer, x, w: layer(x.reshape(2, 2), None, w.reshape(2, 2)), second=False),
]  # fmt: skip

"""Rows of the table: linear layers, convolution, pooling, recurrence, embedding."""

from __future__ import annotations

from minipar.ops.embedding import embedding
from minipar.ops.recurrent import recurrence
from tests.ops.case import Case, among

LINEAR = [
    Case("linear", lambda m, x, w, b: m.nn.functional.linear(x, w, b), ((3, 3), (3, 3), (3,)),
         among(((3,), (2, 3), (2,)), ((4, 2, 3), (5, 3), (5,)), ((0, 3), (2, 3), (2,)), ((2, 1), (1, 1), (1,)))),
    Case("linear without bias", lambda m, x, w: m.nn.functional.linear(x, w), ((3, 3), (3, 3)),
         among(((3,), (2, 3)), ((2, 4, 3), (1, 3)), ((2, 0), (3, 0)))),
    Case("linear frozen weight", lambda m, x: m.nn.functional.linear(x, m.ones(3, 3, dtype=x.dtype)), ((3, 3),)),
    Case("linear frozen input", lambda m, w: m.nn.functional.linear(m.ones(3, 3, dtype=w.dtype), w), ((3, 3),)),
]  # fmt: skip


def _torch_rnn(which):
    def run(m, x, h0, w_ih, w_hh, b_ih=None, b_hh=None):
        weights = [w_ih, w_hh] if b_ih is None else [w_ih, w_hh, b_ih, b_hh]
        flags = (b_ih is not None, 1, 0.0, False, False, False)
        return getattr(m, f"rnn_{which}")(x, h0[None], weights, *flags)[0]

    return run


def _recurrence(which):
    return lambda m, *inputs: recurrence(*inputs, nonlinearity=which)


CELL = ((3, 2, 2), (2, 2), (2, 2), (2, 2))
BIASED = (*CELL, (2,), (2,))
RECURRENT = [
    Case("recurrence tanh", _recurrence("tanh"), BIASED,
         among(((4, 3, 2), (3, 5), (5, 2), (5, 5), (5,), (5,)), ((1, 1, 1), (1, 1), (1, 1), (1, 1), (1,), (1,))),
         theirs=_torch_rnn("tanh")),
    Case("recurrence relu", _recurrence("relu"), BIASED, theirs=_torch_rnn("relu")),
    Case("recurrence without bias", _recurrence("tanh"), CELL, among(((4, 3, 2), (3, 5), (5, 2), (5, 5))),
         theirs=_torch_rnn("tanh")),
]  # fmt: skip

NUMBERS = [[0, 2, 2], [1, 0, 2]]
EMBED = [
    Case("embedding", lambda m, w: m.nn.functional.embedding(m.tensor(NUMBERS), w), ((3, 3),),
         among(((4, 2),), ((3, 1),), ((5, 0),))),
    Case("embedding padding", lambda m, w: m.nn.functional.embedding(m.tensor(NUMBERS), w, padding_idx=-1), ((3, 3),),
         derivative=False),
    Case("embedding one with padding", lambda m, w: m.nn.functional.embedding(m.tensor(1), w, padding_idx=1), ((3, 3),),
         derivative=False),
    Case("linear of dependent inputs", lambda m, x: m.nn.functional.linear(x, x * x)),
    Case("embedding one", lambda m, w: embedding(m.tensor(1), w), ((3, 3),),
         theirs=lambda m, w: m.nn.functional.embedding(m.tensor(1), w)),
]  # fmt: skip

LAYERS = LINEAR + RECURRENT + EMBED

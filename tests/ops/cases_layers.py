"""Rows of the table: linear layers, convolution, pooling, recurrence, embedding."""

from __future__ import annotations

from minipar.ops.embedding import embedding
from minipar.ops.linear_chain import LinearChain
from tests.ops.case import Case, among


def _chain(m, x, w, b, v):
    return m.nn.functional.linear(m.relu(m.nn.functional.linear(x, w, b)), v)


LINEAR = [
    Case("linear", lambda m, x, w, b: m.nn.functional.linear(x, w, b), ((3, 3), (3, 3), (3,)),
         among(((3,), (2, 3), (2,)), ((4, 2, 3), (5, 3), (5,)), ((0, 3), (2, 3), (2,)), ((2, 1), (1, 1), (1,)))),
    Case("linear without bias", lambda m, x, w: m.nn.functional.linear(x, w), ((3, 3), (3, 3)),
         among(((3,), (2, 3)), ((2, 4, 3), (1, 3)), ((2, 0), (3, 0)))),
    Case("linear of one output", lambda m, x, w: m.nn.functional.linear(x, w), ((3, 3), (3,)),
         among(((3,), (3,)), ((4, 2, 3), (3,)), ((0, 2), (2,)))),
    Case("linear frozen weight", lambda m, x: m.nn.functional.linear(x, m.ones(3, 3, dtype=x.dtype)), ((3, 3),)),
    Case("linear frozen input", lambda m, w: m.nn.functional.linear(m.ones(3, 3, dtype=w.dtype), w), ((3, 3),)),
    Case("linear chain", lambda m, x, w, b, v: LinearChain((True, False))(x, w, b, v, None),
         ((3, 3), (3, 3), (3,), (3, 3)), among(((2,), (3, 2), (3,), (1, 3)), ((2, 4, 3), (5, 3), (5,), (2, 5))),
         theirs=_chain),
    Case("linear chain with relu", lambda m, x, w, v, c: LinearChain((False, True))(x, w, None, v, c),
         ((3, 3), (3, 3), (3, 3), (3,)), theirs=lambda m, x, w, v, c: m.relu(m.nn.functional.linear(
             m.nn.functional.linear(x, w), v, c))),
]  # fmt: skip


NUMBERS = [[0, 2, 2], [1, 0, 2]]
BAGS = [0, 2, 2, 1, 0, 2]
EMBED = [
    Case("embedding", lambda m, w: m.nn.functional.embedding(m.tensor(NUMBERS), w), ((3, 3),),
         among(((4, 2),), ((3, 1),), ((5, 0),))),
    Case("embedding padding", lambda m, w: m.nn.functional.embedding(m.tensor(NUMBERS), w, padding_idx=-1), ((3, 3),),
         derivative=False),
    Case("embedding one with padding", lambda m, w: m.nn.functional.embedding(m.tensor(1), w, padding_idx=1), ((3, 3),),
         derivative=False),
    Case("embedding by frequency",
         lambda m, w: m.nn.functional.embedding(m.tensor(NUMBERS), w, scale_grad_by_freq=True), ((3, 3),),
         derivative=False),
    *[Case(f"embedding_bag {mode}", lambda m, w, mode=mode: m.nn.functional.embedding_bag(
        m.tensor(BAGS), w, m.tensor([0, 3, 3]), mode=mode, padding_idx=1), ((3, 3),))
      for mode in ("sum", "mean", "max")],
    Case("embedding_bag weights", lambda m, w, f: m.nn.functional.embedding_bag(
        m.tensor(BAGS), w, m.tensor([0, 2]), mode="sum", per_sample_weights=f), ((3, 3), (6,))),
    Case("linear of dependent inputs", lambda m, x: m.nn.functional.linear(x, x * x)),
    Case("embedding one", lambda m, w: embedding(m.tensor(1), w), ((3, 3),),
         theirs=lambda m, w: m.nn.functional.embedding(m.tensor(1), w)),
]  # fmt: skip

LAYERS = LINEAR + EMBED

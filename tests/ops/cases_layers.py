"""Rows of the table: linear layers, convolution, pooling, recurrence, embedding."""

from __future__ import annotations

import numpy as np

from minipar.ops.embedding import embedding
from minipar.ops.pool import Pick, SpreadMean2d, Unpool
from minipar.ops.recurrent import recurrence
from tests.ops.case import Case, among, apart


def conv(*shapes, **options):
    return lambda m, *inputs: m.nn.functional.conv2d(*inputs, **options)


IMAGES = ((2, 2, 3, 3), (2, 2, 2, 2))  # x and w

LINEAR = [
    Case("linear", lambda m, x, w, b: m.nn.functional.linear(x, w, b), ((3, 3), (3, 3), (3,)),
         among(((3,), (2, 3), (2,)), ((4, 2, 3), (5, 3), (5,)), ((0, 3), (2, 3), (2,)), ((2, 1), (1, 1), (1,)))),
    Case("linear without bias", lambda m, x, w: m.nn.functional.linear(x, w), ((3, 3), (3, 3)),
         among(((3,), (2, 3)), ((2, 4, 3), (1, 3)), ((2, 0), (3, 0)))),
    Case("linear frozen weight", lambda m, x: m.nn.functional.linear(x, m.ones(3, 3, dtype=x.dtype)), ((3, 3),)),
    Case("linear frozen input", lambda m, w: m.nn.functional.linear(m.ones(3, 3, dtype=w.dtype), w), ((3, 3),)),
]  # fmt: skip

CONV = [
    Case("conv2d", conv(), IMAGES, among(((2, 3, 5, 4), (4, 3, 3, 2)), ((0, 1, 3, 3), (2, 1, 2, 2)),
                                         ((1, 1, 1, 1), (1, 1, 1, 1)), ((2, 3, 4), (3, 2, 2, 3)))),
    Case("conv2d bias", conv(), (*IMAGES, (2,))),
    Case("conv2d stride", conv(stride=2), ((1, 1, 5, 5), (2, 1, 2, 2)),
         among(*[((1, 1, n, 6), (1, 1, 2, 3)) for n in range(2, 10)])),
    Case("conv2d stride pair", conv(stride=(1, 3)), ((1, 1, 3, 5), (1, 1, 2, 2)),
         among(*[((2, 1, 4, n), (2, 1, 3, 2)) for n in range(2, 10)])),
    Case("conv2d padding", conv(padding=1), ((1, 1, 2, 2), (1, 1, 2, 2)), among(((2, 2, 1, 3), (3, 2, 3, 2)))),
    Case("conv2d padding pair", conv(padding=(0, 2), stride=2), ((1, 1, 3, 2), (1, 1, 2, 2))),
    Case("conv2d dilation", conv(dilation=2), ((1, 1, 4, 4), (1, 1, 2, 2)), among(((2, 2, 5, 6), (1, 2, 3, 2)))),
    Case("conv2d dilation pair", conv(dilation=(1, 2), padding=1), ((1, 1, 3, 3), (1, 1, 2, 2))),
    Case("conv2d groups", conv(groups=2), ((1, 2, 3, 3), (4, 1, 2, 2)), among(((2, 4, 3, 4), (6, 2, 2, 2)))),
    Case("conv2d depthwise", conv(groups=3, padding=1, stride=2, dilation=2), ((1, 3, 3, 3), (3, 1, 2, 2)),
         among(((2, 3, 5, 4), (6, 1, 2, 2)))),
    Case("conv2d same", conv(padding="same", dilation=(1, 2)), ((1, 1, 3, 3), (1, 1, 3, 3))),
    Case("conv2d valid", conv(padding="valid"), IMAGES),
]  # fmt: skip


def pooled(which, **options):
    return lambda m, x: getattr(m.nn.functional, which)(x, **options)


SIZES = among(*[((1, 2, n, m),) for n in range(2, 10) for m in (2, 5, 6)], ((2, 4, 3),), ((0, 1, 4, 4),))
LARGER = among(*[((1, 1, n, m),) for n in range(3, 10) for m in (3, 6)])
PLANE = ((1, 1, 4, 4),)

POOL = [
    Case("max_pool2d", pooled("max_pool2d", kernel_size=2), PLANE, SIZES, apart),
    Case("max_pool2d overlapping", pooled("max_pool2d", kernel_size=3, stride=1), PLANE, LARGER, apart),
    Case("max_pool2d padding", pooled("max_pool2d", kernel_size=(2, 3), stride=(2, 1), padding=(1, 0)),
         PLANE, LARGER, apart),
    Case("max_pool2d dilation", pooled("max_pool2d", kernel_size=2, stride=1, dilation=2), PLANE, LARGER, apart),
    Case("max_pool2d ceil", pooled("max_pool2d", kernel_size=2, stride=3, padding=1, ceil_mode=True),
         PLANE, LARGER, apart),
    Case("max_pool2d with indices", lambda m, x: m.nn.functional.max_pool2d(x, 2, return_indices=True)[0],
         PLANE, SIZES, apart),
    Case("avg_pool2d", pooled("avg_pool2d", kernel_size=2), PLANE, SIZES),
    Case("avg_pool2d padding", pooled("avg_pool2d", kernel_size=3, stride=2, padding=1), PLANE, LARGER),
    Case("avg_pool2d ceil", pooled("avg_pool2d", kernel_size=3, stride=2, padding=1, ceil_mode=True), PLANE, LARGER),
    Case("avg_pool2d ceil without padding",
         pooled("avg_pool2d", kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
         PLANE, LARGER),
    Case("avg_pool2d divisor", pooled("avg_pool2d", kernel_size=(2, 3), stride=1, divisor_override=5), PLANE, LARGER),
]  # fmt: skip

WINNERS = np.array([[[[0, 5], [5, 15]]]])


def _pick(m, x):
    return x.flatten()[m.tensor(WINNERS)]


def _unpool(m, x):
    return m.zeros(16, dtype=x.dtype).index_put((m.tensor(WINNERS),), x, accumulate=True).reshape(1, 1, 4, 4)


def _spread(m, x):
    return m.repeat_interleave(m.repeat_interleave(x, 2, -1), 2, -2) / 4


HIDDEN = [
    Case("Unpool", lambda m, x: Unpool(WINNERS, (1, 1, 4, 4))(x), ((1, 1, 2, 2),), theirs=_unpool),
    Case("Pick", lambda m, x: Pick(WINNERS)(x), PLANE, theirs=_pick),
    Case("SpreadMean2d", lambda m, x: SpreadMean2d(((2, 2), (2, 2), (0, 0), False, True, None), (1, 1, 4, 4))(x),
         ((1, 1, 2, 2),), theirs=_spread),
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

LAYERS = LINEAR + CONV + POOL + HIDDEN + RECURRENT + EMBED

"""Rows of the table: shapes, indexing, assignment, changes in place."""

from __future__ import annotations

import numpy as np

from minipar.ops.index import PutItem
from tests.ops.case import Case, among, apart, one

ROWS = one(1, 3, 1)
PLANES = one(2, 3, 1)

SHAPE = [
    Case("reshape", lambda m, x: m.reshape(x, (-1,)), shapes=one()),
    Case("reshape -1", lambda m, x: x.reshape(3, -1), shapes=among(((3, 4),), ((3, 0),), ((2, 3, 2),), ((3,),))),
    Case("view", lambda m, x: x.clone().view(-1, 2), ((2, 2),), among(((4, 2),), ((2,),), ((0, 2),))),
    Case("permute", lambda m, x: m.permute(x, (2, 0, 1)), ((2, 2, 2),), one(3)),
    Case("permute method", lambda m, x: x.permute(0, -1, 1), ((2, 2, 2),), one(3)),
    Case("transpose", lambda m, x: m.transpose(x, 0, -1), shapes=one(1)),
    Case("T", lambda m, x: x.T, shapes=one(2, 2)),
    Case("mT", lambda m, x: x.mT, shapes=one(2)),
    Case("expand", lambda m, x: x.expand(2, -1, 3), ((3, 1),), among(((3, 1),), ((1, 1),), ((0, 1),), ((4, 3),))),
    Case("expand_as", lambda m, x: x.expand_as(m.zeros(4, 3)), ((3,),), among(((3,),), ((1,),), ((4, 1),), ((),))),
    Case("squeeze", lambda m, x: m.squeeze(x), ((1, 3, 1),), one()),
    Case("squeeze dim", lambda m, x: x.squeeze(0), ((1, 3),), one(1)),
    Case("unsqueeze", lambda m, x: m.unsqueeze(x, -1), shapes=one()),
    Case("flatten", lambda m, x: m.flatten(x, 1), ((2, 2, 2),), one(2)),
    Case("flatten all", lambda m, x: x.flatten(), shapes=one()),
    Case("narrow", lambda m, x: x.narrow(-1, 1, 2), shapes=among(((3,),), ((2, 4),), ((0, 3),))),
    Case("cat", lambda m, a, b: m.cat([a, b]), ((3, 3), (3, 3)), among(((2, 3), (4, 3)), ((0, 3), (1, 3)))),
    Case(
        "cat dim",
        lambda m, a, b: m.cat((a, b, a * 2), -1),
        ((3, 3), (3, 3)),
        among(
            ((2, 1), (2, 3)),
        ),
    ),
    Case("stack", lambda m, a, b: m.stack([a, b], 1), ((3, 3), (3, 3)), one(1).map(lambda s: (*s, *s))),
    Case("stack last", lambda m, a, b: m.stack([a, b], -1), ((3, 3), (3, 3)), one(0).map(lambda s: (*s, *s))),
    Case("clone", lambda m, x: x.clone(), shapes=one()),
    Case("contiguous", lambda m, x: x.mT.contiguous(), shapes=one(2)),
]

INDEX = [
    Case("x[0]", lambda m, x: x[0], shapes=ROWS),
    Case("x[-1]", lambda m, x: x[-1], shapes=ROWS),
    Case("x[:, 0]", lambda m, x: x[:, 0], shapes=PLANES),
    Case("x[1:3]", lambda m, x: x[1:3], shapes=ROWS),
    Case("x[::2, 1:]", lambda m, x: x[::2, 1:], shapes=PLANES),
    Case("x[::-1]", lambda m, x: x[::-1], shapes=ROWS, theirs=lambda m, x: x.flip(0)),
    Case("x[..., ::-2]", lambda m, x: x[..., ::-2], shapes=ROWS, theirs=lambda m, x: x.flip(-1)[..., ::2]),
    Case("x[None, ..., 0]", lambda m, x: x[None, ..., 0], shapes=ROWS),
    Case("x[:, i, ..., j]", lambda m, x: x[:, m.tensor([2, 0]), ..., m.tensor([1, 1])], ((2, 3, 3),)),
    Case("x[...]", lambda m, x: x[...], shapes=one()),
    Case("x[list]", lambda m, x: x[[0, 0, -1]], shapes=ROWS),
    Case("x[tensor]", lambda m, x: x[m.tensor([[0, 2], [0, 0]])], shapes=among(((3,),), ((3, 2),), ((3, 1, 2),))),
    Case("x[:, tensor]", lambda m, x: x[:, m.tensor([1, 0, 1])], shapes=among(((3, 2),), ((1, 3, 2),))),
    Case("x[tensor, tensor]", lambda m, x: x[m.tensor([0, 0, 2]), m.tensor([1, 1, 0])], shapes=among(((3, 3),))),
    Case("x[tensor, :, tensor]", lambda m, x: x[m.tensor([0, 0]), :, m.tensor([[1], [0]])], ((2, 2, 2),)),
    Case("x[mask]", lambda m, x: x[x > 0], shapes=one(1), values=apart),
    Case("x[row mask]", lambda m, x: x[m.tensor([True, False, True])], shapes=among(((3,),), ((3, 2),))),
    Case("iteration", lambda m, x: sum(row * i for i, row in enumerate(x)), shapes=ROWS),
    Case(
        "PutItem",
        lambda m, x: PutItem((np.array([0, 0, 1]), np.array([2, 2, 0])), (2, 3))(x),
        ((3,),),
        theirs=lambda m, x: m.zeros(2, 3, dtype=x.dtype).index_put(
            (m.tensor([0, 0, 1]), m.tensor([2, 2, 0])), x, accumulate=True
        ),
    ),
    Case(
        "PutItem basic",
        lambda m, x: PutItem((slice(1, 3),), (4, 3))(x),
        ((2, 3),),
        theirs=lambda m, x: m.cat([x[:1] * 0, x, x[:1] * 0]),
    ),
]


def assigned(index):
    """The function (x, v) ↦ x with v written at `index`."""

    def run(m, x, v):
        y = x.clone()
        y[index(m)] = v
        return y

    return run


def changed(change):
    """The function that changes a fresh copy of its first argument in place."""

    def run(m, x, *others):
        y = x * 1
        change(m, y, *others)
        return y

    return run


SQUARES = ((3, 3), (3, 3))
SAME = one().map(lambda s: (*s, *s))

ASSIGN = [
    Case("x[...] = v", assigned(lambda m: ...), SQUARES, among(((3, 2), (2,)), ((3, 2), ()), ((2,), (1, 2)))),
    Case("x[0] = v", assigned(lambda m: 0), ((3, 3), (3,)), among(((2, 4), (1,)), ((2, 4), ()), ((2, 4), (1, 4)))),
    Case("x[:, 1:] = v", assigned(lambda m: (slice(None), slice(1, None))), ((3, 3), (3, 2))),
    Case("x[list] = v", assigned(lambda m: [2, 0]), ((3, 3), (2, 3)), among(((3, 3), (3,)), ((3,), (2,)))),
    Case("x[tensor] = v", assigned(lambda m: m.tensor([2, 0])), ((3, 3), (2, 3)), among(((3, 3), (3,)), ((3,), (2,)))),
    Case("x[mask] = v", assigned(lambda m: m.tensor([True, False, True])), ((3, 3), (2, 3)), among(((3, 2), ()))),
    Case("x[x > 0] = 0.5", lambda m, x: assigned(lambda _: x > 0)(m, x, 0.5), shapes=one(1), values=apart),
    Case("add_", changed(lambda m, y, v: y.add_(v)), SQUARES, SAME),
    Case("add_ alpha", changed(lambda m, y, v: y.add_(v, alpha=3)), SQUARES, SAME),
    Case("sub_", changed(lambda m, y, v: y.sub_(v)), SQUARES, SAME),
    Case("mul_", changed(lambda m, y, v: y.mul_(v)), SQUARES, SAME),
    Case("mul_ number", changed(lambda m, y: y.mul_(3)), shapes=one()),
    Case("div_", changed(lambda m, y, v: y.div_(v)), SQUARES, SAME, apart),
    Case("clamp_", changed(lambda m, y: y.clamp_(-0.39, 0.52)), shapes=one(), values=apart),
    Case("fill_", changed(lambda m, y: y.fill_(2.5)), shapes=one()),
    Case("zero_", changed(lambda m, y: y.zero_()), shapes=one()),
    Case("copy_", changed(lambda m, y, v: y.copy_(v)), SQUARES, among(((3, 2), (2,)), ((3, 2), ()))),
    Case("+=, -=, *=, /=", changed(lambda m, y, v: _augmented(y, v)), SQUARES, SAME, apart),
]


def _augmented(y, v):
    y += v
    y *= v
    y -= v
    y /= v


ARRANGE = SHAPE + INDEX + ASSIGN

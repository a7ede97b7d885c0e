"""Rows of the table: picking and writing by tensors of indices and by masks."""

from __future__ import annotations

from tests.ops.case import Case, among, apart, one

SQUARES = ((3, 3), (3, 3))
ROWS = ((3, 3), (2, 3))
INDEX = [[0, 2, 1], [2, 2, 0]]  # with repeats along either axis
REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def index(m):
    return m.tensor(INDEX)


PICK = [
    Case("gather 0", lambda m, x: m.gather(x, 0, index(m)), ((3, 3),), among(((3, 4),))),
    Case("gather 1", lambda m, x: x.gather(-1, index(m)), ((3, 3),), among(((2, 3),))),
    Case("gather 0-d", lambda m, x: x.gather(0, m.tensor(0)), ((),), among(((2,),))),
    Case("gather none", lambda m, x: m.gather(x, 0, m.tensor([], dtype=m.int64)) * 2, ((3,),), among(((2, 2),))),
    Case("gather int32", lambda m, x: x.gather(0, index(m).int()), ((3, 3),)),
    Case("take_along_dim", lambda m, x: m.take_along_dim(x, m.tensor([[0], [-1]]), 1), ((2, 3),), among(((1, 3),))),
    Case("take_along_dim all", lambda m, x: x.take_along_dim(m.tensor([3, 0, 0])), ((2, 2),)),
    Case("take", lambda m, x: m.take(x, m.tensor([[0, -1], [2, 2]])), ((3, 3),), among(((3,),), ((1, 3),))),
    Case("index_select", lambda m, x: m.index_select(x, 1, m.tensor([2, 0, 2])), ((3, 3),), among(((2, 3, 1),))),
    Case("index_select 0-d", lambda m, x: x.index_select(0, m.tensor(0)), ((3, 3),), among(((),), ((2,),))),
    Case("masked_select", lambda m, x: m.masked_select(x, x > 0), ((3, 3),), one(), apart),
    Case(
        "masked_select broadcast",
        lambda m, x: x.masked_select(m.tensor([True, False, True])),
        ((3, 3),),
        among(((1,),)),
    ),
]

WRITE = [
    Case("scatter 0", lambda m, x, v: m.scatter(x, 0, m.tensor([[0, 2, 1], [2, 1, 0]]), v), ROWS),
    Case(
        "scatter 1",
        lambda m, x, v: x.scatter(1, m.tensor([[0, 2], [2, 1]]), v),
        SQUARES,
        theirs=lambda m, x, v: x.scatter(1, m.tensor([[0, 2], [2, 1]]), v[:2, :2]),
    ),  # PyTorch's fails at a longer src
    Case("scatter value", lambda m, x: x.scatter(0, index(m), 2.5), ((3, 3),)),
    Case("scatter value=", lambda m, x: m.scatter(x, 0, index(m), value=2.5), ((3, 3),)),
    Case("scatter 0-d", lambda m, x, v: x.scatter(0, m.tensor(0), v), ((), ())),
    Case(
        "scatter add",
        lambda m, x: x.scatter(0, index(m), 2.5, reduce="add"),
        ((3, 3),),
        theirs=lambda m, x: x.scatter_add(0, index(m), x[:2] * 0 + 2.5),
    ),
    Case(
        "scatter multiply",
        lambda m, x: x.scatter(0, index(m), 2.5, reduce="multiply"),
        ((3, 3),),
        theirs=lambda m, x: x.scatter_reduce(0, index(m), x[:2].detach() * 0 + 2.5, "prod"),
    ),
    Case("scatter_add", lambda m, x, v: m.scatter_add(x, 0, index(m), v), ROWS),
    Case("scatter_add none", lambda m, x, v: x.scatter_add(0, m.tensor([], dtype=m.int64), v[:0]), ((3,), (3,))),
    Case("scatter_", lambda m, x, v: (x * 2).scatter_(0, m.tensor([[0, 2, 1], [1, 1, 2]]), v), ROWS),
    Case("scatter_add_", lambda m, x, v: (x * 2).scatter_add_(1, index(m), v), ROWS),
    *[
        Case(
            f"scatter_reduce {reduce}{'' if own else ' without self'}",
            lambda m, x, v, reduce=reduce, own=own: m.scatter_reduce(x, 0, index(m), v, reduce, include_self=own),
            ROWS,
            values=apart,
            derivative=own or reduce != "prod",
        )
        for reduce in REDUCTIONS
        for own in (True, False)
    ],
    Case("scatter_reduce_", lambda m, x, v: (x * 2).scatter_reduce_(1, index(m), v, "amax"), ROWS, values=apart),
    Case("index_add", lambda m, x, v: m.index_add(x, 0, m.tensor([2, 0, 2]), v), SQUARES),
    Case("index_add alpha", lambda m, x, v: x.index_add(-1, m.tensor([2, 0]), v, alpha=3), ((3, 3), (3, 2))),
    Case("index_add_", lambda m, x, v: (x * 2).index_add_(0, m.tensor([1, 1]), v), ((3, 3), (2, 3))),
    Case("index_copy", lambda m, x, v: m.index_copy(x, 1, m.tensor([2, 0]), v), ((3, 3), (3, 2))),
    Case("index_copy_", lambda m, x, v: (x * 2).index_copy_(0, m.tensor([2, 0, 1]), v), SQUARES),
    Case("index_fill", lambda m, x: m.index_fill(x, 1, m.tensor([2, 0, 2]), 2.5), ((3, 3),)),
    Case("index_fill tensor", lambda m, x, v: x.index_fill(0, m.tensor([2, 0, 2]), v), ((3, 3), ())),
    Case("index_fill_", lambda m, x: (x * 2).index_fill_(0, m.tensor(1), 2.5), ((3, 3),), among(((2,),))),
    Case("index_put", lambda m, x, v: m.index_put(x, (m.tensor([2, 0]), m.tensor([1, 1])), v), ((3, 3), (2,))),
    Case("index_put accumulate", lambda m, x, v: x.index_put((m.tensor([2, 2]),), v, accumulate=True), ((3, 3), (3,))),
    Case("index_put_ mask", lambda m, x, v: (x * 2).index_put_((m.tensor([True, False, True]),), v), ((3, 3), (2, 3))),
    Case("masked_fill", lambda m, x: m.masked_fill(x, x > 0, 2.5), ((3, 3),), one(), apart),
    Case(
        "masked_fill tensor",
        lambda m, x, v: x.masked_fill(m.tensor([True, False, True]), v),
        ((3, 3), ()),
        among(((1,), ())),
    ),
    Case("masked_fill_", lambda m, x: (x * 2).masked_fill_(x > 0, 2.5), ((3, 3),), one(), apart),
    Case(
        "masked_scatter",
        lambda m, x, v: m.masked_scatter(x, m.tensor([True, False, True]), v),
        SQUARES,
        among(((3,), (2,))),
    ),
    Case("masked_scatter_", lambda m, x, v: (x * 2).masked_scatter_(m.tensor([[True], [False], [True]]), v), SQUARES),
]

PLACES = PICK + WRITE

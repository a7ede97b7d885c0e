"""Rows of the table: axes in other orders, joining, splitting, repeating, broadcasting, padding, triangles."""

from __future__ import annotations

from tests.ops.case import Case, among, one

ROWS = one(1, 3, 1)
PLANES = one(2, 3, 1)
F = "nn.functional"


def weighted(parts):
    """Several results as one, each with a weight of its own, so that none may stand for another."""
    return sum(part.sum() * (i + 1) + (part**2).sum() for i, part in enumerate(parts))


AXES = [
    Case("unflatten", lambda m, x: m.unflatten(x, 1, (2, -1)), ((2, 4),), among(((3, 4),), ((0, 4),), ((2, 2, 3),))),
    Case("unflatten method", lambda m, x: x.unflatten(-1, (-1, 2)), ((2, 4),), among(((3, 4),), ((4,),), ((2, 3, 2),))),
    Case("ravel", lambda m, x: m.ravel(x), shapes=one()),
    Case("view_as", lambda m, x: x.clone().view_as(m.zeros(2, 2)), ((4,),), among(((4,),), ((2, 1, 2),))),
    Case("reshape_as", lambda m, x: x.reshape_as(m.zeros(4)), ((2, 2),), among(((4,),), ((2, 1, 2),))),
    Case("squeeze dims", lambda m, x: m.squeeze(x, (0, -1)), ((1, 3, 1),), one(2)),
    Case("swapaxes", lambda m, x: m.swapaxes(x, 0, -1), shapes=one(1)),
    Case("swapdims", lambda m, x: x.swapdims(1, 0), shapes=one(2)),
    Case("movedim", lambda m, x: m.movedim(x, 0, -1), ((2, 2, 2),), one(1)),
    Case("movedim several", lambda m, x: x.moveaxis((0, 1), (-1, 0)), ((2, 2, 2),), one(2)),
    Case("t", lambda m, x: m.t(x), shapes=one(0, 2)),
    Case("H", lambda m, x: x.H, shapes=one(2, 2)),
    Case("adjoint", lambda m, x: m.adjoint(x), shapes=one(2)),
    Case("mH", lambda m, x: x.mH, shapes=one(2)),
    Case("atleast_1d", lambda m, x: m.atleast_1d(x), shapes=one()),
    Case("atleast_2d", lambda m, x: m.atleast_2d(x), shapes=one()),
    Case("atleast_3d", lambda m, x: m.atleast_3d(x), shapes=one()),
    Case("squeeze_", lambda m, x: (x * 2).squeeze_(0) * 3, ((1, 3),), one(1)),
    Case("unsqueeze_", lambda m, x: (x * 2).unsqueeze_(0) * 3, shapes=one()),
    Case("transpose_", lambda m, x: (x * 2).transpose_(0, -1) * 3, shapes=one(1)),
    Case("t_", lambda m, x: (x * 2).t_() * 3, shapes=one(0, 2)),
]

JOIN = [
    Case("cat skips (0,)", lambda m, x: m.cat([m.zeros(0, dtype=x.dtype), x]), ((2, 3),), one(1)),
    Case("cat promotes", lambda m, x: m.concat([x, m.arange(6).reshape(2, 3)], 0) * 1, ((2, 3),)),
    Case("concatenate axis", lambda m, x: m.concatenate((x, x * 3), axis=-1), shapes=one(1)),
    Case(
        "hstack",
        lambda m, a, b: m.hstack([a, b * 2]),
        ((3, 3), (3, 3)),
        among(((2,), (3,)), ((), ()), ((2, 1), (2, 3))),
    ),
    Case(
        "vstack",
        lambda m, a, b: m.vstack([a, b * 2]),
        ((3, 3), (3, 3)),
        among(((2,), (2,)), ((), ()), ((2, 1), (3, 1))),
    ),
    Case(
        "dstack",
        lambda m, a, b: m.dstack([a, b * 2]),
        ((3, 3), (3, 3)),
        among(((2,), (2,)), ((), ()), ((2, 1), (2, 1))),
    ),
    Case(
        "column_stack",
        lambda m, a, b: m.column_stack([a, b]),
        ((3,), (3, 3)),
        among(((2,), (2,)), ((), ()), ((2,), (2, 3))),
    ),
    Case("block_diag", lambda m, a, b: m.block_diag(a, b), ((2, 2), (1, 3)), among(((2,), (2, 1)), ((), (1, 2)))),
]

SPLIT = [
    Case("split", lambda m, x: weighted(m.split(x, 2)), ((3, 2),), one(1)),
    Case("split sizes", lambda m, x: weighted(x.split([1, 0, 2], -1)), ((2, 3),), among(((3,),), ((0, 3),))),
    Case("split, one used", lambda m, x: x.split(1)[1] * 2, ((3, 3),), among(((2,),), ((3, 1),))),
    Case("split_with_sizes", lambda m, x: weighted(x.split_with_sizes([1, 2], 0)), ((3, 2),)),
    Case("chunk", lambda m, x: weighted(m.chunk(x, 2, -1)), ((2, 3),), one(1)),
    Case("tensor_split", lambda m, x: weighted(m.tensor_split(x, 3)), ((4, 2),), one(1)),
    Case("tensor_split at", lambda m, x: weighted(x.tensor_split((1, 3), -1)), ((2, 4),), one(1)),
    Case("tensor_split overlapping", lambda m, x: weighted(m.tensor_split(x, (2, 1))), ((4, 2),), one(1)),
    Case("hsplit", lambda m, x: weighted(m.hsplit(x, 2)), ((2, 4),), among(((4,),), ((3, 2),))),
    Case(
        "vsplit",
        lambda m, x: weighted(m.vsplit(x, [1])),
        ((2, 4),),
        among(
            ((3, 2),),
        ),
    ),
    Case("dsplit", lambda m, x: weighted(m.dsplit(x, 2)), ((1, 2, 4),)),
    Case("unbind", lambda m, x: weighted(m.unbind(x)), ((3, 3),), one(1, 3, 1)),
    Case("unbind, one used", lambda m, x: x.unbind(-1)[-1] * 2, ((3, 3),), one(1, 3, 1)),
    Case("unbind of one", lambda m, x: x.unbind(0)[0] * 2, ((1, 3),), among(((1,),), ((1, 2, 2),))),
    Case("select", lambda m, x: m.select(x, -1, -1), ((3, 3),), ROWS),
    Case("unfold of an axis", lambda m, x: x.unfold(0, 2, 1), ((4, 2),), among(((2,),), ((3, 0),), ((4, 1, 2),))),
    Case("unfold step", lambda m, x: x.unfold(-1, 2, 3), ((2, 5),), among(((6,),), ((1, 4),))),
]

REPEAT = [
    Case("broadcast_to", lambda m, x: m.broadcast_to(x, (2, 3, 3)), ((3, 1),), among(((3,),), ((1, 1),), ((),))),
    Case(
        "broadcast_tensors",
        lambda m, a, b: m.broadcast_tensors(a, b)[0] * b,
        ((3, 1), (3,)),
        among(
            ((), (2,)),
        ),
    ),
    Case(
        "meshgrid",
        lambda m, a, b: m.meshgrid(a, b, indexing="ij")[1] * a[0],
        ((3,), (3,)),
        among(
            ((2,), (0,)),
        ),
    ),
    Case(
        "meshgrid xy",
        lambda m, a, b: weighted(m.meshgrid(a, b, indexing="xy")),
        ((3,), (2,)),
        among(
            ((2,), ()),
        ),
    ),
    Case(
        "cartesian_prod",
        lambda m, a, b: m.cartesian_prod(a, b),
        ((3,), (2,)),
        among(
            ((0,), (2,)),
        ),
    ),
    Case("combinations", lambda m, x: m.combinations(x, 2), ((4,),), one(1, 1)),
    Case("combinations repeated", lambda m, x: m.combinations(x, 3, with_replacement=True), ((2,),), one(1, 1)),
    Case("repeat", lambda m, x: x.repeat(2, 1, 3), ((2, 2),), one(0, 3)),
    Case("repeat none", lambda m, x: x.repeat(0, 2), ((2, 2),), one(0, 2)),
    Case("tile", lambda m, x: m.tile(x, (2, 2)), ((2, 2),), one()),
    Case("tile method", lambda m, x: x.tile(3), ((2, 2),), one()),
    Case("repeat_interleave", lambda m, x: m.repeat_interleave(x, 2), ((2, 2),), one()),
    Case("repeat_interleave dim", lambda m, x: x.repeat_interleave(3, dim=-1), ((2, 2),), one(1)),
    Case("repeat_interleave each", lambda m, x: m.repeat_interleave(x, m.tensor([2, 0, 1]), 0), ((3, 3),)),
    Case("roll", lambda m, x: m.roll(x, 2), ((3, 3),), one()),
    Case("roll dims", lambda m, x: x.roll((1, -1), (0, 1)), ((3, 3),), one(2)),
    Case("flip", lambda m, x: m.flip(x, (0,)), ((3, 3),), one(1)),
    Case("flip method", lambda m, x: x.flip(0, -1), ((3, 3),), one(2)),
    Case("fliplr", lambda m, x: m.fliplr(x), ((3, 3),), one(2)),
    Case("flipud", lambda m, x: m.flipud(x), ((3, 3),), one(1)),
    *[Case(f"rot90 {k}", lambda m, x, k=k: m.rot90(x, k), ((3, 3),), one(2)) for k in (0, 1, 2, 3)],
    Case("rot90 dims", lambda m, x: x.rot90(-1, (2, 0)), ((2, 2, 2),), one(3)),
]


def padded(*arguments, **options):
    return lambda m, x: m.nn.functional.pad(x, *arguments, **options)


PAD = [
    Case("pad", padded((1, 2)), ((3, 3),), one(1)),
    Case("pad two axes", padded((1, 0, 2, 3), value=0.5), ((3, 3),), one(2)),
    Case("pad and cut", padded((-1, 2, 1, -1)), ((3, 3),), among(((2, 2),), ((4, 1, 1),)), theirs=None),
    Case("pad reflect", padded((2, 1), mode="reflect"), ((2, 3),), among(((1, 4),), ((2, 1, 3),))),
    Case("pad reflect 2d", padded((1, 2, 2, 0), mode="reflect"), ((1, 3, 3),), among(((2, 1, 3, 3),))),
    Case("pad replicate", padded((2, 1), "replicate"), ((2, 3),), among(((1, 1),), ((2, 1, 3),))),
    Case("pad replicate 3d", padded((1, 0, 0, 2, 1, 1), "replicate"), ((1, 2, 2, 2),)),
    Case("pad circular", padded((2, 1), "circular"), ((2, 3),), among(((1, 2),), ((2, 1, 3),))),
    Case("pad circular, cut", padded((-1, 2), "circular"), ((2, 4),), among(((2, 1, 3),))),
]

TRIANGLE = [
    Case("tril", lambda m, x: m.tril(x), ((3, 3),), one(2)),
    Case("tril 1", lambda m, x: x.tril(1), ((3, 3),), one(2)),
    Case("triu", lambda m, x: m.triu(x), ((3, 3),), one(2)),
    Case("triu -1", lambda m, x: x.triu(diagonal=-1), ((3, 3),), one(2)),
    Case("tril_", lambda m, x: (x * 2).tril_(), ((3, 3),), one(2)),
    Case("triu_", lambda m, x: (x * 2).triu_(1), ((3, 3),), one(2)),
    Case("diagonal", lambda m, x: m.diagonal(x), ((3, 3),), one(2)),
    Case("diagonal dims", lambda m, x: x.diagonal(1, -1, 0), ((2, 2, 2),), one(2)),
    Case("diag_embed", lambda m, x: m.diag_embed(x), ((3, 2),), one(1)),
    Case("diag_embed dims", lambda m, x: x.diag_embed(1, -1, 0), ((2, 2),), one(1)),
    Case("diag of a row", lambda m, x: m.diag(x, 1), ((3,),), one(1, 1)),
    Case("diag of a matrix", lambda m, x: m.diag(x, -1), ((3, 3),), one(2, 2)),
    Case("diagflat", lambda m, x: m.diagflat(x, -1), ((2, 2),), one()),
    Case(
        "fill_diagonal_", lambda m, x: (x * 2).fill_diagonal_(0.5), ((3, 3),), among(((2, 4),), ((2, 2, 2),), ((7, 2),))
    ),
    Case("fill_diagonal_ wrap", lambda m, x: (x * 2).fill_diagonal_(0.5, wrap=True), ((7, 2),), among(((2, 4),))),
]

PARTS = AXES + JOIN + SPLIT + REPEAT + PAD + TRIANGLE

UNDIFFERENTIABLE_PARTS = [
    ("bool tril", lambda m, a, b: (a > 0).tril()),
    ("integer triu", lambda m, a, b: a.long().triu()),
    ("view as int32", lambda m, a, b: a.detach().clone().view(m.int32)),
    ("view as int16", lambda m, a, b: a.detach().clone().view(m.int16)),
    ("one_hot", lambda m, a, b: m.nn.functional.one_hot((b + 2).long())),
    ("one_hot classes", lambda m, a, b: m.nn.functional.one_hot((b + 2).long(), num_classes=7)),
    ("nonzero", lambda m, a, b: m.nonzero(a)),
    ("nonzero as_tuple", lambda m, a, b: a.nonzero(as_tuple=True)[1]),
    ("nonzero of a scalar", lambda m, a, b: a[0, 0].nonzero()),
    ("argwhere", lambda m, a, b: a.argwhere()),
    ("repeat_interleave of counts", lambda m, a, b: m.repeat_interleave((b[0] + 2).long())),
]

"""Rows of the table: products of matrices, einsum, linear systems."""

from __future__ import annotations

import numpy as np

from tests.ops.case import Case, among

TWO = ((3, 3), (3, 3))
BATCH = ((2, 3, 3), (2, 3, 3))


def regular(draw: np.random.Generator, shape: tuple[int, ...], which: int) -> np.ndarray:
    """Matrices far from singular."""
    made = np.asarray(draw.standard_normal(shape))
    return made + 4 * np.eye(shape[-1]) if len(shape) > 1 and shape[-1] == shape[-2] else made


def einsum(equation: str, *shapes: tuple[int, ...]) -> Case:
    return Case(f"einsum {equation} {shapes}", lambda m, *xs: m.einsum(equation, *xs), shapes)


def symmetric(m, a):
    return a @ a.mT + m.eye(a.shape[-1], dtype=a.dtype)


PRODUCTS = [
    Case("mm", lambda m, a, b: m.mm(a, b), TWO, among(((2, 3), (3, 4)), ((0, 3), (3, 2)), ((2, 0), (0, 2)))),
    Case("mm method", lambda m, a, b: a.mm(b), TWO),
    Case("bmm", lambda m, a, b: m.bmm(a, b), BATCH, among(((2, 3, 1), (2, 1, 4)), ((0, 2, 3), (0, 3, 1)))),
    Case("mv", lambda m, a, b: a.mv(b), ((3, 3), (3,)), among(((2, 3), (3,)), ((0, 2), (2,)))),
    Case("dot", lambda m, a, b: m.dot(a, b), ((3,), (3,)), among(((4,), (4,)), ((0,), (0,)))),
    Case("inner", lambda m, a, b: m.inner(a, b), TWO,
         among(((2, 3), (4, 3)), ((3,), (3,)), ((), (2, 3)), ((2, 3), ()))),
    Case("outer", lambda m, a, b: m.outer(a, b), ((3,), (3,)), among(((2,), (4,)), ((0,), (2,)))),
    Case("tensordot", lambda m, a, b: m.tensordot(a, b, 1), TWO, among(((2, 3, 4), (4, 2)), ((3,), (3,)))),
    Case("tensordot 0", lambda m, a, b: m.tensordot(a, b, 0), TWO, among(((2,), (3, 4)), ((), (2,)))),
    Case("tensordot lists", lambda m, a, b: m.tensordot(a, b, ([1, 0], [0, 2])), ((3, 3), (3, 2, 3)),
         among(((2, 4, 3), (4, 5, 2)))),
    Case("addmm", lambda m, c, a, b: m.addmm(c, a, b, beta=0.5, alpha=3), ((3, 3), *TWO),
         among(((4,), (2, 3), (3, 4)))),
    *[
        Case(f"{name}_", lambda m, c, *ab, name=name: getattr(c * 1, f"{name}_")(*ab, beta=0.5, alpha=2), (to, *given))
        for name, to, given in (
            ("addmm", (3, 3), TWO),
            ("addmv", (3,), ((3, 3), (3,))),
            ("addr", (3, 3), ((3,), (3,))),
            ("addbmm", (3, 3), BATCH),
            ("baddbmm", (2, 3, 3), BATCH),
        )
    ],
    Case("addmm beta 0", lambda m, c, a, b: m.addmm(c, a, b, beta=0), ((3, 3), *TWO)),
    Case("addmv", lambda m, c, a, b: c.addmv(a, b, alpha=2), ((3,), (3, 3), (3,)), among(((1,), (2, 3), (3,)))),
    Case("addr", lambda m, c, a, b: m.addr(c, a, b, beta=2), ((3, 3), (3,), (3,)), among(((4,), (2,), (4,)))),
    Case("baddbmm", lambda m, c, a, b: m.baddbmm(c, a, b, beta=0.5, alpha=2), ((2, 3, 3), *BATCH),
         among(((1, 4), (2, 3, 2), (2, 2, 4)))),
    Case("addbmm", lambda m, c, a, b: m.addbmm(c, a, b), ((3, 3), *BATCH), among(((4,), (2, 3, 2), (2, 2, 4)))),
    Case("kron", lambda m, a, b: m.kron(a, b), ((2, 2), (2, 2)), among(((2, 3), (3, 1)), ((2,), (2, 3)), ((), (3,)))),
    Case("multi_dot", lambda m, a, b, c: m.linalg.multi_dot([a, b, c]), ((2, 2), (2, 2), (2, 2)),
         among(((2, 5), (5, 1), (1, 4)), ((3,), (3, 4), (4, 2)), ((2, 3), (3, 4), (4,)), ((3,), (3, 4), (4,)))),
    *[Case(f"matrix_power {n}", lambda m, a, n=n: m.linalg.matrix_power(a, n), ((3, 3),),
           among(((2, 3, 3),), ((1, 1),)), values=regular) for n in (1, 2, 5, -1, -3)],
]  # fmt: skip

EINSUM = [
    einsum("ij,jk->ik", (3, 3), (3, 3)),
    einsum("ij,jk", (2, 3), (3, 4)),
    einsum("bij,bjk->bik", (2, 3, 3), (2, 3, 3)),
    einsum("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 2, 4)),
    einsum("ij->ji", (3, 3)),
    einsum("ij->", (3, 3)),
    einsum("ii->i", (3, 3)),
    einsum("ii", (3, 3)),
    einsum("iij->j", (2, 2, 3)),
    einsum("i,j->ij", (3,), (2,)),
    einsum("i,i->", (3,), (3,)),
    einsum("i,->i", (3,), ()),
    einsum("ij,ij->ij", (3, 3), (3, 3)),
    einsum("ijk,k->j", (2, 3, 4), (4,)),
    einsum("...ij,...jk->...ik", (2, 1, 3, 3), (4, 3, 3)),
    einsum("...i->...", (2, 3)),
    einsum("i...,i...->i", (2, 3, 2), (2, 1, 2)),
    einsum("i...,i...->...", (2, 3), (2, 1)),
    einsum("bi,bj,bk->bijk", (2, 2), (2, 2), (2, 2)),
    einsum("ij,jk,kl->il", (2, 2), (2, 2), (2, 2)),
    einsum("ij,kj->i", (2, 3), (4, 3)),
    einsum("ij,ij->i", (1, 3), (2, 3)),
    einsum("aab,bcc->a", (2, 2, 3), (3, 2, 2)),
    Case("einsum numbers", lambda m, a, b: m.einsum(a, [0, 1], b, [1, 2], [2, 0]), ((2, 3), (3, 4))),
    Case("einsum numbers, implicit", lambda m, a, b: m.einsum(a, [..., 1], b, [1, 2]), ((2, 3), (3, 4))),
    Case("einsum list", lambda m, a, b: m.einsum("ij,jk->ik", [a, b]), ((2, 3), (3, 4))),
]

SOLVE = [
    Case("inv", lambda m, a: m.linalg.inv(a), ((3, 3),), among(((2, 2, 2),), ((0, 0),), ((1, 1),)), values=regular),
    Case("inverse", lambda m, a: a.inverse(), ((2, 3, 3),), values=regular),
    Case("det", lambda m, a: m.linalg.det(a), ((3, 3),), among(((2, 2, 2),), ((1, 1),)), values=regular),
    Case("det singular", lambda m, a: m.det(a * m.tensor([[1.0, 1.0, 0.0]], dtype=a.dtype)), ((3, 3),)),
    Case("slogdet", lambda m, a: m.linalg.slogdet(a)[1], ((3, 3),), among(((2, 2, 2),)), values=regular),
    Case("logdet", lambda m, a: m.logdet(symmetric(m, a)), ((3, 3),)),
    Case("solve", lambda m, a, b: m.linalg.solve(a, b), ((3, 3), (3, 3)),
         among(((2, 2), (2,)), ((2, 3, 3), (2, 3, 1)), ((2, 2), (4, 2, 3))), values=regular),
    Case("solve right", lambda m, a, b: m.linalg.solve(a, b, left=False), ((3, 3), (3, 3)),
         among(((2, 2), (1, 2)),), values=regular),
    Case("cholesky", lambda m, a: m.linalg.cholesky(symmetric(m, a)), ((3, 3),), among(((2, 2, 2),))),
    Case("cholesky upper", lambda m, a: m.linalg.cholesky(symmetric(m, a), upper=True), ((3, 3),)),
    Case("trace", lambda m, a: m.trace(a), ((3, 3),), among(((2, 4),), ((0, 2),))),
    Case("cross", lambda m, a, b: m.linalg.cross(a, b, dim=0), TWO, among(((3,), (3,)), ((3, 4), (3, 1)))),
    Case("vecdot", lambda m, a, b: m.linalg.vecdot(a, b, dim=0), TWO, among(((2, 3), (2, 1)))),
]  # fmt: skip

LINALG = PRODUCTS + EINSUM + SOLVE

"""Rows of the table: decompositions and what is made of them.

The examples have singular values and eigenvalues far apart, and the rows look at what no sign of a vector changes.
"""

from __future__ import annotations

import numpy as np

from tests.ops.case import Case, among
from tests.ops.cases_linalg import regular, symmetric

TALL, SQUARE, WIDE = ((4, 3),), ((3, 3),), ((3, 4),)


def apart(draw: np.random.Generator, shape: tuple[int, ...], which: int) -> np.ndarray:
    """Matrices with singular values near 1, 2, 3 …"""
    u, _, vt = np.linalg.svd(draw.standard_normal(shape), full_matrices=False)
    k = min(shape[-2:])
    return np.asarray((u * (np.arange(k, 0, -1.0) + draw.uniform(0, 0.3, k))) @ vt)


def lopsided(m, x):
    """Numbers 1, 2, … in x's shape: as weights they tell every element from the others."""
    return m.arange(1, x.shape[-1] * x.shape[-2] + 1, dtype=x.dtype).reshape(x.shape[-2:])


def rebuilt(m, a):
    """U f(S) Vᵀ, for a function f that is not the identity."""
    u, s, vh = m.linalg.svd(a, full_matrices=False)
    return (u * s.sqrt().unsqueeze(-2)) @ vh


def projections(m, a):
    """The squares of U's and V's elements, weighted: their signs do not matter."""
    u, _, v = m.svd(a)
    return (u * u * lopsided(m, u)).sum((-2, -1)) + (v**4 * lopsided(m, v)).sum((-2, -1))


def spectral(m, a, **options):
    values, vectors = m.linalg.eigh(symmetric(m, a), **options)
    return (vectors * values.log().unsqueeze(-2)) @ vectors.mT


def pairs(m, a):
    return m.linalg.eigh(symmetric(m, a)).eigenvectors ** 2 * lopsided(m, a)


def matrix(name, run, example=SQUARE, *others, values=apart, **options):
    return Case(name, run, example, among(*others) if others else None, values=values, **options)


def condition(p):
    """PyTorch's overwrites in place what its own gradient needs."""
    return lambda m, a: m.linalg.matrix_norm(a, p) * m.linalg.matrix_norm(m.linalg.inv(a), p)


def triangular(**options):
    return lambda m, a, b: m.linalg.solve_triangular(a, b, **options)


DECOMPOSED = [
    matrix("qr Q", lambda m, a: m.linalg.qr(a).Q, TALL, ((2, 3, 2),), ((3, 3),)),
    matrix("qr R", lambda m, a: m.linalg.qr(a)[1], TALL, ((2, 3, 3),), ((0, 3),)),
    matrix("qr both", lambda m, a: m.cat(m.linalg.qr(a)), SQUARE),
    matrix("qr wide", lambda m, a: m.cat(m.linalg.qr(a), -1), WIDE, ((2, 2, 3),)),
    matrix("qr complete", lambda m, a: m.cat(m.linalg.qr(a, "complete")), SQUARE),
    matrix("qr r", lambda m, a: m.linalg.qr(a, "r")[1], TALL,
           theirs=lambda m, a: m.linalg.qr(a)[1]),  # PyTorch's has no gradient
    *[matrix(f"svd rebuilt {shape}", rebuilt, (shape,)) for shape in ((4, 3), (3, 3), (3, 4), (2, 3, 2))],
    *[matrix(f"svd vectors {shape}", projections, (shape,)) for shape in ((4, 3), (3, 3), (3, 4))],
    matrix("svd full", lambda m, a: m.linalg.svd(a).U[..., :2] ** 2 * m.linalg.svd(a).S, ((4, 2),)),
    matrix("svdvals", lambda m, a: m.linalg.svdvals(a), TALL, ((2, 3, 4),), ((0, 2),)),
    matrix("eigh rebuilt", spectral, SQUARE, ((2, 2, 2),)),
    matrix("eigh rebuilt, upper", lambda m, a: spectral(m, a, UPLO="U"), SQUARE),
    matrix("eigh vectors", pairs, SQUARE),
    matrix("eigvalsh", lambda m, a: m.linalg.eigvalsh(symmetric(m, a)), SQUARE, ((2, 2, 2),)),
]  # fmt: skip

USES = [
    matrix("pinv", lambda m, a: m.linalg.pinv(a), SQUARE, ((4, 2),), ((2, 2, 4),), ((0, 3),)),
    matrix("pinv tall", lambda m, a: m.linalg.pinv(a), TALL),
    matrix("pinv wide", lambda m, a: m.linalg.pinv(a), WIDE),
    matrix("pinv atol", lambda m, a: a.pinverse() + m.linalg.pinv(a, atol=0.1).mT.mT, TALL),
    Case("lstsq", lambda m, a, b: m.linalg.lstsq(a, b).solution, ((4, 3), (4, 2)),
         among(((2, 3), (2, 2)), ((4, 2), (4,)), ((2, 4, 2), (2, 4))), values=(apart, regular)),
    *[
        Case(f"solve_triangular {options}", triangular(**options), ((3, 3), (3, 3)), among(shapes), values=regular)
        for options, shapes in (
            ({"upper": True}, ((2, 2, 2), (2, 2, 1))),
            ({"upper": False}, ((2, 2), (4, 2, 3))),
            ({"upper": True, "left": False}, ((2, 2), (1, 2))),
            ({"upper": False, "unitriangular": True}, ((2, 2), (2, 1))),
        )
    ],
    *[matrix(f"cond {p}", lambda m, a, p=p: m.linalg.cond(a, p), SQUARE, ((2, 2, 2),)) for p in (None, -2, "nuc")],
    *[matrix(f"cond {p}", lambda m, a, p=p: m.linalg.cond(a, p), SQUARE, ((2, 2, 2),), theirs=condition(p))
      for p in (1, "fro")],
    *[matrix(f"matrix_norm {p}", lambda m, a, p=p: m.linalg.matrix_norm(a, p), TALL, ((2, 2, 3),))
      for p in ("nuc", 2, -2)],
    matrix("matrix_norm nuc, other axes", lambda m, a: m.linalg.matrix_norm(a, "nuc", (2, 0), True), ((2, 2, 3),)),
    matrix("norm nuc", lambda m, a: m.norm(a, "nuc"), SQUARE),
    Case("linalg.vander", lambda m, x: m.linalg.vander(x, N=4), ((3,),), among(((2, 3),), ((0,),))),
    Case("tensorinv", lambda m, a: m.linalg.tensorinv(a.reshape(2, 3, 6)), ((6, 6),), values=regular),
    Case("tensorsolve", lambda m, a, b: m.linalg.tensorsolve(a.reshape(2, 3, 6), b), ((6, 6), (2, 3)), values=regular),
    Case("tensorsolve dims", lambda m, a, b: m.linalg.tensorsolve(a.reshape(6, 2, 3), b, dims=(0,)), ((6, 6), (2, 3)),
         values=regular),
]  # fmt: skip

DECOMPOSITIONS = DECOMPOSED + USES

RANKS = [
    ("matrix_rank", lambda m, a, b: m.linalg.matrix_rank(a)),
    ("matrix_rank tol", lambda m, a, b: m.linalg.matrix_rank(b, 1.0)),
    ("matrix_rank atol", lambda m, a, b: m.linalg.matrix_rank(m.stack([a, b]), atol=0.5)),
    ("matrix_rank rtol", lambda m, a, b: m.linalg.matrix_rank(b, atol=0.1, rtol=0.3)),
]

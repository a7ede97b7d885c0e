"""Bad inputs: decompositions of matrices, and what is made of them."""

from __future__ import annotations

import math

from minipar.linalg import LinAlgError
from tests.refusals.refusal import Refusal


def refused(of, why, call, error, *says):
    return Refusal(f"linalg.{of}", why, lambda m: call(m.linalg, m.ones(2, 3)), error, says)


def vector(of):
    return refused(
        of, "a vector", lambda L, x: getattr(L, of)(x[0]), RuntimeError, f"{of}: ", r"\(…, m, n\)", r"\(3,\)"
    )


DECOMPOSITIONS = [
    *[vector(of) for of in ("qr", "svd", "pinv", "matrix_rank", "cond")],
    refused("lstsq", "a vector", lambda L, x: L.lstsq(x[0], x[0]), RuntimeError, "lstsq: input", r"\(3,\)"),
    refused("svdvals", "a vector", lambda L, x: L.svdvals(x[0]), RuntimeError, "svd: A", r"\(3,\)"),
    refused("qr", "mode", lambda L, x: L.qr(x, "raw"), RuntimeError, "mode must be", "'raw'"),
    refused("qr", "no gradient", lambda L, x: L.qr(x.mT.requires_grad_(), "complete").Q.sum().backward(), RuntimeError,
            "mode='complete' has no gradient", "reduced"),
    refused("qr", "float16", lambda L, x: L.qr(x.half()), RuntimeError, "float32 or float64", "float16"),
    refused("svd", "integers", lambda L, x: L.svd(x.long()), RuntimeError, "floating-point", "int64"),
    refused("svd", "driver", lambda L, x: L.svd(x, driver="gesvd"), NotImplementedError, "driver='gesvd'"),
    refused("svd", "NaN", lambda L, x: L.svd(x * math.nan), LinAlgError, "no convergence", "NaN"),
    refused("eigh", "shape", lambda L, x: L.eigh(x), RuntimeError, "square", r"\(2, 3\)"),
    refused("eigh", "UPLO", lambda L, x: L.eigh(x @ x.mT, "M"), ValueError, "UPLO must be", "'M'"),
    refused("eigvalsh", "shape", lambda L, x: L.eigvalsh(x), RuntimeError, "square", r"\(2, 3\)"),
    refused("pinv", "hermitian", lambda L, x: L.pinv(x, hermitian=True), NotImplementedError, "hermitian=True"),
    refused("matrix_rank", "hermitian", lambda L, x: L.matrix_rank(x, hermitian=True), NotImplementedError,
            "hermitian"),
    refused("cond", "shape", lambda L, x: L.cond(x, 1), RuntimeError, "cond: ", "square", r"\(2, 3\)"),
    refused("lstsq", "rows", lambda L, x: L.lstsq(x, x.mT), RuntimeError, "as many rows", r"\(3, 2\)"),
    refused("lstsq", "driver", lambda L, x: L.lstsq(x, x, driver="gelsd"), NotImplementedError, "driver='gelsd'"),
    refused("solve_triangular", "square", lambda L, x: L.solve_triangular(x, x, upper=True), RuntimeError, "square"),
    refused("solve_triangular", "shape of B", lambda L, x: L.solve_triangular(x @ x.mT, x.mT, upper=True), RuntimeError,
            "B of shape", r"\(3, 2\)"),
    refused("solve_triangular", "singular", lambda L, x: L.solve_triangular(0 * x[:, :2], x, upper=True), LinAlgError,
            "singular"),
    refused("tensorsolve", "square", lambda L, x: L.tensorsolve(x, x), RuntimeError, "square system", r"\(2, 3\)"),
    refused("tensorinv", "square", lambda L, x: L.tensorinv(x, 1), RuntimeError, "as many entries", "ind=1"),
    refused("tensorinv", "ind", lambda L, x: L.tensorinv(x, 0), RuntimeError, "ind must be positive", "0"),
    refused("vander", "N", lambda L, x: L.vander(x, N=1), RuntimeError, "N must be 2 or more", "1"),
    Refusal("svd", "compute_uv", lambda m: m.svd(m.ones(2, 2), compute_uv=False), NotImplementedError, ("compute_uv",)),
    Refusal("svd", "a vector", lambda m: m.svd(m.ones(2)), RuntimeError, ("svd: ", r"\(2,\)")),
    Refusal("pinverse", "a vector", lambda m: m.pinverse(m.ones(2)), RuntimeError, ("pinv: ", r"\(2,\)")),
]  # fmt: skip

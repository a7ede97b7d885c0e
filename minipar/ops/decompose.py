"""Decompositions of matrices (…, m, n): QR, singular values, eigenvalues of symmetric ones.

Each vjp decomposes the saved matrix again, so that the second derivative needs no further rule. Where two singular
values, or two eigenvalues, are equal, their vectors are not unique and have no gradient: infinities, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

from ..backend import dtypes, namespace
from .accepts import rank
from .join import cat
from .linalg import matmul
from .named import Named
from .op import Op, array_of, check_dtypes
from .shape import narrow, transpose, unsqueeze
from .solve import LinAlgError, Solve, check_square, identity_like
from .triangle import diag_embed, diagonal, tril


class QR(Named):
    Q: Any
    R: Any


class SVD(Named):
    U: Any
    S: Any
    Vh: Any


class LegacySVD(Named):
    U: Any
    S: Any
    V: Any


class Eigh(Named):
    eigenvalues: Any
    eigenvectors: Any


class Orthogonal(Op):
    """A = Q R of m ≥ n; ∂A = (∂Q + Q C) R⁻ᵀ, C symmetric with the lower triangle of R ∂Rᵀ − ∂Qᵀ Q

    M. Seeger et al., "Auto-differentiating linear algebra", 2017.
    """

    __slots__ = ("mode",)
    saves = (0,)
    outputs = 2

    def __init__(self, mode):
        self.mode = mode

    def forward(self, a):
        return tuple(namespace(a).linalg.qr(a, self.mode))

    def vjp(self, g, a):
        rows, columns = a.shape[-2:]
        if self.mode == "complete" and rows > columns:
            raise RuntimeError(
                f"qr: mode='complete' has no gradient for more rows than columns, shape {tuple(a.shape)}: what "
                "completes Q is not unique; use 'reduced'"
            )
        q, r = Orthogonal("reduced")(a)
        of_q, of_r = g
        inner = None if of_r is None else matmul(r, _t(of_r))
        if of_q is not None:
            from_q = matmul(_t(of_q), q)
            inner = -from_q if inner is None else inner - from_q
        below = tril(inner, -1)
        out = matmul(q, below + _t(below) + diag_embed(diagonal(inner, 0, -2, -1)))
        return _t(Solve()(r, _t(out if of_q is None else out + of_q)))


class Singular(Op):
    """A = U S Vᵀ. With Fᵢⱼ = 1/(sⱼ² − sᵢ²), 0 on the diagonal, the gradients of U, S and V are summed to

        ∂A = [U F∘(Uᵀ∂U − ∂Uᵀ U) S + (1 − U Uᵀ) ∂U S⁻¹] Vᵀ + U ∂S Vᵀ + U [S F∘(Vᵀ∂V − ∂Vᵀ V) Vᵀ + S⁻¹ ∂Vᵀ (1 − V Vᵀ)]

    J. Townsend, "Differentiating the singular value decomposition", 2016. With `full`, what completes U or V to a
    square is not unique, and its gradient is left out, as in PyTorch.
    """

    __slots__ = ("full",)
    saves = (0,)
    outputs = 3

    def __init__(self, full):
        self.full = full

    def forward(self, a):
        return tuple(namespace(a).linalg.svd(a, full_matrices=self.full))

    def vjp(self, g, a):
        u, s, vt = Singular(False)(a)
        of_u, of_s, of_vt = g
        row, column = unsqueeze(s, -2), unsqueeze(s, -1)
        core = None if of_s is None else diag_embed(of_s)
        with dtypes.quiet():
            f = _reciprocal_gaps(s * s)
            out = None
            if of_u is not None:
                of_u = narrow(of_u, -1, 0, s.shape[-1])
                core = _added(core, f * _skew(matmul(_t(u), of_u)) * row)
                rest = (of_u - matmul(u, matmul(_t(u), of_u))) / row
                out = matmul(rest, vt)
            if of_vt is not None:
                of_vt = narrow(of_vt, -2, 0, s.shape[-1])
                core = _added(core, column * (f * _skew(matmul(vt, _t(of_vt)))))
                rest = (of_vt - matmul(matmul(of_vt, _t(vt)), vt)) / column
                out = _added(out, matmul(u, rest))
        return _added(out, matmul(u, matmul(core, vt)))


class Symmetric(Op):
    """A = V Λ Vᵀ; ∂A = V (∂Λ + F∘(Vᵀ ∂V)) Vᵀ made symmetric, with Fᵢⱼ = 1/(λⱼ − λᵢ), 0 on the diagonal

    Giles 2008, §3.1.
    """

    __slots__ = ("triangle",)
    saves = (0,)
    outputs = 2

    def __init__(self, triangle):
        self.triangle = triangle

    def forward(self, a):
        return tuple(namespace(a).linalg.eigh(a, UPLO=self.triangle))

    def vjp(self, g, a):
        values, vectors = Symmetric(self.triangle)(a)
        core = None if g[0] is None else diag_embed(g[0])
        if g[1] is not None:
            with dtypes.quiet():
                core = _added(core, _reciprocal_gaps(values) * matmul(_t(vectors), g[1]))
        whole = matmul(vectors, matmul(core, _t(vectors)))
        return (whole + _t(whole)) * 0.5


def _t(x: Any) -> Any:
    return transpose(x, -1, -2)


def _skew(x: Any) -> Any:
    return x - _t(x)


def _added(total: Any, x: Any) -> Any:
    return x if total is None else total + x


def _reciprocal_gaps(x: Any) -> Any:
    """Fᵢⱼ = 1/(xⱼ − xᵢ), 0 on the diagonal."""
    gaps = unsqueeze(x, -2) - unsqueeze(x, -1)
    eye = identity_like(gaps)
    return (1 - eye) / (gaps + eye)


def check_matrices(name: str, x: Any, argument: str) -> None:
    """RuntimeError unless x holds matrices (…, m, n) of float32 or float64, which LAPACK knows."""
    if rank(x) < 2:
        raise RuntimeError(f"{name}: {argument} must hold matrices (…, m, n), got shape {tuple(x.shape)}")
    check_dtypes(name, x)
    if x.dtype == dtypes.float16:
        raise RuntimeError(f"{name}: {argument} must be float32 or float64, not float16")


def _converging(name: str, op: Op, x: Any) -> Any:
    try:
        return op(x)
    except namespace(array_of(x)).linalg.LinAlgError:
        raise LinAlgError(f"{name}: no convergence, as where an element is infinite or NaN") from None


def qr(A: Any, mode: str = "reduced") -> QR:
    """A = Q R, Q with orthonormal columns and R upper triangular: (…, m, k), (…, k, n), k = min(m, n).

    With mode "complete" Q is square, (…, m, m), and has no gradient where m > n; with "r" it is left out: empty.
    RuntimeError for another mode, and for what is no matrix.

    >>> Q, R = minipar.linalg.qr(minipar.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> R.abs()
    tensor([[5. , 2.2],
            [0. , 0.4]])
    """
    check_matrices("qr", A, "A")
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr: mode must be 'reduced', 'complete' or 'r', not {mode!r}")
    rows, columns = A.shape[-2:]
    if rows >= columns:
        q, r = Orthogonal("complete" if mode == "complete" else "reduced")(A)
    else:  # the first columns decide Q
        q, left = Orthogonal("reduced")(narrow(A, -1, 0, rows))
        r = cat([left, matmul(_t(q), narrow(A, -1, rows, columns - rows))], -1)
    return QR(A.new_empty(0) if mode == "r" else q, r)


def svd(A: Any, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    """A = U diag(S) Vh, the singular values S (…, k) falling, k = min(m, n): U (…, m, m), Vh (…, n, n).

    Without `full_matrices` U is (…, m, k) and Vh (…, k, n). Signs of the vectors are arbitrary: gradients make sense
    for what does not depend on them. RuntimeError for what is no matrix; NotImplementedError for a `driver`.

    >>> U, S, Vh = minipar.linalg.svd(minipar.tensor([[3.0, 0.0], [0.0, 4.0]]))
    >>> S
    tensor([4., 3.])
    """
    check_matrices("svd", A, "A")
    if driver is not None:
        raise NotImplementedError(f"svd: driver={driver!r} is not supported; leave it out")
    return SVD(*_converging("svd", Singular(full_matrices), A))


def svdvals(A: Any, *, driver: str | None = None) -> Any:
    """The singular values of matrices (…, m, n), falling: (…, min(m, n)). NotImplementedError for a `driver`.

    >>> minipar.linalg.svdvals(minipar.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor([4., 3.])
    """
    return svd(A, False, driver=driver).S


def legacy_svd(input: Any, some: bool = True, compute_uv: bool = True) -> LegacySVD:
    """As `linalg.svd(input, full_matrices=not some)`, with V instead of its transpose. See there.

    NotImplementedError for compute_uv=False: use `linalg.svdvals`.

    >>> U, S, V = minipar.svd(minipar.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]))
    >>> U.shape, S.shape, V.shape
    ((3, 2), (2,), (2, 2))
    """
    if not compute_uv:
        raise NotImplementedError("svd: compute_uv=False is not supported; use linalg.svdvals")
    u, s, vh = svd(input, not some)
    return LegacySVD(u, s, _t(vh))


def eigh(input: Any, UPLO: str = "L") -> Eigh:
    """A = V diag(λ) Vᵀ of symmetric A (…, n, n): the eigenvalues (…, n), rising, and the vectors as V's columns.

    Only the lower triangle of A is read, the upper with UPLO = "U". RuntimeError for what is no square matrix,
    ValueError for another UPLO.

    >>> minipar.linalg.eigh(minipar.tensor([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
    tensor([1., 3.])
    """
    check_square("eigh", input)
    check_matrices("eigh", input, "input")
    if UPLO.upper() not in ("L", "U"):
        raise ValueError(f"eigh: UPLO must be 'L' or 'U', not {UPLO!r}")
    return Eigh(*_converging("eigh", Symmetric(UPLO.upper()), input))


def eigvalsh(input: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of symmetric matrices (…, n, n), rising; `UPLO` as in `eigh`.

    >>> minipar.linalg.eigvalsh(minipar.tensor([[2.0, 1.0], [1.0, 2.0]]))
    tensor([1., 3.])
    """
    return eigh(input, UPLO).eigenvalues

"""What singular values are good for: rank and condition, pseudo-inverses, least squares; and other linear systems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import tape
from ..backend import dtypes, namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import rank, tensor_shape
from .decompose import check_matrices, svdvals
from .extremum import amax, amin
from .join import stack
from .linalg import matmul
from .named import Named
from .norm import matrix_norm
from .op import Op, array_of, cast, check_dtypes
from .power import pow
from .select import where
from .shape import permute, reshape, squeeze, transpose, unsqueeze
from .solve import check_square, identity_like, inv, solved
from .solve import solve as square_solve
from .triangle import tril, triu

Tolerance = Any  # a number, or a tensor with one for each matrix


class PseudoInverse(Op):
    """P = A⁺; ∂A = −Pᵀ G Pᵀ + (1 − A P) Gᵀ P Pᵀ + Pᵀ P Gᵀ (1 − P A)

    G. Golub & V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate", 1973: where the rank does not change.
    """

    __slots__ = ("atol", "rtol")
    saves = (0,)
    saves_output = True

    def __init__(self, atol, rtol):
        self.atol, self.rtol = atol, rtol

    def forward(self, a):
        xp = namespace(a)
        u, s, vt = xp.linalg.svd(a, full_matrices=False)
        with dtypes.quiet():
            inverse = xp.where(s > _cutoff(s, self.atol, self.rtol), 1 / s, 0).astype(a.dtype)
        return (vt.swapaxes(-1, -2) * inverse[..., None, :]) @ u.swapaxes(-1, -2)

    def vjp(self, g, a, p):
        pt, gt = transpose(p, -1, -2), transpose(g, -1, -2)
        left, right = matmul(gt, matmul(p, pt)), matmul(matmul(pt, p), gt)
        return left - matmul(a, matmul(p, left)) + right - matmul(matmul(right, p), a) - matmul(pt, matmul(g, pt))


class LeastSquares(Named):
    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


def _cutoff(s: Any, atol: Tolerance, rtol: Tolerance) -> Any:
    """max(atol, rtol · the largest), for each matrix."""
    xp = namespace(s)
    each = [t[..., None] if getattr(t, "ndim", 0) else t for t in (atol, rtol)]
    largest = s.max(-1, keepdims=True) if s.shape[-1] else s.sum(-1, keepdims=True)  # CuPy's max has no initial=
    return xp.maximum(each[0], each[1] * largest)


@on_its_gpu
def _tolerances(x: Any, atol: Tolerance, rtol: Tolerance) -> tuple[Any, Any]:
    """Without either, rtol is max(m, n) times the rounding of the dtype."""
    atol = 0.0 if atol is None else array_of(atol)
    if rtol is None:
        xp = namespace(array_of(x))
        rtol = xp.where(xp.asarray(atol) > 0, 0.0, float(xp.finfo(x.dtype).eps) * max(x.shape[-2:]))
    return atol, array_of(rtol)


def pinv(
    input: Any, rcond: Tolerance = None, hermitian: bool = False, *, atol: Tolerance = None, rtol: Tolerance = None
) -> Any:
    """The pseudo-inverse (…, n, m) of matrices (…, m, n), of Moore and Penrose.

    Singular values up to max(atol, rtol · the largest) count as 0; `rcond` is an older name of rtol. The gradient is
    right where the rank is constant. RuntimeError for what is no matrix; NotImplementedError for `hermitian`.

    >>> minipar.linalg.pinv(minipar.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    check_matrices("pinv", input, "input")
    if hermitian:
        raise NotImplementedError("pinv: hermitian=True is not supported; leave it out")
    return PseudoInverse(*_tolerances(input, atol, rcond if rtol is None else rtol))(input)


def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """`linalg.pinv` with singular values up to rcond times the largest taken for 0.

    >>> minipar.pinverse(minipar.tensor([[2.0]]))
    tensor([[0.5]])
    """
    return pinv(input, rcond)


@on_its_gpu
def matrix_rank(
    input: Any, tol: Tolerance = None, hermitian: bool = False, *, atol: Tolerance = None, rtol: Tolerance = None
) -> Any:
    """How many singular values lie above max(atol, rtol · the largest): int64, (…). `tol` is an atol without rtol.

    RuntimeError for what is no matrix; NotImplementedError for `hermitian`.

    >>> minipar.linalg.matrix_rank(minipar.ones(3, 3))
    tensor(1)
    """
    check_matrices("matrix_rank", input, "input")
    if hermitian:
        raise NotImplementedError("matrix_rank: hermitian=True is not supported; leave it out")
    limits = _tolerances(input, *((tol, 0.0) if tol is not None else (atol, rtol)))
    s = array_of(svdvals(input.detach()))
    return tape.new_value((s > _cutoff(s, *limits)).sum(-1).astype("int64"))


@on_its_gpu
def cond(input: Any, p: Any = None) -> Any:
    """‖A‖ₚ ‖A⁻¹‖ₚ: how much a relative error may grow in solving with A. p as in `matrix_norm`; None is 2.

    ∞ for singular matrices. RuntimeError for what is no matrix, or unless p is None, 2 or −2, not square.

    >>> minipar.linalg.cond(minipar.tensor([[4.0, 0.0], [0.0, 2.0]]))
    tensor(2.)
    """
    check_matrices("cond", input, "input")
    if p in (None, 2, -2):
        s = svdvals(input)
        largest, smallest = amax(s, -1), amin(s, -1)
        return smallest / largest if p == -2 else largest / smallest
    check_square("cond", input)
    array = array_of(input)
    singular = namespace(array).linalg.det(array) == 0
    regular = where(singular[..., None, None], identity_like(input), input)
    return where(singular, math.inf, matrix_norm(input, p) * matrix_norm(inv(regular), p))


def lstsq(input: Any, b: Any, rcond: float | None = None, *, driver: str | None = None) -> LeastSquares:
    """The X of least ‖A X − B‖, and of least ‖X‖ among those: A (…, m, n), B (…, m, k) or (…, m) → (…, n, k), (…, n).

    X = A⁺ B, so that its gradient is right for full rank; singular values up to rcond times the largest count as 0.
    Returns (solution, residuals, rank, singular_values), the second and the last empty, as with PyTorch's default
    driver "gelsy"; NotImplementedError for others.

    >>> A = minipar.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> minipar.linalg.lstsq(A, minipar.tensor([[1.0], [3.0], [5.0]])).solution.round(decimals=4)
    tensor([[1.],
            [2.]])
    """
    check_matrices("lstsq", input, "input")
    check_dtypes("lstsq", input, b)
    if driver not in (None, "gelsy"):
        raise NotImplementedError(f"lstsq: driver={driver!r} is not supported; leave it out")
    vectors = rank(b) == 1 or (rank(b) == rank(input) - 1 and tuple(b.shape) == tuple(input.shape[:-1]))
    columns = unsqueeze(b, -1) if vectors else b
    if columns.shape[-2] != input.shape[-2]:
        raise RuntimeError(
            f"lstsq: b of shape {tuple(b.shape)} must have as many rows as input of shape {tuple(input.shape)}"
        )
    solution = matmul(pinv(input, rcond), columns)
    nothing = input.detach().new_empty(0)
    solution = squeeze(solution, -1) if vectors else solution
    return LeastSquares(solution, nothing, matrix_rank(input, rtol=rcond), nothing)


def solve_triangular(input: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """X with A X = B (X A = B if not `left`), of A (…, n, n) only the upper (or lower) triangle.

    With `unitriangular` A's diagonal counts as 1. B (…, n, k) or, if not `left`, (…, k, n). RuntimeError for a singular
    A, and for shapes that do not fit.

    >>> A = minipar.tensor([[2.0, 7.0], [0.0, 4.0]])
    >>> minipar.linalg.solve_triangular(A, minipar.tensor([[9.0], [4.0]]), upper=True)
    tensor([[1.],
            [1.]])
    """
    check_square("solve_triangular", input)
    check_dtypes("solve_triangular", input, B)
    side = -2 if left else -1
    if rank(B) < 2 or B.shape[side] != input.shape[-1]:
        raise RuntimeError(
            f"solve_triangular: B of shape {tuple(B.shape)} does not fit input of shape {tuple(input.shape)}"
        )
    triangle = triu if upper else tril
    a = triangle(input, (1 if upper else -1) if unitriangular else 0)
    if unitriangular:
        a = a + identity_like(input)
    return solved("solve_triangular", a, B, left)  # not `solve`, to which B could be one vector for each matrix


def tensorsolve(input: Any, other: Any, dims: Sequence[int] | None = None) -> Any:
    """X with tensordot(A, X, X.ndim) = B, `dims` of A moved to its end first. RuntimeError unless A is then square.

    >>> minipar.linalg.tensorsolve(2 * minipar.eye(4).reshape(2, 2, 4), minipar.ones(2, 2))
    tensor([0.5, 0.5, 0.5, 0.5])
    """
    if dims is not None:
        last = [d % len(input.shape) for d in dims]
        input = permute(input, [*[d for d in range(len(input.shape)) if d not in last], *last])
    shape = tuple(tensor_shape(input)[rank(other) :])
    rows = math.prod(other.shape)
    if math.prod(shape) != rows or math.prod(input.shape) != rows * rows:
        raise RuntimeError(
            f"tensorsolve: input of shape {tuple(input.shape)} is no square system for other of {tuple(other.shape)}"
        )
    return reshape(square_solve(reshape(input, (rows, rows)), reshape(other, (rows,))), shape)


def tensorinv(input: Any, ind: int = 2) -> Any:
    """The inverse with respect to tensordot(…, ind), the first `ind` axes against the others.

    RuntimeError unless both have as many entries, or `ind` is not positive.

    >>> minipar.linalg.tensorinv(minipar.eye(4).reshape(2, 2, 4), ind=2).shape
    (4, 2, 2)
    """
    if ind <= 0:
        raise RuntimeError(f"tensorinv: ind must be positive, not {ind}")
    first, last = tuple(tensor_shape(input)[:ind]), tuple(input.shape[ind:])
    rows = math.prod(first)
    if rows != math.prod(last):
        raise RuntimeError(f"tensorinv: axes {first} and {last} of input must have as many entries; ind={ind}")
    return reshape(inv(reshape(input, (rows, rows))), (*last, *first))


def linalg_vander(x: Any, *, N: int | None = None) -> Any:
    """The powers 1, x, x² … of the numbers x (…, n): (…, n, N), N = n by default; integers give int64.

    RuntimeError for N < 2.

    >>> minipar.linalg.vander(minipar.tensor([2, 3]), N=3)
    tensor([[1, 2, 4],
            [1, 3, 9]])
    """
    x = x if rank(x) else reshape(x, (1,))
    columns = x.shape[-1] if N is None else N
    if columns <= 1:
        raise RuntimeError(f"vander: N must be 2 or more, not {columns}")
    x = x if x.dtype.kind == "f" else cast(x, dtypes.int64)
    return stack([pow(x, k) for k in range(columns)], -1)

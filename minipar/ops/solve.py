"""Inverses, determinants and linear systems of square matrices (…, n, n), by the LU of NumPy or CuPy.

The gradients are those of M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008).
"""

from __future__ import annotations

from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import rank, tensor_shape
from .exponential import log
from .linalg import matmul
from .op import Op, array_of, check_dtypes, unbroadcast
from .reduce import sum
from .repeat import roll
from .shape import normal_dim, reshape, squeeze, transpose, unsqueeze
from .spelling import numpy_names
from .triangle import diagonal, tril


class LinAlgError(RuntimeError):
    """A matrix is singular, not positive definite, or an algorithm did not converge."""


class Inverse(Op):
    """Y = A⁻¹; ∂A = −Yᵀ G Yᵀ"""

    saves_output = True

    def forward(self, a):
        return namespace(a).linalg.inv(a)

    def vjp(self, g, y):
        yt = transpose(y, -1, -2)
        return -matmul(yt, matmul(g, yt))


class Solve(Op):
    """X = A⁻¹ B; ∂B = A⁻ᵀ G, ∂A = −∂B Xᵀ"""

    __slots__ = ("shapes",)
    saves = (0,)
    saves_output = True

    def forward(self, a, b):
        self.shapes = a.shape, b.shape
        return namespace(a).linalg.solve(a, b)

    def vjp(self, g, a, x):
        db = Solve()(transpose(a, -1, -2), g)
        da = -matmul(db, transpose(x, -1, -2)) if self.needs[0] else None
        return (
            None if da is None else unbroadcast(da, self.shapes[0]),
            unbroadcast(db, self.shapes[1]) if self.needs[1] else None,
        )


class Det(Op):
    """y = det A; ∂A = g y A⁻ᵀ, or g times the cofactors where a matrix is singular"""

    saves = (0,)

    def forward(self, a):
        return namespace(a).linalg.det(a)

    def vjp(self, g, a):
        g = unsqueeze(unsqueeze(g, -1), -1)
        if (namespace(array_of(a)).linalg.det(array_of(a)) == 0).any():
            return _cofactors(a) * g
        y = unsqueeze(unsqueeze(det(a), -1), -1)
        return transpose(inv(a), -1, -2) * (y * g)


class Cholesky(Op):
    """L with L Lᵀ = A, for a symmetric positive definite A; ∂A = L⁻ᵀ Φ(Lᵀ G) L⁻¹, made symmetric

    Φ takes the lower triangle and half of the diagonal (I. Murray, "Differentiation of the Cholesky decomposition",
    2016).
    """

    saves_output = True

    def forward(self, a):
        return namespace(a).linalg.cholesky(a)

    def vjp(self, g, y):
        inner = matmul(transpose(y, -1, -2), tril(g))
        phi = (tril(inner) + tril(inner, -1)) * 0.5
        inverse = inv(y)
        s = matmul(transpose(inverse, -1, -2), matmul(phi, inverse))
        return (s + transpose(s, -1, -2)) * 0.5


def check_square(name: str, x: Any, argument: str = "input") -> None:
    """RuntimeError unless x holds floating-point square matrices (…, n, n)."""
    if rank(x) < 2 or x.shape[-1] != x.shape[-2]:
        raise RuntimeError(f"{name}: {argument} must hold square matrices (…, n, n), got shape {tuple(x.shape)}")
    check_dtypes(name, x)


@on_its_gpu
def identity_like(x: Any) -> Any:
    """Identity matrices of x's shape (…, n, n): an array."""
    array = array_of(x)
    xp = namespace(array)
    return xp.broadcast_to(xp.eye(array.shape[-1], dtype=array.dtype), array.shape).copy()


def _cofactors(a: Any) -> Any:
    """∂ det A / ∂A: det(A) A⁻ᵀ, written so that it holds for a singular A, and can be differentiated, too.

    The determinant without row i and column j is that of A with row i replaced by the unit vector of j.
    """
    n, leading = a.shape[-1], a.shape[:-2]
    eye = identity_like(a)
    row, column = eye.reshape(*leading, n, 1, n, 1), eye.reshape(*leading, 1, n, 1, n)
    cleared = reshape(a, (*leading, 1, 1, n, n)) * (1.0 - row)  # axes …, i, j, row, column
    return det(cleared + row * column)


def inv(A: Any) -> Any:
    """The inverse of square matrices (…, n, n). RuntimeError for a singular one.

    >>> minipar.linalg.inv(minipar.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    check_square("inv", A, "A")
    return _solvable("inv", Inverse(), A)


def inverse(input: Any) -> Any:
    """The same as `linalg.inv`.

    >>> minipar.inverse(minipar.eye(1) * 4)
    tensor([[0.25]])
    """
    return inv(input)


def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X with A X = B (X A = B if not `left`): A (…, n, n), B (…, n, k), or a vector (n,); leading axes are broadcast.

    RuntimeError for a singular A.

    >>> minipar.linalg.solve(minipar.tensor([[2.0, 0.0], [0.0, 4.0]]), minipar.tensor([1.0, 1.0]))
    tensor([0.5 , 0.25])
    """
    check_square("solve", A, "A")
    check_dtypes("solve", A, B)
    vectors = rank(B) == 1 or tuple(B.shape) == tuple(A.shape[:-1])
    b = unsqueeze(B, -1) if vectors else B
    rows = b.shape[-2 if left or vectors else -1]
    if rows != A.shape[-1]:
        raise RuntimeError(f"solve: B of shape {tuple(B.shape)} does not fit A of shape {tuple(A.shape)}")
    return squeeze(solved("solve", A, b), -1) if vectors else solved("solve", A, b, left)


def solved(name: str, a: Any, b: Any, left: bool = True) -> Any:
    """X with A X = B, or X A = B, both of two axes or more."""
    if left:
        return _solvable(name, Solve(), a, b)
    return transpose(_solvable(name, Solve(), transpose(a, -1, -2), transpose(b, -1, -2)), -1, -2)


@on_its_gpu
def _solvable(name: str, op: Op, *operands: Any) -> Any:
    try:
        return op(*operands)
    except namespace(array_of(operands[0])).linalg.LinAlgError:
        raise LinAlgError(f"{name}: a matrix is singular; shape {tuple(operands[0].shape)}") from None


def det(input: Any) -> Any:
    """The determinant of square matrices (…, n, n) → (…).

    >>> minipar.det(minipar.tensor([[1.0, 2.0], [3.0, 5.0]])).round()
    tensor(-1.)
    """
    check_square("det", input, "input")
    return Det()(input)


def slogdet(input: Any) -> tuple[Any, Any]:
    """(sign, ln |det|) of square matrices: exact where the determinant itself would overflow.

    >>> sign, logabsdet = minipar.slogdet(minipar.eye(3) * 2)
    >>> sign, logabsdet
    (tensor(1.), tensor(2.0794))
    """
    check_square("slogdet", input, "input")
    return LogDet()(input)


def linalg_det(A: Any) -> Any:
    """The determinant of square matrices (…, n, n) → (…).

    >>> minipar.linalg.det(minipar.tensor([[1.0, 2.0], [3.0, 5.0]])).round()
    tensor(-1.)
    """
    return det(A)


def linalg_slogdet(A: Any) -> tuple[Any, Any]:
    """(sign, ln |det|) of square matrices: exact where the determinant itself would overflow.

    >>> sign, logabsdet = minipar.linalg.slogdet(minipar.eye(3) * 2)
    >>> sign, logabsdet
    (tensor(1.), tensor(2.0794))
    """
    return slogdet(A)


def logdet(input: Any) -> Any:
    """ln det of square matrices: NaN where the determinant is negative.

    >>> minipar.logdet(minipar.eye(3) * 2)
    tensor(2.0794)
    """
    sign, logabsdet = slogdet(input)
    return logabsdet + log(sign)


class LogDet(Op):
    """(sign of det A, ln |det A|); ∂A = g A⁻ᵀ"""

    saves = (0,)
    outputs = 2

    def forward(self, a):
        sign, logabsdet = namespace(a).linalg.slogdet(a)
        return sign, logabsdet

    def vjp(self, g, a):
        if g[1] is None:
            return None
        return transpose(inv(a), -1, -2) * unsqueeze(unsqueeze(g[1], -1), -1)


def cholesky(input: Any, *, upper: bool = False) -> Any:
    """The lower triangular L with L Lᵀ = A (its transpose if `upper`); A symmetric positive definite.

    Only the lower triangle of A is read. RuntimeError where A is not positive definite.

    >>> minipar.linalg.cholesky(minipar.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    check_square("cholesky", input, "input")
    try:
        factor = Cholesky()(input)
    except namespace(array_of(input)).linalg.LinAlgError:
        raise LinAlgError(f"cholesky: a matrix is not positive definite; shape {tuple(input.shape)}") from None
    return transpose(factor, -1, -2) if upper else factor


def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal.

    >>> minipar.trace(minipar.ones(3, 3))
    tensor(3.)
    """
    if rank(input) != 2:
        raise RuntimeError(f"trace: input must be a matrix, got shape {tuple(input.shape)}")
    return sum(diagonal(input))


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """Σ xᵢ yᵢ along one axis.

    >>> minipar.linalg.vecdot(minipar.ones(2, 3), minipar.ones(2, 3))
    tensor([3., 3.])
    """
    return sum(x * y, dim)


def linalg_cross(input: Any, other: Any, dim: int = -1) -> Any:
    """The cross product of vectors of three numbers along one axis; the other axes are broadcast.

    RuntimeError unless that axis has 3 entries in both.

    >>> minipar.linalg.cross(minipar.tensor([1.0, 0.0, 0.0]), minipar.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    at = normal_dim(dim, rank(input)), normal_dim(dim, rank(other))
    if len(input.shape) != len(other.shape) or input.shape[at[0]] != 3 or other.shape[at[1]] != 3:
        raise RuntimeError(
            f"cross: input and other need as many axes and 3 entries along dim {dim}, got shapes {tuple(input.shape)} "
            f"and {tuple(other.shape)}"
        )
    return roll(input, -1, at[0]) * roll(other, 1, at[1]) - roll(input, 1, at[0]) * roll(other, -1, at[1])


@numpy_names
def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """The cross product of vectors of three numbers along `dim`, by default the first axis of three entries.

    The other axes are broadcast. RuntimeError where no axis has 3 entries, or not that one in both.

    >>> minipar.cross(minipar.tensor([1.0, 0.0, 0.0]), minipar.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    if dim is None:
        if 3 not in tensor_shape(input):
            raise RuntimeError(f"cross: input must have an axis of 3 entries, got shape {tuple(input.shape)}")
        dim = tuple(input.shape).index(3)
    return linalg_cross(input, other, dim)


def matrix_power(input: Any, n: int) -> Any:
    """Aⁿ of square matrices (…, m, m), by repeated squaring; of the inverse for n < 0.

    >>> minipar.matrix_power(minipar.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    if not isinstance(n, int):
        raise TypeError(f"matrix_power: n must be an int, not {type(n).__name__}")
    check_square("matrix_power", input)
    if n == 0:
        return tape.new_value(identity_like(input))
    square, power = (inv(input) if n < 0 else input), None
    for bit in reversed(bin(abs(n))[2:]):
        if bit == "1":
            power = square if power is None else matmul(power, square)
        square = matmul(square, square)
    return power

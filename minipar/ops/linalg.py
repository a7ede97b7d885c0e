"""Matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from ..backend.dispatch import kernel
from .accepts import needs_tensors, rank, tensor_shape
from .op import Op, broadcast_error, check_devices, unbroadcast
from .reduce import sum
from .shape import expand, normal_dim, permute, reshape, transpose, unsqueeze


class MatMul(Op):
    """C = A B over the last two axes; leading axes are broadcast. ∂A = G Bᵀ, ∂B = Aᵀ G"""

    __slots__ = ("shapes",)
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 0})

    def forward(self, a, b):
        self.shapes = a.shape, b.shape
        return kernel("matmul", a)(a, b)

    def vjp(self, g, a, b):
        da = unbroadcast(matmul(g, transpose(b, -1, -2)), self.shapes[0]) if self.needs[0] else None
        db = unbroadcast(matmul(transpose(a, -1, -2), g), self.shapes[1]) if self.needs[1] else None
        return da, db


def matmul(input: Any, other: Any) -> Any:
    """NumPy's and PyTorch's matmul: 1-D operands are a row (left) or a column (right), leading axes broadcast.

    Shapes (…, n, k) @ (…, k, m) → (…, n, m). RuntimeError if an operand is 0-d, the inner sizes differ, the leading
    axes cannot be broadcast, or the dtypes differ.

    >>> minipar.matmul(minipar.ones(2, 3), minipar.ones(3))
    tensor([3., 3.])
    """
    a, b = input, other
    left, right = tensor_shape(a), tensor_shape(b)
    if not left or not right:
        raise RuntimeError(f"matmul needs operands of 1 or more dimensions, got {tuple(left)} and {tuple(right)}")
    row, column = len(left) == 1, len(right) == 1
    inner = right[0] if column else right[-2]
    if left[-1] != inner:
        raise RuntimeError(
            f"matmul: the last axis of input must match {'the only' if column else 'the second-to-last'} "
            f"axis of other, got shapes {tuple(left)} and {tuple(right)}"
        )
    if a.dtype != b.dtype:
        raise RuntimeError(f"matmul: both operands must have one dtype, got {a.dtype.name} and {b.dtype.name}")
    if any(n != m and 1 not in (n, m) for n, m in zip(left[-3::-1], right[-3::-1])):
        raise RuntimeError(broadcast_error("matmul", [tuple(left[:-2]), tuple(right[:-2])]))
    if not (row or column):
        return MatMul()(a, b)
    c = MatMul()(reshape(a, (1, inner)) if row else a, reshape(b, (inner, 1)) if column else b)
    kept = list(c.shape[:-2]) + ([] if row else [c.shape[-2]]) + ([] if column else [c.shape[-1]])
    return reshape(c, kept)


def _checked(name: str, **operands: tuple[Any, int]) -> None:
    """RuntimeError unless each operand, given as (tensor, dimensions), has so many dimensions."""
    for argument, (x, ndim) in operands.items():
        if rank(x) != ndim:
            raise RuntimeError(f"{name}: {argument} must have {ndim} dimensions, got shape {tuple(x.shape)}")


def mm(input: Any, mat2: Any) -> Any:
    """(n, k) @ (k, m) → (n, m), of matrices alone: nothing is broadcast.

    >>> minipar.mm(minipar.ones(2, 3), minipar.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    _checked("mm", input=(input, 2), mat2=(mat2, 2))
    return matmul(input, mat2)


def bmm(input: Any, mat2: Any) -> Any:
    """(b, n, k) @ (b, k, m) → (b, n, m): one product for each entry of a batch, which is not broadcast.

    >>> minipar.bmm(minipar.ones(5, 2, 3), minipar.ones(5, 3, 4)).shape
    (5, 2, 4)
    """
    _checked("bmm", input=(input, 3), mat2=(mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: the batches must be equal, got {tuple(input.shape)} and {tuple(mat2.shape)}")
    return matmul(input, mat2)


def mv(input: Any, vec: Any) -> Any:
    """(n, k) @ (k,) → (n,)

    >>> minipar.mv(minipar.ones(2, 3), minipar.ones(3))
    tensor([3., 3.])
    """
    _checked("mv", input=(input, 2), vec=(vec, 1))
    return matmul(input, vec)


def dot(input: Any, tensor: Any) -> Any:
    """Σ aᵢ bᵢ of two vectors of one length.

    >>> minipar.dot(minipar.tensor([1.0, 2.0]), minipar.tensor([3.0, 4.0]))
    tensor(11.)
    """
    _checked("dot", input=(input, 1), tensor=(tensor, 1))
    return matmul(input, tensor)


def vdot(input: Any, other: Any) -> Any:
    """`dot`: of real vectors there is nothing to conjugate.

    >>> minipar.vdot(minipar.tensor([1.0, 2.0]), minipar.tensor([3.0, 4.0]))
    tensor(11.)
    """
    return dot(input, other)


def inner(input: Any, other: Any) -> Any:
    """The sum of products over the last axis of both: (…, k), (…', k) → (…, …'); a number scales.

    >>> minipar.inner(minipar.ones(2, 3), minipar.ones(4, 3)).shape
    (2, 4)
    """
    if not rank(input) or not rank(other):
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner: the last axes must be equal, got {tuple(input.shape)} and {tuple(other.shape)}")
    return tensordot(input, other, ([-1], [-1]))


def outer(input: Any, vec2: Any) -> Any:
    """(n,), (m,) → (n, m): yᵢⱼ = aᵢ bⱼ

    >>> minipar.outer(minipar.tensor([1.0, 2.0]), minipar.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    _checked("outer", input=(input, 1), vec2=(vec2, 1))
    return unsqueeze(input, 1) * vec2


def tensordot(a: Any, b: Any, dims: int | Sequence[Sequence[int]] = 2) -> Any:
    """The sum of products over axes of a and of b: the last `dims` of a with the first of b, or those of two lists.

    The output has a's other axes, then b's. RuntimeError where the sizes of summed axes differ.

    >>> minipar.tensordot(minipar.ones(2, 3, 4), minipar.ones(4, 3), dims=([1, 2], [1, 0]))
    tensor([12., 12.])
    """
    if isinstance(dims, int):
        if not 0 <= dims <= min(rank(a), rank(b)):
            raise RuntimeError(f"tensordot: dims={dims} axes are not there in {tuple(a.shape)} and {tuple(b.shape)}")
        dims = (range(len(a.shape) - dims, len(a.shape)), range(dims))
    of_a = [normal_dim(int(d), rank(a), "dims") for d in dims[0]]
    of_b = [normal_dim(int(d), rank(b), "dims") for d in dims[1]]
    unlike = [(i, j) for i, j in zip(of_a, of_b) if a.shape[i] != b.shape[j]]
    if (
        len(of_a) != len(of_b)
        or len(set(of_a)) < len(of_a)
        or any(1 not in (a.shape[i], b.shape[j]) for i, j in unlike)
    ):
        raise RuntimeError(
            f"tensordot: axes {of_a} of shape {tuple(a.shape)} do not fit axes {of_b} of shape {tuple(b.shape)}"
        )
    for i, j in unlike:  # a size of 1 is broadcast: the other operand is summed first
        if b.shape[j] == 1:
            a = sum(a, i, True, dtype=a.dtype)
        else:
            b = sum(b, j, True, dtype=b.dtype)
    left = [i for i in range(len(a.shape)) if i not in of_a]
    right = [i for i in range(len(b.shape)) if i not in of_b]
    summed = [b.shape[i] for i in of_b]
    rows = _matrix(permute(a, [*left, *of_a]), len(left), summed)
    columns = _matrix(permute(b, [*of_b, *right]), len(of_b), [b.shape[i] for i in right])
    return reshape(matmul(rows, columns), [*[a.shape[i] for i in left], *[b.shape[i] for i in right]])


def _product(tensors: list[Any], best: dict[tuple[int, int], tuple[int, int]], i: int, j: int) -> Any:
    """The product of tensors i to j, cut where that is best."""
    if i == j:
        return tensors[i]
    cut = best[i, j][1]
    return matmul(_product(tensors, best, i, cut), _product(tensors, best, cut + 1, j))


def _matrix(x: Any, leading: int, last: Sequence[int]) -> Any:
    """The first `leading` axes as rows, the others, of sizes `last`, as columns."""
    return reshape(x, (math.prod(x.shape[:leading]), math.prod(last)))


def _added(name: str, input: Any, product: Any, beta: float, alpha: float) -> Any:
    """β·input + α·product; with β = 0 not even a NaN of the input matters, and integers take whole β and α, bools truth
    values, as in PyTorch."""
    check_devices(name, input, product)
    input = expand(input, product.shape)
    if product.dtype.kind != "f":
        whole = bool if product.dtype.kind == "b" else int
        beta, alpha = whole(beta), whole(alpha)
    scaled = product if alpha == 1 else product * alpha
    return scaled if beta == 0 else scaled + (input if beta == 1 else input * beta)


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """β·input + α·(mat1 @ mat2); `input` is broadcast to the product's shape.

    >>> minipar.addmm(minipar.ones(2), minipar.ones(1, 3), minipar.ones(3, 2), alpha=2)
    tensor([[7., 7.]])
    """
    return _added("addmm", input, mm(mat1, mat2), beta, alpha)


def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """β·input + α·(mat @ vec); `input` is broadcast to the product's shape.

    >>> minipar.addmv(minipar.ones(2), minipar.ones(2, 3), minipar.ones(3))
    tensor([4., 4.])
    """
    return _added("addmv", input, mv(mat, vec), beta, alpha)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """β·input + α·(vec1 vec2ᵀ); `input` is broadcast to the product's shape.

    >>> minipar.addr(minipar.zeros(1, 2), minipar.tensor([3.0]), minipar.tensor([1.0, 2.0]))
    tensor([[3., 6.]])
    """
    return _added("addr", input, outer(vec1, vec2), beta, alpha)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """β·input + α·bmm(batch1, batch2); `input` is broadcast to the product's shape.

    >>> minipar.baddbmm(minipar.ones(1), minipar.ones(5, 2, 3), minipar.ones(5, 3, 4)).shape
    (5, 2, 4)
    """
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """β·input + α·(the sum of bmm(batch1, batch2) over the batch).

    >>> minipar.addbmm(minipar.zeros(2, 4), minipar.ones(5, 2, 3), minipar.ones(5, 3, 4))[0, 0]
    tensor(15.)
    """
    products = bmm(batch1, batch2)
    return _added("addbmm", input, sum(products, 0, dtype=products.dtype), beta, alpha)


def kron(input: Any, other: Any) -> Any:
    """The Kronecker product: every element of `input` times the whole of `other`.

    >>> minipar.kron(minipar.eye(2), minipar.ones(1, 2))
    tensor([[1., 1., 0., 0.],
            [0., 0., 1., 1.]])
    """
    needs_tensors(input, other)
    ndim = max(len(input.shape), len(other.shape))
    of_a = (1,) * (ndim - len(input.shape)) + tuple(input.shape)
    of_b = (1,) * (ndim - len(other.shape)) + tuple(other.shape)
    a = reshape(input, [n for size in of_a for n in (size, 1)])
    b = reshape(other, [n for size in of_b for n in (1, size)])
    return reshape(a * b, [n * m for n, m in zip(of_a, of_b)])


def chain_matmul(*matrices: Any) -> Any:
    """The product of two or more matrices, in the order of least work (see `linalg.multi_dot`).

    >>> minipar.chain_matmul(minipar.ones(2, 3), minipar.ones(3, 4), minipar.ones(4, 1)).shape
    (2, 1)
    """
    return multi_dot(matrices)


def multi_dot(tensors: Sequence[Any]) -> Any:
    """The product of two or more matrices (the first and last may be vectors), in the order of least work.

    The order is that of the textbook's dynamic programme (Cormen et al., Introduction to Algorithms, §14.2).

    >>> minipar.linalg.multi_dot([minipar.ones(2, 3), minipar.ones(3, 4), minipar.ones(4)])
    tensor([12., 12.])
    """
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot: expected 2 or more tensors, got {len(tensors)}")
    row, column = rank(tensors[0]) == 1, rank(tensors[-1]) == 1
    tensors[0] = unsqueeze(tensors[0], 0) if row else tensors[0]
    tensors[-1] = unsqueeze(tensors[-1], 1) if column else tensors[-1]
    for i, x in enumerate(tensors):
        if rank(x) != 2 or (i and x.shape[0] != tensors[i - 1].shape[1]):
            raise RuntimeError(f"multi_dot: tensor {i} does not fit: shapes {[tuple(t.shape) for t in tensors]}")
    sides = [tensors[0].shape[0], *[x.shape[1] for x in tensors]]
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(len(tensors))}  # (work, where to cut)
    for length in range(1, len(tensors)):
        for i in range(len(tensors) - length):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + sides[i] * sides[k + 1] * sides[j + 1], k) for k in range(i, j)
            )

    found = _product(tensors, best, 0, len(tensors) - 1)
    return reshape(found, [n for n, gone in zip(found.shape, (row, column)) if not gone])

"""Bad inputs: products of matrices, einsum, linear systems."""

from __future__ import annotations

from minipar.linalg import LinAlgError
from tests.refusals.refusal import Refusal


def shapes(of: str, *wrong: tuple[int, ...], says: tuple[str, ...]) -> Refusal:
    """`of` called with ones of these shapes."""

    def call(m):
        function = m
        for name in of.split("."):
            function = getattr(function, name)
        return function(*[m.ones(*shape) for shape in wrong])

    return Refusal(of, f"shapes {wrong}", call, RuntimeError, says)


LINALG = [
    shapes("matmul", (2, 3), (2, 3), says=("last axis of input", r"\(2, 3\)")),
    shapes("matmul", (2, 2, 3), (3, 3, 2), says=("cannot be broadcast", r"\(2,\), \(3,\)")),
    shapes("matmul", (), (3,), says=("1 or more dimensions", r"\(\)")),
    Refusal(
        "matmul", "two dtypes", lambda m: m.ones(2, 2) @ m.ones(2, 2).double(), RuntimeError, ("one dtype", "float64")
    ),
    shapes("mm", (2, 3, 1), (3, 2), says=("mm: input must have 2 dimensions", r"\(2, 3, 1\)")),
    shapes("bmm", (2, 3), (2, 3, 1), says=("bmm: input must have 3 dimensions",)),
    shapes("bmm", (2, 3, 1), (1, 1, 1), says=("batches must be equal", r"\(2, 3, 1\)")),
    shapes("mv", (2, 3), (3, 1), says=("mv: vec must have 1 dimensions", r"\(3, 1\)")),
    shapes("dot", (2, 3), (3,), says=("dot: input must have 1 dimensions",)),
    shapes("inner", (2, 3), (2, 4), says=("last axes must be equal", r"\(2, 4\)")),
    shapes("outer", (2, 3), (2,), says=("outer: input must have 1 dimensions",)),
    shapes("addmm", (5,), (2, 3), (3, 4), says=("expand", r"\(5,\)")),
    shapes("addmv", (3,), (2, 3), (3,), says=("expand", r"\(3,\)")),
    shapes("addr", (3, 3), (2,), (3,), says=("expand", r"\(3, 3\)")),
    shapes("baddbmm", (2, 9), (2, 3, 4), (2, 4, 5), says=("expand", r"\(2, 9\)")),
    shapes("addbmm", (7,), (2, 3, 4), (2, 4, 5), says=("expand", r"\(7,\)")),
    Refusal("tensordot", "too many dims", lambda m: m.tensordot(m.ones(2), m.ones(2), 3), RuntimeError, ("dims=3",)),
    Refusal(
        "tensordot",
        "sizes",
        lambda m: m.tensordot(m.ones(2, 3), m.ones(2, 3), 1),
        RuntimeError,
        (r"axes \[1\]", r"axes \[0\]"),
    ),
    Refusal(
        "linalg.multi_dot", "one matrix", lambda m: m.linalg.multi_dot([m.ones(2, 2)]), RuntimeError, ("2 or more",)
    ),
    Refusal(
        "linalg.multi_dot",
        "shapes",
        lambda m: m.linalg.multi_dot([m.ones(2, 2), m.ones(3, 2)]),
        RuntimeError,
        ("tensor 1 does not fit", r"\(3, 2\)"),
    ),
    shapes("chain_matmul", (2, 2), (3, 2), says=("tensor 1 does not fit",)),
    Refusal(
        "einsum", "too few operands", lambda m: m.einsum("ij,jk", m.ones(2, 2)), RuntimeError, ("2 operands, got 1",)
    ),
    Refusal("einsum", "rank", lambda m: m.einsum("ijk->i", m.ones(2, 2)), RuntimeError, ("'ijk'", "has 2")),
    Refusal(
        "einsum", "sizes", lambda m: m.einsum("ij,jk", m.ones(2, 3), m.ones(4, 2)), RuntimeError, ("'j'", "3 and 4")
    ),
    Refusal(
        "einsum",
        "two dtypes",
        lambda m: m.einsum("i,i->", m.ones(2), m.ones(2).double()),
        RuntimeError,
        ("one dtype", "float32", "float64"),
    ),
    Refusal("einsum", "diagonal", lambda m: m.einsum("ii", m.ones(2, 3)), RuntimeError, ("'i'", "2 and 3")),
    Refusal(
        "einsum", "unknown output", lambda m: m.einsum("ij->ik", m.ones(2, 3)), RuntimeError, ("output index 'k'",)
    ),
    Refusal("einsum", "output twice", lambda m: m.einsum("ij->ii", m.ones(2, 3)), RuntimeError, ("index twice",)),
    Refusal("einsum", "signs", lambda m: m.einsum("i!", m.ones(2, 3)), RuntimeError, ("letters, commas",)),
    Refusal("einsum", "numbers", lambda m: m.einsum(m.ones(2), [99]), RuntimeError, (r"\[0, 52\)", "99")),
    Refusal("einsum", "nothing", lambda m: m.einsum(), TypeError, ("an equation and operands",)),
    *[
        shapes(of, (2, 3), says=(f"{of.split('.')[-1].replace('inverse', 'inv')}: ", "square", r"\(2, 3\)"))
        for of in ("linalg.inv", "inverse", "linalg.det", "det", "linalg.slogdet", "slogdet", "linalg.cholesky")
    ],
    shapes("logdet", (2, 3), says=("square", r"\(2, 3\)")),
    shapes("trace", (2, 3, 4), says=("matrix", r"\(2, 3, 4\)")),
    Refusal(
        "linalg.inv", "integers", lambda m: m.linalg.inv(m.eye(2).long()), RuntimeError, ("floating-point", "int64")
    ),
    Refusal(
        "linalg.inv", "singular", lambda m: m.linalg.inv(m.ones(2, 2)), LinAlgError, ("inv: a matrix is singular",)
    ),
    Refusal("linalg.solve", "singular", lambda m: m.linalg.solve(m.ones(2, 2), m.ones(2)), LinAlgError, ("singular",)),
    Refusal(
        "linalg.solve",
        "shape of B",
        lambda m: m.linalg.solve(m.eye(2), m.ones(3, 2)),
        RuntimeError,
        ("B of shape", r"\(3, 2\)"),
    ),
    Refusal(
        "linalg.cholesky", "not positive", lambda m: m.linalg.cholesky(-m.eye(2)), LinAlgError, ("positive definite",)
    ),
    shapes("linalg.cross", (2, 4), (2, 3), says=("cross: ", "3 entries", r"\(2, 4\)")),
    shapes("linalg.vecdot", (2, 3), (2, 4), says=("cannot be broadcast", r"\(2, 4\)")),
    Refusal(
        "linalg.matrix_power", "shape", lambda m: m.linalg.matrix_power(m.ones(2, 3), 2), RuntimeError, ("square",)
    ),
    Refusal(
        "matrix_power", "no int", lambda m: m.matrix_power(m.eye(2), 0.5), TypeError, ("n must be an int", "float")
    ),
]

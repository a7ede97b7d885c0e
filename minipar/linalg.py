"""`torch.linalg` under its own name."""

from .ops.decompose import eigh, eigvalsh, qr, svd, svdvals
from .ops.least_squares import (
    cond,
    lstsq,
    matrix_rank,
    pinv,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from .ops.least_squares import linalg_vander as vander
from .ops.linalg import matmul, multi_dot
from .ops.norm import linalg_norm as norm
from .ops.norm import matrix_norm, vector_norm
from .ops.solve import LinAlgError, cholesky, inv, matrix_power, solve, vecdot
from .ops.solve import linalg_cross as cross
from .ops.solve import linalg_det as det
from .ops.solve import linalg_slogdet as slogdet
from .ops.triangle import linalg_diagonal as diagonal

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

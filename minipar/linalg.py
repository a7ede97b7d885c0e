"""`torch.linalg` under its own name."""

from .ops.linalg import matmul, multi_dot
from .ops.norm import linalg_norm as norm
from .ops.norm import matrix_norm, vector_norm
from .ops.solve import cholesky, inv, matrix_power, solve, vecdot
from .ops.solve import linalg_cross as cross
from .ops.solve import linalg_det as det
from .ops.solve import linalg_slogdet as slogdet
from .ops.triangle import linalg_diagonal as diagonal

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "multi_dot",
    "norm",
    "slogdet",
    "solve",
    "vecdot",
    "vector_norm",
]

"""`torch.linalg` under its own name."""

from .ops.linalg import matmul, multi_dot
from .ops.solve import cholesky, det, inv, matrix_power, slogdet, solve, vecdot
from .ops.triangle import diagonal

__all__ = [
    "cholesky",
    "det",
    "diagonal",
    "inv",
    "matmul",
    "matrix_power",
    "multi_dot",
    "slogdet",
    "solve",
    "vecdot",
]

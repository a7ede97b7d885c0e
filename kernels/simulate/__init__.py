"""CUDA kernels without a GPU, and what a GPU does not show: races and stray accesses by line, the cost of each access.

``run(kernel, grid, block, *args)`` runs a kernel's Python source on the CPU. It raises ``KernelError`` at the first
fault, and returns a ``Report``: how well the accesses of each line coalesce, where banks conflict, and which thread
touches which element. ``docs/kernels-by-hand.md`` climbs from a first kernel to a fast one with it.

What it cannot show: speed, the rounding of fused multiply-adds, orders by ``threadfence`` between blocks, and what
Numba's type inference does differently from NumPy.
"""

from .errors import KernelError
from .report import Report
from .run import run

__all__ = ["KernelError", "Report", "run"]

"""The matrix product: the library's own (BLAS under NumPy, cuBLAS under CuPy)."""

from __future__ import annotations

from typing import Any


def matmul(a: Any, b: Any) -> Any:
    """a (…, n, k) times b (…, k, m) → (…, n, m); leading axes are broadcast."""
    return a @ b

"""How exactly float32 matrices are multiplied on a GPU, under PyTorch's names."""

from __future__ import annotations

from ..kernels.cuda import precision as _precision


def set_float32_matmul_precision(precision: str) -> None:
    """How exactly GPUs multiply float32 matrices, in this process from now on (a CPU always does in float32).

    - "highest" (the default): in float32, 24 significant bits.
    - "high": on tensor cores in TF32, 11 bits; sums in float32.
    - "medium": on tensor cores in bfloat16, 8 bits; sums in float32.

    Products (`matmul`, linear layers and their gradients) of the hand-written kernels follow it, on GPUs of compute
    capability 8.0 or newer; older ones have no such tensor cores and go on in float32, as in PyTorch. ValueError unless
    `precision` is one of these.

    >>> minipar.set_float32_matmul_precision("high")
    >>> minipar.get_float32_matmul_precision()
    'high'
    >>> minipar.set_float32_matmul_precision("highest")
    """
    _precision.use(precision)


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` has set: "highest", "high" or "medium".

    >>> minipar.get_float32_matmul_precision()
    'highest'
    """
    return _precision.in_use()

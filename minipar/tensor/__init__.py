"""Tensor, spelled as in PyTorch, a page each: what it is (`described.py`), its gradients (`differentiable.py`), the
functions that are methods (`methods.py`), their in-place forms (`inplace.py`), how it speaks with NumPy, Python and
notebooks (`interop.py`), and its operators (`tensor.py`)."""

from .arrays import as_array
from .differentiable import RemovableHandle, accumulate, check_inputs, gradient_seeds
from .tensor import Tensor, wrap

__all__ = [
    "RemovableHandle",
    "Tensor",
    "accumulate",
    "as_array",
    "check_inputs",
    "gradient_seeds",
    "wrap",
]

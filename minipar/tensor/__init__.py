"""Tensor, spelled as in PyTorch, a page each: what it is (`described.py`), its gradients (`differentiable.py`), how it
speaks with NumPy, Python and notebooks (`interop.py`), and its operators (`tensor.py`)."""

from .arrays import as_array
from .differentiable import RemovableHandle, check_inputs, gradient_seeds
from .tensor import Extremum, Tensor, maximum_of, minimum_of, wrap

__all__ = [
    "Extremum",
    "RemovableHandle",
    "Tensor",
    "as_array",
    "check_inputs",
    "gradient_seeds",
    "maximum_of",
    "minimum_of",
    "wrap",
]

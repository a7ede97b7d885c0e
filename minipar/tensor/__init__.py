"""Tensor, spelled as in PyTorch, a page each: what it is (`described.py`, `size.py`), its gradients
(`differentiable.py`), the functions that are methods (`methods.py`, `arranged.py`), their in-place forms
(`inplace.py`), conversions (`converted.py`), tensors like it (`new.py`, `sampled.py`), how it speaks with NumPy, Python
and notebooks (`interop.py`), and its operators (`tensor.py`)."""

from .arrays import as_array
from .differentiable import RemovableHandle, accumulate, check_inputs, gradient_seeds
from .size import Size
from .tensor import Tensor, wrap

__all__ = [
    "RemovableHandle",
    "Size",
    "Tensor",
    "accumulate",
    "as_array",
    "check_inputs",
    "gradient_seeds",
    "wrap",
]

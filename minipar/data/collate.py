"""Collating: one batch from a list of samples, whatever tuples, lists and dicts the samples are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from ..creation import as_tensor, tensor
from ..ops.join import stack
from ..tensor import Tensor


def default_collate(batch: list[Any]) -> Any:
    """A batch from a list of samples: tensors, arrays and numbers are stacked, tuples, lists and dicts gone through.

    Strings stay a list, a tuple of parts becomes a list of batches, namedtuples and dicts keep their type. Python
    floats become the default dtype (PyTorch: always float64). TypeError for samples of any other type, RuntimeError for
    tensors of different shapes or tuples of different lengths.

    >>> minipar.data.default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ['a', 'b']]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, (np.ndarray, np.generic)):
        return _stacked_arrays(batch)
    if isinstance(first, (bool, int, float)):
        return tensor(batch)
    if isinstance(first, Mapping):
        return like(first, lambda key: default_collate([sample[key] for sample in batch]))
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError(f"samples of a batch must have equal lengths, got {sorted({len(s) for s in batch})}")
        parts = [default_collate(list(part)) for part in zip(*batch)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    raise TypeError(
        f"a batch can be made of tensors, arrays, numbers, strings, and tuples, lists and dicts of them, not of "
        f"{type(first).__name__}; pass collate_fn="
    )


def default_convert(data: Any) -> Any:
    """The sample with its NumPy arrays made tensors: what stands in for collating where there are no batches.

    >>> minipar.data.default_convert(np.arange(2))
    tensor([0, 1])
    """
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind not in "USO":
        return as_tensor(data)
    if isinstance(data, Mapping):
        return like(data, lambda key: default_convert(data[key]))
    if isinstance(data, (tuple, list)):
        parts = [default_convert(part) for part in data]
        return type(data)(*parts) if hasattr(data, "_fields") else parts
    return data


def without_rows(batch: Any) -> Any:
    """The batch with its tensors, arrays and lists of strings cut to no samples: shapes and dtypes stay.

    >>> minipar.data.collate.without_rows({"x": minipar.ones(1, 3), "name": ["a"]})
    {'x': tensor([], size=(0, 3), dtype=float32), 'name': []}
    """
    if isinstance(batch, (Tensor, np.ndarray)):
        return batch[:0]
    if isinstance(batch, Mapping):
        return like(batch, lambda key: without_rows(batch[key]))
    if isinstance(batch, (tuple, list)) and not any(isinstance(part, (str, bytes)) for part in batch):
        parts = [without_rows(part) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    if isinstance(batch, list):
        return []
    raise TypeError(f"a batch that collate_fn makes a {type(batch).__name__} cannot be cut to no samples")


def _stacked_arrays(arrays: Sequence[Any]) -> Tensor:
    shapes = {np.shape(array) for array in arrays}
    if len(shapes) > 1:
        raise RuntimeError(f"arrays of a batch must have equal shapes, got {sorted(shapes)}")
    return as_tensor(np.stack(arrays))


def like(mapping: Mapping[Any, Any], value_of: Callable[[Any], Any]) -> Mapping[Any, Any]:
    """A mapping of the same type (a plain dict for one that cannot be changed) and keys, with values of their own."""
    made = copy(mapping) if isinstance(mapping, MutableMapping) else {}
    made.update({key: value_of(key) for key in mapping})
    return made

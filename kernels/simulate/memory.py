"""An array as a kernel sees it: indices must lie inside, and what is read must have been written."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import KernelError, here
from .scalars import Scalar

VECTOR_BYTES = 16


class Memory:
    """A thread's own array. ``alignment``: its address is known to be a multiple of so many bytes.

    Of all elements that have been written, ``writes`` says when.
    """

    def __init__(self, name: str, array: np.ndarray, alignment: int):
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} must be C-contiguous, got strides {array.strides} of shape {array.shape}")
        self.name, self.array, self.alignment = name, array, alignment
        self.shape, self.size, self.dtype = array.shape, array.size, Scalar(array.dtype)
        self.writes: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        self._check_written(index)
        return self._value(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if index not in self.writes:
            self._check_bounds(index)
            self.writes[index] = None
        self._put(index, value)

    def load_vector(self, index: int, count: int) -> tuple:
        """``count`` neighbouring elements by one instruction."""
        self._check_vector(index, count)
        return tuple(self[index + i] for i in range(count))

    def store_vector(self, index: int, values: Sequence[Any]) -> None:
        """Neighbouring elements by one instruction."""
        self._check_vector(index, len(values))
        for i, value in enumerate(values):
            self[index + i] = value

    def update(self, index: Any, function: Callable[[Any, Any], Any], value: Any) -> Any:
        """An atomic read-modify-write. Returns the element as it was."""
        raise KernelError(f"{self.name} is a local array, which needs no atomic update{here()}")

    def _value(self, index: Any) -> Any:
        """Integers as Python's, so that NumPy's rules of wrapping do not apply to them."""
        value = self.array[index]
        return int(value) if self.dtype.is_integer else value

    def _put(self, index: Any, value: Any) -> None:
        self.array[index] = self.dtype(value) if self.dtype.is_integer else value

    def _element(self, index: Any) -> str:
        return f"{self.name}[{', '.join(map(str, index)) if type(index) is tuple else index}]"

    def _check_written(self, index: Any) -> None:
        if index not in self.writes:  # what has been written lies inside
            self._check_bounds(index)
            raise KernelError(f"uninitialised read of {self._element(index)}{here()}")

    def _check_bounds(self, index: Any) -> None:
        shape = self.shape
        if type(index) is int and len(shape) == 1 and 0 <= index < shape[0]:
            return  # quick for what is most frequent
        indices = index if type(index) is tuple else (index,)
        if len(indices) != len(shape):
            raise KernelError(f"{self.name} has {len(shape)} axes, indexed by {index}{here()}")
        for i, size in zip(indices, shape):
            if not 0 <= i < size:
                what = "negative index" if i < 0 else "index out of bounds"
                raise KernelError(f"{what}: {self._element(index)}, its shape is {shape}{here()}")

    def _check_vector(self, index: int, count: int) -> None:
        self._check_bounds(index)
        self._check_bounds(index + count - 1)
        if index % count:
            raise KernelError(f"misaligned vector: {self._element(index)}, no multiple of {count}{here()}")
        if self.alignment % VECTOR_BYTES:
            raise KernelError(
                f"misaligned vector: {self.name} starts at a multiple of {self.alignment} bytes, "
                f"alignment={VECTOR_BYTES} is needed{here()}"
            )

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
        if array.dtype.kind not in "biufc":
            raise TypeError(f"{name} must be an array of numbers, got one of {array.dtype}")
        self.name, self.array, self.alignment = name, array, alignment
        self.shape, self.size, self.ndim, self.dtype = array.shape, array.size, array.ndim, Scalar(array.dtype)
        self.writes: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return self.name

    def __iter__(self) -> Any:
        raise NotImplementedError(
            f"the simulator does not go through {self.name}: write a loop over its indices{here()}"
        )

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

    def update(self, index: Any, function: Callable[[Any], Any]) -> Any:
        """An atomic read-modify-write. Returns the element as it was."""
        raise KernelError(f"{self.name} is a local array, which needs no atomic update{here()}")

    def _value(self, index: Any) -> Any:
        """Integers and truth values as Python's, so that NumPy's rules of wrapping, and of adding, do not apply."""
        value = self.array[index]
        return value.item() if self.dtype.is_python else value

    def _put(self, index: Any, value: Any) -> None:
        self.array[index] = self.dtype(value) if self.dtype.is_python else value

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
            right = f"{self.name}[{', '.join('ijk'[: len(shape)]) if len(shape) <= 3 else '…'}]"
            raise KernelError(f"{self.name} has {len(shape)} axes, indexed by {index}: write {right}{here()}")
        for i, size in zip(indices, shape):
            if not isinstance(i, (int, np.integer)):
                raise KernelError(f"{self.name} is indexed by {i!r}, no integer: did you mean // for /?{here()}")
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

"""What a tensor is: its shape, dtype, device and place in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import device as Device
from ..backend import device_of, dtypes
from ..ops.shape import normal_dim
from ..tape import Value
from .size import Size


class Described(Value):
    """The part of a Tensor that says what it is."""

    __slots__ = ()

    @property
    def shape(self) -> Size:
        return Size(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def device(self) -> Device:
        return device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        return self.device.type == "cpu"

    def get_device(self) -> int:
        """The number of the GPU; −1 on the CPU."""
        index = self.device.index
        return -1 if index is None else index

    # ── axes and elements ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        """The number of axes. `ndimension` is another name."""
        return self.array.ndim

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of axis `dim`. IndexError if there is no such axis."""
        if dim is None:
            return self.shape
        if not self.ndim:
            raise IndexError(f"size: dim must name an axis, but a 0-d tensor has none; got {dim}")
        return self.shape[normal_dim(dim, self.ndim)]

    def numel(self) -> int:
        """The number of elements. `nelement` is another name."""
        return self.array.size

    nelement = numel

    # ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def itemsize(self) -> int:
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        return self.array.nbytes

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.array.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Elements between neighbours along each axis, or along axis `dim`."""
        steps = tuple([step // self.array.itemsize for step in self.array.strides])
        return steps if dim is None else steps[normal_dim(dim, self.ndim)]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Do the elements lie row by row, without gaps?"""
        if memory_format is not None:
            raise NotImplementedError("is_contiguous: memory_format is not supported; leave it out")
        return self.array.flags.c_contiguous

    # ── dtype ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def is_floating_point(self) -> bool:
        return dtypes.is_floating(self.dtype)

    def is_complex(self) -> bool:
        """No: there are no complex tensors."""
        return False

    def is_signed(self) -> bool:
        return self.dtype.kind in "if"

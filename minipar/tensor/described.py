"""What a tensor is: its shape, dtype and device."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import device as Device
from ..backend import device_of, dtypes
from ..ops.shape import normal_dim
from ..tape import Value


class Described(Value):
    """The part of a Tensor that says what it is."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def device(self) -> Device:
        return device_of(self.array)

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[normal_dim(dim, self.ndim)]

    def numel(self) -> int:
        return self.array.size

    def element_size(self) -> int:
        return self.array.itemsize

    def is_floating_point(self) -> bool:
        return dtypes.is_floating(self.dtype)

    def is_contiguous(self) -> bool:
        return self.array.flags.c_contiguous

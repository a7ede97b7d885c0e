"""Tensors made like another: of its dtype and on its device, unless others are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import tape
from ..backend import device as Device
from ..backend import dtypes, on_device
from ..backend.current_gpu import copied
from ..ops.shape import ints
from .arrays import as_array, of_data_or_size
from .described import Described


class New(Described):
    """The part of a Tensor that makes others."""

    __slots__ = ()

    def new(self, *data: Any) -> Any:
        """A tensor of these numbers or, given ints, of that size and not filled: older scripts' `new_empty`.

        >>> minipar.zeros(1, dtype=minipar.int64).new(2, 3).zero_()
        tensor([[0, 0, 0],
                [0, 0, 0]])
        """
        return self._new(of_data_or_size(data, self.dtype, "new"), None, False)

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
        """A leaf with a copy of `data`.

        >>> minipar.zeros(1, dtype=minipar.float64).new_tensor([1, 2]).dtype
        dtype('float64')
        """
        return self._new(copied(as_array(data, self._kind(dtype))), device, requires_grad)

    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
        """Zeros.

        >>> minipar.tensor([1, 2]).new_zeros(2)
        tensor([0, 0])
        """
        return self.new_full(size, 0, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
        """Ones.

        >>> minipar.tensor([1, 2]).new_ones((2,))
        tensor([1, 1])
        """
        return self.new_full(size, 1, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_full(
        self,
        size: Sequence[int],
        fill_value: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Any:
        """`fill_value` everywhere.

        >>> minipar.zeros(1).new_full((2,), 7)
        tensor([7., 7.])
        """
        return self._new(np.full(_shape(size), fill_value, self._kind(dtype)), device, requires_grad)

    def new_empty(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
        """Uninitialised memory.

        >>> minipar.zeros(1).new_empty(2, 3).shape
        (2, 3)
        """
        return self._new(np.empty(_shape(size), self._kind(dtype)), device, requires_grad)

    def _kind(self, dtype: Any) -> np.dtype:
        return self.dtype if dtype is None else dtypes.as_dtype(dtype)

    def _new(self, array: Any, device: Any, requires_grad: bool) -> Any:
        made = tape.new_value(on_device(array, self.device if device is None else Device(device)))
        return made.requires_grad_() if requires_grad else made


def _shape(size: Any) -> tuple[int, ...]:
    nested = isinstance(size, (tuple, list)) and len(size) == 1 and isinstance(size[0], (tuple, list))
    shape = ints(size[0] if nested else size, "size")
    if min(shape, default=0) < 0:
        raise RuntimeError(f"size: a size must not be negative, got {shape}")
    return shape

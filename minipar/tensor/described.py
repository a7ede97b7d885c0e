"""What a tensor is: its shape, dtype, device and place in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import device as Device
from ..backend import device_of, dtypes
from ..backend.memory import only_row_major
from ..ops.shape import normal_dim
from ..tape import Value
from .size import Size


class Described(Value):
    """The part of a Tensor that says what it is."""

    __slots__ = ()

    @property
    def shape(self) -> Size:
        """The sizes of the axes.

        >>> minipar.ones(2, 3).shape
        (2, 3)
        """
        return Size(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements: NumPy's.

        >>> minipar.ones(2).dtype
        dtype('float32')
        """
        return self.array.dtype

    @property
    def device(self) -> Device:
        """Where the memory is.

        >>> minipar.ones(2).device
        device(type='cpu')
        """
        return device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        """Is the memory a GPU's?

        >>> minipar.ones(2).is_cuda
        False
        """
        return self.device.type == "cuda"

    @property
    def is_cpu(self) -> bool:
        """Is the memory the computer's own?

        >>> minipar.ones(2).is_cpu
        True
        """
        return self.device.type == "cpu"

    def get_device(self) -> int:
        """The number of the GPU; −1 on the CPU.

        >>> minipar.ones(2).get_device()
        -1
        """
        index = self.device.index
        return -1 if index is None else index

    # ── axes and elements ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def ndim(self) -> int:
        """The number of axes.

        >>> minipar.ones(2, 3).ndim
        2
        """
        return self.array.ndim

    def dim(self) -> int:
        """The number of axes. `ndimension` is another name.

        >>> minipar.ones(2, 3).dim()
        2
        """
        return self.array.ndim

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of axis `dim`. IndexError if there is no such axis.

        >>> minipar.ones(2, 3).size(), minipar.ones(2, 3).size(-1)
        ((2, 3), 3)
        """
        if dim is None:
            return self.shape
        if not self.ndim:
            raise IndexError(f"size: dim must name an axis, but a 0-d tensor has none; got {dim}")
        return self.shape[normal_dim(dim, self.ndim)]

    def numel(self) -> int:
        """The number of elements. `nelement` is another name.

        >>> minipar.ones(2, 3).numel()
        6
        """
        return self.array.size

    nelement = numel

    # ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def itemsize(self) -> int:
        """Bytes of an element.

        >>> minipar.ones(2, 3).itemsize
        4
        """
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements.

        >>> minipar.ones(2, 3).nbytes
        24
        """
        return self.array.nbytes

    def element_size(self) -> int:
        """Bytes of an element.

        >>> minipar.ones(2, 3).element_size()
        4
        """
        return self.array.itemsize

    def data_ptr(self) -> int:
        """The address of the first element (0 if there is none): equal where two tensors start in the same memory.

        >>> x = minipar.ones(2, 3)
        >>> x.view(6).data_ptr() == x.data_ptr(), x.clone().data_ptr() == x.data_ptr()
        (True, False)
        """
        if not self.array.size:
            return 0
        return self.array.data.ptr if self.is_cuda else self.array.ctypes.data

    def stride(self, dim: int | None = None) -> Any:
        """Elements between neighbours along each axis, or along axis `dim`.

        >>> minipar.ones(2, 3).stride(), minipar.ones(2, 3).T.stride()
        ((3, 1), (1, 3))
        """
        steps = tuple([step // self.array.itemsize for step in self.array.strides])
        return steps if dim is None else steps[normal_dim(dim, self.ndim)]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Do the elements lie row by row, without gaps?

        >>> minipar.ones(2, 3).is_contiguous(), minipar.ones(2, 3).T.is_contiguous()
        (True, False)
        """
        only_row_major(memory_format, "is_contiguous")
        return self.array.flags.c_contiguous

    # ── dtype ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def is_floating_point(self) -> bool:
        """Are the elements float16, float32 or float64?

        >>> minipar.tensor([1]).is_floating_point()
        False
        """
        return dtypes.is_floating(self.dtype)

    def is_complex(self) -> bool:
        """No: there are no complex tensors.

        >>> minipar.tensor([1]).is_complex()
        False
        """
        return False

    def is_signed(self) -> bool:
        """Can an element be negative?

        >>> minipar.tensor([1]).is_signed(), minipar.tensor([True]).is_signed()
        (True, False)
        """
        return self.dtype.kind in "if"

"""A tensor in another dtype, on another device, or in other memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import device as Device
from ..backend import dtypes
from ..backend.memory import only_row_major
from ..ops import op, shape
from ..ops.accepts import tensor_dtype
from ..ops.device import Move
from .described import Described

TYPE_NAMES: dict[str, np.dtype] = {
    "FloatTensor": dtypes.float32,
    "DoubleTensor": dtypes.float64,
    "HalfTensor": dtypes.float16,
    "LongTensor": dtypes.int64,
    "IntTensor": dtypes.int32,
    "ShortTensor": dtypes.int16,
    "CharTensor": dtypes.int8,
    "ByteTensor": dtypes.uint8,
    "BoolTensor": dtypes.bool_,
}


class Converted(Described):
    """The part of a Tensor that converts it. The gradient flows through, back into the old dtype and device."""

    __slots__ = ()

    def to(
        self,
        *args: Any,
        device: Any = None,
        dtype: Any = None,
        non_blocking: bool = False,
        copy: bool = False,
        memory_format: Any = None,
    ) -> Any:
        """`x.to(dtype)`, `x.to(device)`, `x.to(device, dtype)` or `x.to(other)`: x itself if nothing changes.

        `copy` copies also then; `non_blocking` may follow, and changes no result: a copy is complete when it is used.

        >>> minipar.tensor([1, 2]).to(minipar.float32)
        tensor([1., 2.])
        """
        only_row_major(memory_format, "to")
        there, kind, flags = destination(args, device, dtype)
        copy = flags[1] if len(flags) > 1 else copy
        moved: Any = self if there is None or there == self.device else Move(there)(self)
        if kind is not None:
            moved = op.cast(moved, kind)
        return moved.clone() if copy and moved is self else moved

    def cpu(self) -> Any:
        """The tensor in the computer's own memory: itself if it is there.

        >>> x = minipar.ones(2)
        >>> x.cpu() is x
        True
        """
        return self.to("cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Any:
        """The tensor on a GPU: the current one, or `device` (a number or a device).

        >>> x = minipar.ones(2).cuda() if minipar.cuda.is_available() else minipar.ones(2)
        """
        return self.to(device="cuda" if device is None else device)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The tensor in another dtype, also named as "torch.FloatTensor"; without one, that name of its own dtype.

        >>> minipar.zeros(1).type(), minipar.zeros(1).type(minipar.int32).dtype
        ('torch.FloatTensor', dtype('int32'))
        """
        if dtype is None:
            name = next(name for name, kind in TYPE_NAMES.items() if kind == self.dtype)
            return f"torch.cuda.{name}" if self.is_cuda else f"torch.{name}"
        if isinstance(dtype, str) and (name := dtype.rpartition(".")[2]) in TYPE_NAMES:
            dtype = TYPE_NAMES[name]
        dtype = getattr(dtype, "kind_of_elements", dtype)  # FloatTensor itself
        return self.to(dtype=dtype)

    def type_as(self, other: Any) -> Any:
        """`x.to(other.dtype)`

        >>> minipar.tensor([1]).type_as(minipar.ones(2))
        tensor([1.])
        """
        return self.type(tensor_dtype(other))

    def float(self) -> Any:
        """`x.to(minipar.float32)`.

        >>> minipar.tensor([0, 1]).float().dtype
        dtype('float32')
        """
        return op.cast(self, dtypes.float32)

    def double(self) -> Any:
        """`x.to(minipar.float64)`.

        >>> minipar.tensor([0, 1]).double().dtype
        dtype('float64')
        """
        return op.cast(self, dtypes.float64)

    def half(self) -> Any:
        """`x.to(minipar.float16)`.

        >>> minipar.tensor([0, 1]).half().dtype
        dtype('float16')
        """
        return op.cast(self, dtypes.float16)

    def long(self) -> Any:
        """`x.to(minipar.int64)`.

        >>> minipar.tensor([0, 1]).long().dtype
        dtype('int64')
        """
        return op.cast(self, dtypes.int64)

    def int(self) -> Any:
        """`x.to(minipar.int32)`.

        >>> minipar.tensor([0, 1]).int().dtype
        dtype('int32')
        """
        return op.cast(self, dtypes.int32)

    def short(self) -> Any:
        """`x.to(minipar.int16)`.

        >>> minipar.tensor([0, 1]).short().dtype
        dtype('int16')
        """
        return op.cast(self, dtypes.int16)

    def char(self) -> Any:
        """`x.to(minipar.int8)`.

        >>> minipar.tensor([0, 1]).char().dtype
        dtype('int8')
        """
        return op.cast(self, dtypes.int8)

    def byte(self) -> Any:
        """`x.to(minipar.uint8)`.

        >>> minipar.tensor([0, 1]).byte().dtype
        dtype('uint8')
        """
        return op.cast(self, dtypes.uint8)

    def bool(self) -> Any:
        """`x.to(minipar.bool)`.

        >>> minipar.tensor([0, 1]).bool().dtype
        dtype('bool')
        """
        return op.cast(self, dtypes.bool_)

    def clone(self, *, memory_format: Any = None) -> Any:
        """A copy in memory of its own; the gradient flows through.

        >>> x = minipar.ones(2)
        >>> x.clone().zero_(), x
        (tensor([0., 0.]), tensor([1., 1.]))
        """
        only_row_major(memory_format, "clone")
        return shape.Copy()(self)

    def contiguous(self, memory_format: Any = None) -> Any:
        """The tensor itself if its elements lie row by row without gaps, else a copy in which they do.

        >>> minipar.ones(2, 3).T.contiguous().stride()
        (2, 1)
        """
        return self if self.is_contiguous(memory_format) else self.clone()


def destination(args: tuple, device: Any, dtype: Any) -> tuple[Device | None, np.dtype | None, tuple]:
    """The device and the dtype (None: as it is) that the arguments of a tensor's or module's `to` name, and the flags.

    These are the bools at the end: `x.to(dtype, non_blocking, copy)`. TypeError for more than two arguments, or
    one that names neither; ValueError for text that does.
    """
    count = len(args)
    while count and isinstance(args[count - 1], (bool, np.bool_)):
        count -= 1
    named, flags = args[:count], args[count:]
    if len(named) > 2 or len(flags) > 2:
        raise TypeError(f"to: expected a dtype, a device, a device and a dtype, or a tensor, got {args}")
    for arg in named:
        if isinstance(arg, Described):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, (Device, int)) or (isinstance(arg, str) and not _is_dtype(arg)):
            device = arg
        elif arg is not None:
            dtype = arg
    return _device(device), None if dtype is None else dtypes.as_dtype(dtype), flags


def _is_dtype(name: str) -> bool:
    if name.partition(":")[0] in ("cpu", "cuda"):
        return False
    try:
        np.dtype(name)
    except TypeError:
        raise ValueError(f"to: {name!r} is no device ('cpu', 'cuda', 'cuda:N') and no dtype") from None
    return True


def _device(given: Any) -> Device | None:
    if isinstance(given, int):
        return Device("cuda", given)
    return None if given is None else Device(given)

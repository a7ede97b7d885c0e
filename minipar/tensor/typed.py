"""Tensor classes by element type, as older scripts call them: `FloatTensor([1, 2])`, `LongTensor(2, 3)`.

None has instances of its own: a FloatTensor is any tensor of float32 on the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import of_data_or_size
from .converted import TYPE_NAMES
from .tensor import Tensor, wrap


class _OfItsType(type):
    kind_of_elements: np.dtype

    def __instancecheck__(cls, thing: Any) -> bool:
        return isinstance(thing, Tensor) and thing.dtype == cls.kind_of_elements and thing.is_cpu


def _typed(name: str) -> Any:
    kind = TYPE_NAMES[name]

    def __new__(cls: Any, *data: Any) -> Tensor:
        return wrap(of_data_or_size(data, kind, name))

    shown = repr(wrap(np.array([1, 0], kind)))
    doc = f"""A {kind} tensor of a list, an array or a tensor; given ints, one of that size, not filled.

    >>> minipar.{name}([1, 0])
    {shown}
    """
    return _OfItsType(name, (), {"__new__": __new__, "__doc__": doc, "__module__": __name__, "kind_of_elements": kind})


FloatTensor = _typed("FloatTensor")
DoubleTensor = _typed("DoubleTensor")
HalfTensor = _typed("HalfTensor")
LongTensor = _typed("LongTensor")
IntTensor = _typed("IntTensor")
ShortTensor = _typed("ShortTensor")
CharTensor = _typed("CharTensor")
ByteTensor = _typed("ByteTensor")
BoolTensor = _typed("BoolTensor")

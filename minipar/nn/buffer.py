"""A tensor that becomes a buffer of the module that it is assigned to."""

from __future__ import annotations

from typing import Any

from ..tape import Value
from ..tensor import Tensor


class Buffer(Tensor):
    """A tensor that a Module registers as its state without training it: `self.mean = nn.Buffer(minipar.zeros(3))`.

    A `persistent` one is part of the state_dict.

    >>> module = nn.Module()
    >>> module.mean = nn.Buffer(minipar.zeros(3))
    >>> [name for name, _ in module.named_buffers()]
    ['mean']
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any = (), *, persistent: bool = True) -> None:
        Value.__init__(self, data.array if isinstance(data, Tensor) else Tensor(data).array)
        self.persistent = persistent

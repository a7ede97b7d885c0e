"""Parameters, and the flat buffers they live in.

An optimizer step, a gradient all-reduce and a checkpoint are each one pass over all parameters. So parameters of one dtype
and device that are trained together share one flat array, and their gradients another, in reverse order of registration
(the order in which backward finishes them):

    buffer.data   [ fc.bias | fc.weight | conv.bias | conv.weight ]
    buffer.grad   [   ...   |    ...    |    ...    |     ...     ]      each slot seen by its Parameter as a view

Flattening is storage only. `p.grad is None` means that the slot's gradient is not valid, whatever numbers lie there. A
parameter whose array is replaced by one that does not fit its slot simply leaves the buffer.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable
from typing import Any

from ..backend import device_of, namespace
from ..tape import Value
from ..tensor import Tensor, wrap


class Parameter(Tensor):
    """A tensor that a Module registers as its own and an optimizer trains; it requires grad unless told otherwise."""

    __slots__ = ("buffer", "slot", "_handed")

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        array = data.array if isinstance(data, Tensor) else Tensor(data).array
        Value.__init__(self, array)
        self.buffer: FlatBuffer | None = None
        self.slot = 0
        self._handed: weakref.ref | None = None  # the gradient tensor last handed out over the slot's memory
        self.requires_grad = requires_grad

    def in_buffer(self) -> bool:
        """Is the array still the slot of the buffer?"""
        return self.buffer is not None and self.array is self.buffer.data_views[self.slot]

    def grad_in_buffer(self) -> bool:
        """Is there a gradient, and does it lie in the buffer?"""
        return self._grad is not None and self.in_buffer() and self._grad.array is self.buffer.grad_views[self.slot]

    @property
    def data(self) -> Tensor:
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        """Copied into the slot if shape, dtype and device are the same (PyTorch would share memory); else replaces it."""
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be a Tensor, not {type(value).__name__}")
        if self.in_buffer() and value.shape == self.shape and value.dtype == self.dtype and value.device == self.device:
            self.array[...] = value.array
            self.bump("data")
        else:
            self.array = value.array
            self.buffer = None

    def accumulate(self, grad: Any) -> None:
        """Add a finished gradient: the first since `.grad` was None is written into the slot."""
        if self._grad is not None or isinstance(grad, Value) or not self.in_buffer():
            super().accumulate(grad)
            return
        before = self._handed() if self._handed is not None else None
        if before is not None:  # somebody kept the last gradient: it keeps its numbers
            before.array = before.array.copy()
        view = self.buffer.grad_views[self.slot]
        view[...] = grad
        self._grad = wrap(view)
        self._handed = weakref.ref(self._grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Parameter:
        copied = Parameter(wrap(self.array.copy()), self.tracked)
        copied._grad = None if self._grad is None else wrap(self._grad.array.copy())
        memo[id(self)] = copied
        return copied

    def __reduce__(self) -> Any:
        return _rebuild_parameter, (wrap(self.array), self.tracked)


def _rebuild_parameter(data: Tensor, requires_grad: bool) -> Parameter:
    return Parameter(data, requires_grad)


class FlatBuffer:
    """One array of parameters and one of their gradients, with a view of each for every slot."""

    def __init__(self, parameters: list[Parameter]) -> None:
        like = parameters[0].array
        sizes = [math.prod(p.shape) for p in parameters]
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        self.spans = [(end - size, end) for size, end in zip(sizes, ends)]
        xp = namespace(like)
        self.data = xp.empty(ends[-1], like.dtype)
        self.grad = xp.zeros(ends[-1], like.dtype)
        self.data_views = [self.data[a:b].reshape(p.shape) for (a, b), p in zip(self.spans, parameters)]
        self.grad_views = [self.grad[a:b].reshape(p.shape) for (a, b), p in zip(self.spans, parameters)]
        for slot, p in enumerate(parameters):
            self.data_views[slot][...] = p.array
            p.array = self.data_views[slot]
            p.buffer, p.slot = self, slot
            if p._grad is not None and p._grad.node is None:
                self.grad_views[slot][...] = p._grad.array
                p._grad.array = self.grad_views[slot]
                p._handed = weakref.ref(p._grad)


def flatten(parameters: Iterable[Parameter]) -> list[FlatBuffer]:
    """Put parameters that are in no buffer into new ones, one a dtype, device and requires_grad; in reverse order.

    Returns every buffer that holds one of `parameters`, in the order in which they are met. Calling it again changes nothing.
    """
    unique = list({id(p): p for p in parameters}.values())[::-1]
    homeless: dict[Any, list[Parameter]] = {}
    for p in unique:
        if not p.in_buffer():
            homeless.setdefault((p.dtype, device_of(p.array), p.tracked), []).append(p)
    for group in homeless.values():
        FlatBuffer(group)
    return list({id(p.buffer): p.buffer for p in unique if p.buffer is not None}.values())

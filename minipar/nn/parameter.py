"""Parameters, and the flat buffers they live in.

An optimizer step, a gradient all-reduce and a checkpoint are each one pass over all parameters. So parameters of one
dtype and device that are trained together share one flat array, and their gradients another, in reverse order of
registration (the order in which backward finishes them):

    buffer.data   [ fc.bias | fc.weight | conv.bias | conv.weight ]
    buffer.grad   [   ...   |    ...    |    ...    |     ...     ]      each slot seen by its Parameter as a view

Flattening is storage only. `p.grad is None` means that the slot's gradient is not valid, whatever numbers lie there. A
parameter whose array is replaced by one that does not fit its slot simply leaves the buffer. And nobody's numbers are
replaced under their hands: a slot gets a new tenant only while no other tensor or array looks at it (`_watched`). A
user who keeps a gradient, or the old `p.data`, keeps its numbers; the new ones are then stored elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from sys import getrefcount
from typing import Any

import numpy as np

from ..backend import device_of, namespace
from ..backend.current_gpu import copied, on_its_gpu
from ..tape import Value, set_grad_mode
from ..tensor import Tensor, wrap


class Parameter(Tensor):
    """A tensor that a Module registers as its own and an optimizer trains; it requires grad unless told otherwise.

    >>> nn.Parameter(minipar.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ("buffer", "slot", "lent")

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        array = data.array if isinstance(data, Tensor) else Tensor(data).array
        Value.__init__(self, array)
        self.buffer: FlatBuffer | None = None
        self.slot = 0
        self.lent = False  # has a walk back taken the slot's gradient to write in, and not yet brought it?
        self.requires_grad = requires_grad

    def in_buffer(self) -> bool:
        """Is the array still the slot of the buffer?"""
        return self.buffer is not None and self.array is self.buffer.data_views[self.slot]

    def grad_in_buffer(self) -> bool:
        """Is there a gradient, and does it lie in the buffer, as the array does?"""
        grad, buffer = self._grad, self.buffer
        return (
            grad is not None
            and buffer is not None
            and grad.array is buffer.grad_views[self.slot]
            and self.array is buffer.data_views[self.slot]
        )

    @property
    def data(self) -> Tensor:
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        """Copied into the slot if shape, dtype and device are the same (PyTorch would share memory); else replaces it.

        Where somebody looks at the old numbers (`old = p.data; p.data = new; …; p.data = old`), they stay as they are.
        """
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be a Tensor, not {type(value).__name__}")
        fits = value.shape == self.shape and value.dtype == self.dtype and value.device == self.device
        if fits and self.buffer is not None and self.in_buffer() and not _watched(self.buffer.data_views, self.slot, 1):
            self.array[...] = value.array
        else:
            self.array = value.array
            self.buffer = None
        self.bump("data")

    def _grad_slot(self) -> Any:
        """The slot's part of the buffer of gradients, where no gradient is there yet and nobody looks at it."""
        buffer = self.buffer
        if self._grad is not None or buffer is None or self.lent or self._hooks:
            return None
        slot = self.slot
        view = buffer.grad_views[slot]
        # In an expression of its own, getrefcount counts the list, this name and its argument.
        if self.array is not buffer.data_views[slot] or getrefcount(view) > 3:
            return None
        self.lent = True
        return view

    def accumulate(self, grad: Any) -> None:
        """Add a finished gradient: the first since `.grad` was None is written into the slot, unless it lies there."""
        buffer = self.buffer
        if self.lent:
            self.lent = False
            if self._grad is None and grad is buffer.grad_views[self.slot]:  # type: ignore[union-attr]
                self._grad = wrap(grad)
                return
        if self._grad is not None or isinstance(grad, Value) or buffer is None or not self.in_buffer():
            super().accumulate(grad)
            return
        if _watched(buffer.grad_views, self.slot, 0):
            super().accumulate(grad)
            return
        view = buffer.grad_views[self.slot]
        view[...] = grad
        self._grad = wrap(view)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Parameter:
        """A parameter of its own, without a gradient and outside any buffer."""
        twin = memo[id(self)] = type(self)(wrap(copied(self.array)), self.tracked)
        return twin

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), wrap(self.array), self.tracked), self.__dict__ or None


def _rebuild(kind: type[Parameter], data: Tensor, requires_grad: bool) -> Parameter:
    return kind(data, requires_grad)


class FlatBuffer:
    """One array of parameters and one of their gradients, with a view of each for every slot.

    Slot i holds elements spans[i][0]:spans[i][1]. To keep a reference to an entry of `data_views` or `grad_views`
    is to look at it: its parameter then stores what is new elsewhere.
    """

    @on_its_gpu
    def __init__(self, parameters: list[Parameter]) -> None:
        like = parameters[0].array
        self.spans, end = [], 0
        for p in parameters:
            start, end = end, end + math.prod(p.shape)
            self.spans.append((start, end))
        xp = namespace(like)
        self.data = xp.empty(end, like.dtype)
        self.grad = xp.zeros(end, like.dtype)
        self.data_views = [_view(self.data[a:b], p.shape) for (a, b), p in zip(self.spans, parameters)]
        self.grad_views = [_view(self.grad[a:b], p.shape) for (a, b), p in zip(self.spans, parameters)]
        for slot, p in enumerate(parameters):
            self.data_views[slot][...] = p.array
            p.array = self.data_views[slot]
            p.buffer, p.slot = self, slot
        self._shapes = [p.shape for p in parameters]

    def has_gradients(self) -> bool:
        """Does anybody look at a gradient in the buffer (or keep the place of one)?"""
        return any(_watched(self.grad_views, slot, 0) for slot in range(len(self.grad_views)))

    def is_shown(self) -> bool:
        """Does anybody look at a parameter in the buffer, besides the parameter itself?"""
        return any(_watched(self.data_views, slot, 1) for slot in range(len(self.data_views)))

    def keep_parameters_in(self, data: Any, parameters: Iterable[Parameter]) -> None:
        """From now on the parameters in this buffer (among these) lie in `data`, of its size and dtype."""
        inside = [p for p in parameters if p.buffer is self and p.in_buffer()]
        data[...] = self.data
        self.data = data
        self.data_views = [_view(data[a:b], shape) for (a, b), shape in zip(self.spans, self._shapes)]
        for p in inside:
            p.array = self.data_views[p.slot]

    def keep_gradients_in(self, grad: Any) -> None:
        """From now on gradients lie in `grad`, zeros of the size and dtype of the buffer, while it has none."""
        self.grad = grad
        self.grad_views = [_view(grad[a:b], shape) for (a, b), shape in zip(self.spans, self._shapes)]


def flatten(parameters: Iterable[Parameter]) -> list[FlatBuffer]:
    """Put parameters that are in no buffer into new ones, one a dtype, device and requires_grad; in reverse order.

    Returns every buffer that holds one of `parameters`, in the order in which they are met. Calling it again changes
    nothing. A parameter whose memory somebody else looks at (a state dict that was kept, a NumPy array it was made of)
    goes on sharing it, and so stays outside.
    """
    unique = list({id(p): p for p in parameters}.values())[::-1]
    homeless: dict[Any, list[Parameter]] = {}
    for p in unique:
        if not p.in_buffer() and not _shares_memory(p):
            homeless.setdefault((p.dtype, device_of(p.array), p.tracked), []).append(p)
    for group in homeless.values():
        FlatBuffer(group)
    return list({id(p.buffer): p.buffer for p in unique if p.buffer is not None}.values())


def zero_grad(parameters: Iterable[Tensor], set_to_none: bool) -> None:
    """Forget the gradients, or fill them with zeros in place."""
    if set_to_none:
        for p in parameters:
            p._grad = None
        return
    with set_grad_mode(False):
        for p in parameters:
            if p.grad is not None:
                p.grad.detach_().zero_()


def _view(piece: Any, shape: tuple[int, ...]) -> Any:
    """The piece in another shape, as an array that every view of it refers to (see `_watched`).

    NumPy's views refer to the array that owns the memory, past all views in between, unless something that is no array
    stands there: a memoryview. CuPy has no such thing, but can make an array without an owner.
    """
    if isinstance(piece, np.ndarray):
        return np.asarray(memoryview(piece.reshape(shape)))  # type: ignore[arg-type]
    return namespace(piece).ndarray(shape, piece.dtype, piece.data)


def _watched(views: list[Any], slot: int, own: int) -> bool:
    """Does anything refer to this slot's view, besides the list, this call and `own` more?"""
    return getrefcount(views[slot]) > 2 + own


def _shares_memory(p: Parameter) -> bool:
    """Does anything besides `p` refer to p's array, or to the array that it is a view of?"""
    return getrefcount(p.array) > 2 or (p.array.base is not None and getrefcount(p.array.base) > 2)

"""The tensors of a recorded step: which were there before, which it made, and whose gradients it sets."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..nn.parameter import Parameter
from ..tape import Value
from .between import Between
from .memory import Identities, array_slot, grad_slot
from .program import Computed, Grad, Outside
from .traced import PLAIN, TRACE, plain_of


class Tensors(Between):
    """The part of a recorder that hears of every tensor's memory and gradient."""

    def read(self, value: Value) -> Any:
        """value.array"""
        array = array_slot.__get__(value)
        if self.mode == PLAIN or type(array) is not np.ndarray:
            return array
        key = id(value)
        if key not in self.born and key not in self.live and key not in self.old_grads:
            self.live[key] = value, array, value.tracked
            self.vary(array)
        return self.traced(array)

    def write(self, value: Value, array: Any) -> None:
        """value.array = array"""
        array = plain_of(array)
        try:
            before = array_slot.__get__(value)
        except AttributeError:
            self.born[id(value)] = weakref.ref(value, partial(_forget, self.born, id(value)))
        else:
            if self.mode == TRACE and id(value) not in self.born and before is not array:
                raise RuntimeError(
                    f"minipar.compile: the step gives a tensor of shape {before.shape} from outside other memory "
                    "(x.data = …, resize_, …), which a replay would not do: write into it (copy_) instead"
                )
        array_slot.__set__(value, array)

    def bump(self, original: Callable[..., Any], value: Value, changed_by: str) -> None:
        """A tensor was changed in place: who saved one from outside must hear of it in each replay."""
        original(value, changed_by)
        if self.mode == TRACE and id(value) not in self.born and id(value) not in self.old_grads:
            self.program.append(Computed(original, (value, changed_by), {}))

    def output(self, value: Value) -> np.ndarray:
        """A result of the step."""
        self.read(value)
        return array_slot.__get__(value)

    def kept_outside(self, inputs: Sequence[Value]) -> list[Value]:
        """The tensors that the step made of tensors, and somebody still holds."""
        known = Identities([*inputs, *[grad_slot.__get__(value) for value in self.touched.values()]])
        alive = [value for ref in list(self.born.values()) if (value := ref()) is not None and value not in known]
        return [value for value in alive if self.varies([array_slot.__get__(value)])]

    # ── gradients, and what lies outside ──────────────────────────────────────────────────────────────────────────────

    def accumulate(self, original: Callable[..., Any], leaf: Value, grad: Any) -> None:
        if isinstance(grad, Value):
            original(leaf, grad)
            return
        plain = plain_of(grad)
        self.grad_read(leaf)
        first = grad_slot.__get__(leaf) is None
        self.plainly(original, leaf, plain)
        kept = array_slot.__get__(grad_slot.__get__(leaf))
        if not first:
            self.before_write(kept, [plain])
            self.add(Computed(np.add, (kept, plain, kept), {}), [kept])
            return
        if kept is not plain:
            self.add(Computed(np.copyto, (kept, plain), {}), [kept])
        self.born[id(grad_slot.__get__(leaf))] = weakref.ref(grad_slot.__get__(leaf))
        self.grad_set(leaf)

    def grad_read(self, value: Value) -> None:
        """Somebody asks for a gradient: does it come from before the step?"""
        key = id(value)
        if key not in self.born and key not in self.touched and key not in self.entries:
            grad = grad_slot.__get__(value)
            self.entries[key] = value, grad is not None
            if grad is not None:
                if not _in_slot(value, grad):
                    shape = tuple(array_slot.__get__(value).shape)
                    raise NotImplementedError(
                        f"minipar.compile: the step adds to a gradient of shape {shape} from before it, which "
                        "lies outside of the parameters' flat buffer; call zero_grad() at the start of the step"
                    )
                self.old_grads[id(grad)] = weakref.ref(grad, partial(_forget, self.old_grads, id(grad)))
                self.vary(array_slot.__get__(grad))

    def grad_set(self, value: Value) -> None:
        if id(value) not in self.born:
            self.grads[id(value)] = self.touched[id(value)] = value

    def settle_grads(self) -> None:
        """From here on somebody looks at the gradients: each must be where eager would have it."""
        for value in self.touched.values():
            grad = grad_slot.__get__(value)
            in_slot = grad is not None and _in_slot(value, grad)
            if id(value) in self.grads or (grad is not None and not in_slot):
                self.program.append(Grad(value, None if grad is None else array_slot.__get__(grad), in_slot))
        self.grads.clear()

    def outside(self, function: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        """An optimizer's step, or a scheduler's: called as it is in each replay."""
        self.settle_grads()
        result = self.plainly(function, *args, **kwargs)
        self.program.append(Outside(function, args, kwargs))
        return result


def _forget(table: dict[int, Any], key: int, _: Any) -> None:
    table.pop(key, None)


def _in_slot(value: Value, grad: Value) -> bool:
    buffer = value.buffer if isinstance(value, Parameter) else None
    return buffer is not None and array_slot.__get__(grad) is buffer.grad_views[value.slot]  # type: ignore[attr-defined]

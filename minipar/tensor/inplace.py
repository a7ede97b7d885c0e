"""Tensor's in-place forms: `x.add_(y)` is x ← x + y in x's own memory, and the tape notices (`ops/inplace.py`).

The name of an in-place form is that of the operation with an underscore; most are one line each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..ops import arithmetic, index, pointwise
from ..ops.inplace import in_place
from ..tape import Value
from .arrays import as_array
from .described import Described


def _in_place(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method `name`: x ← function(x, …)."""

    @wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return in_place(self, name, lambda x: function(x, *args, **kwargs))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"x ← {function.__name__}(x, …), in place; returns x. See `minipar.{function.__name__}`."
    return method


class InPlace(Described):
    """The part of a Tensor that changes its own memory."""

    __slots__ = ()

    # ── arithmetic ────────────────────────────────────────────────────────────────────────────────────────────────

    add_ = _in_place("add_", arithmetic.add)
    sub_ = _in_place("sub_", arithmetic.sub)
    mul_ = _in_place("mul_", arithmetic.mul)
    div_ = _in_place("div_", arithmetic.div)

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    # ── functions of one number ───────────────────────────────────────────────────────────────────────────────────

    clamp_ = _in_place("clamp_", pointwise.clamp)
    relu_ = _in_place("relu_", pointwise.relu)

    # ── assignment ────────────────────────────────────────────────────────────────────────────────────────────────

    def fill_(self, value: float) -> Any:
        """Every element ← value."""
        return self._overwrite("fill_", as_array(value, self.dtype, like=self.array))

    def zero_(self) -> Any:
        """Every element ← 0."""
        return self._overwrite("zero_", as_array(0, self.dtype, like=self.array))

    def copy_(self, source: Any) -> Any:
        """Every element ← the corresponding one of `source`, which is broadcast, cast and moved to this device."""
        return self._overwrite("copy_", source.to(self.device, self.dtype))

    def _overwrite(self, name: str, value: Value | Any) -> Any:
        return in_place(self, name, lambda x: index.SetItem(...)(x, value))

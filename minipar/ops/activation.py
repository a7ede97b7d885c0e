"""What activations share: a kernel for the value, one for the gradient, and the gradient again, to be recorded."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..backend.dispatch import kernel
from ..tape import Value
from .inplace import in_place
from .op import Elementwise


class Activation(Elementwise):
    """Base of activations: y = f(x) by one kernel, the gradient, from x or, with `saves_output`, from y, by another.

    Both kernels take `numbers` too. `recorded` is the same gradient in differentiable operations, for the gradient of
    the gradient.
    """

    __slots__ = ()
    kernels_only = True

    forward_kernel: str
    gradient_kernel: str
    numbers: tuple[float, ...] = ()

    def recorded(self, g: Any, x: Any) -> Any:
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        return kernel(self.forward_kernel, x)(x, *self.numbers)

    def vjp(self, g: Any, x: Any) -> Any:
        if isinstance(x, Value):
            return self.recorded(g, x)
        return kernel(self.gradient_kernel, x)(g, x, *self.numbers)


def applied(name: str, input: Any, inplace: bool, operation: Callable[[Any], Any]) -> Any:
    """operation(input), written over the input if `inplace`."""
    return in_place(input, f"{name}_", operation) if inplace else operation(input)


def in_place_form(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that is spelled with an underscore: the same with inplace=True."""

    @wraps(function)
    def form(*args: Any, **kwargs: Any) -> Any:
        return function(*args, inplace=True, **kwargs)

    form.__name__ = form.__qualname__ = f"{function.__name__}_"
    form.__doc__ = f"`{function.__name__}` in place: changes input, and returns it."
    return form

"""Size and sign."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from .accepts import accepts, tensor_dtype
from .flat import Flat
from .op import Elementwise
from .select import nothing, where


class Abs(Elementwise):
    """y = |x|; the gradient at 0 is 0."""

    __slots__ = ()
    saves = (0,)

    def forward(self, x):
        accepts("abs", "if", x)
        return abs(x)

    def vjp(self, g, x):
        return g * sign(x)


class Sign(Flat):
    """y = -1, 0 or 1, and 0 for NaN, as in PyTorch."""

    __slots__ = ()

    def forward(self, x):
        return ((x > 0) ^ (x < 0)).astype(x.dtype) if x.dtype.kind == "b" else (x > 0) * x.dtype.type(1) - (x < 0)


class CopySign(Elementwise):
    """y = |a| with the sign of b (of -0 too); ∂y/∂a = y/a, 0 at a = 0."""

    __slots__ = ()
    saves = (0,)
    saves_output = True
    integers_become_floats = True

    def forward(self, a, b):
        return namespace(a).copysign(a, b)

    def vjp(self, g, a, y):
        return where(a == 0, 0.0, g * (y / a)), nothing(g) if self.needs[1] else None


class Heaviside(Flat):
    """y = 0 below 0, b at 0, 1 above"""

    __slots__ = ()

    def forward(self, a, b):
        return namespace(a).where(a == 0, b, a > 0)


def abs_(input: Any) -> Any:
    """|input|; its gradient at 0 is 0. NotImplementedError for bools.

    >>> minipar.abs(minipar.tensor([-1, 2]))
    tensor([1, 2])
    """
    return Abs()(input)


def sign(input: Any) -> Any:
    """-1, 0 or 1, in input's dtype (0 for NaN); the gradient is 0.

    >>> minipar.sign(minipar.tensor([-3, 0, 5]))
    tensor([-1,  0,  1])
    """
    return Sign()(input)


def copysign(input: Any, other: Any) -> Any:
    """|input| with the sign of other (that of -0.0 too), broadcast and promoted; integers give floats.

    >>> minipar.copysign(minipar.tensor([1.0, -2.0]), minipar.tensor([-0.0, 3.0]))
    tensor([-1., 2.])
    """
    return CopySign()(input, other)


def heaviside(input: Any, values: Any) -> Any:
    """0 below 0 (and for NaN), `values` at 0, 1 above, broadcast. RuntimeError if the dtypes differ.

    >>> minipar.heaviside(minipar.tensor([-2.0, 0.0, 3.0]), minipar.tensor(0.5)).tolist()
    [0.0, 0.5, 1.0]
    """
    if tensor_dtype(input) != tensor_dtype(values):
        raise RuntimeError(
            f"heaviside: values must have the dtype of input, {input.dtype.name}, not {values.dtype.name}"
        )
    return Heaviside()(input, values)

"""How floating-point numbers are made: neighbours, mantissa and exponent."""

from __future__ import annotations

from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..tape import Value
from .accepts import accepts
from .named import Named
from .op import Elementwise, array_of
from .power import ldexp
from .select import nothing, where


class Mantissa(Elementwise):
    """y = x / 2ᵉ, in [½, 1); the gradient takes the exponent for constant."""

    saves = (0,)

    def forward(self, x):
        accepts("frexp", "f", x)
        return namespace(x).frexp(x)[0]

    def vjp(self, g, x):
        exponents = namespace(array_of(x)).frexp(array_of(x))[1]
        return ldexp(g, -exponents)


class NextAfter(Elementwise):
    """The number next to a, towards b: it goes along with a, except where it is b."""

    saves = (0, 1)

    def forward(self, a, b):
        accepts("nextafter", "f", a)
        return namespace(a).nextafter(a, b)

    def vjp(self, g, a, b):
        return where(a != b, g, 0.0), nothing(g)


class Frexp(Named):
    """mantissa · 2^exponent."""

    mantissa: Any
    exponent: Any


@on_its_gpu
def frexp(input: Any) -> Frexp:
    """(mantissa, exponent) with input = mantissa · 2^exponent and ½ ≤ |mantissa| < 1; exponents are int32.

    NotImplementedError for integers.

    >>> minipar.frexp(minipar.tensor([8.0, 0.75]))
    Frexp(mantissa=tensor([0.5 , 0.75]), exponent=tensor([4, 0], dtype=int32))
    """
    mantissa = Mantissa()(input)
    exponents = namespace(array_of(input)).frexp(array_of(input))[1]
    return Frexp(mantissa, tape.new_value(exponents.astype("int32")) if isinstance(input, Value) else exponents)


def nextafter(input: Any, other: Any) -> Any:
    """The next floating-point number after input, towards other. Shapes are broadcast.

    >>> one = minipar.tensor(1.0)
    >>> (minipar.nextafter(one, minipar.tensor(2.0)) - one).item() == 2.0**-23
    True
    """
    return NextAfter()(input, other)

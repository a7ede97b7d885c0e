"""What one unit of a recurrent network does in one step, and its gradient; the formulas are those of the reference.

Numbers of a unit's gates lie in small arrays, which become registers: ``a`` is what the input contributes to them,
``b`` what the previous hidden state does, and ``kept`` what the gradient will need beside the gates. A gradient's
``slopes`` are those of b, and behind them that of the a which differs from its b's, if one does.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import cuda


class Cell(NamedTuple):
    """``gates``, ``kept`` and ``slopes`` of a unit, and whether it has a ``memory`` beside the hidden state.

    forward(a, b, h, c, kept) → (h, c): ``a`` becomes the gates. backward(gates, kept, h, dh, dc, slopes) → (dh, dc),
    those of the states met; to dh comes the product of the slopes with W_hh. Without memory, c and dc mean nothing.
    """

    gates: int
    kept: int
    slopes: int
    memory: bool
    forward: Callable[..., Any]
    backward: Callable[..., Any]


@cache
def cell(name: str, dtype: np.dtype) -> Cell:
    """Of "lstm", "gru", "rnn tanh" or "rnn relu"."""
    return CELLS[name](getattr(numba, dtype.name))


def _lstm(number: Any) -> Cell:
    sigmoid = _sigmoid(number)

    @cuda.jit(device=True, forceinline=True)
    def forward(a, b, h, c, kept):
        i = sigmoid(a[0] + b[0])
        f = sigmoid(a[1] + b[1])
        g = number(math.tanh(a[2] + b[2]))
        o = sigmoid(a[3] + b[3])
        a[0] = i
        a[1] = f
        a[2] = g
        a[3] = o
        kept[0] = c
        c = f * c + i * g
        squashed = number(math.tanh(c))
        kept[1] = squashed
        return o * squashed, c

    @cuda.jit(device=True, forceinline=True)
    def backward(gates, kept, h, dh, dc, slopes):
        i = gates[0]
        f = gates[1]
        g = gates[2]
        o = gates[3]
        squashed = kept[1]
        dc += dh * o * (number(1) - squashed * squashed)
        slopes[0] = dc * g * i * (number(1) - i)
        slopes[1] = dc * kept[0] * f * (number(1) - f)
        slopes[2] = dc * i * (number(1) - g * g)
        slopes[3] = dh * squashed * o * (number(1) - o)
        return number(0), dc * f

    return Cell(4, 2, 4, True, forward, backward)


def _gru(number: Any) -> Cell:
    sigmoid = _sigmoid(number)

    @cuda.jit(device=True, forceinline=True)
    def forward(a, b, h, c, kept):
        r = sigmoid(a[0] + b[0])
        z = sigmoid(a[1] + b[1])
        n = number(math.tanh(a[2] + r * b[2]))
        a[0] = r
        a[1] = z
        a[2] = n
        kept[0] = b[2]
        return (h - n) * z + n, c

    @cuda.jit(device=True, forceinline=True)
    def backward(gates, kept, h, dh, dc, slopes):
        r = gates[0]
        z = gates[1]
        n = gates[2]
        of_a = dh * (number(1) - z) * (number(1) - n * n)
        slopes[3] = of_a
        slopes[2] = of_a * r
        slopes[1] = dh * (h - n) * z * (number(1) - z)
        slopes[0] = of_a * r * kept[0] * (number(1) - r)
        return dh * z, dc

    return Cell(3, 1, 4, False, forward, backward)


def _elman(number: Any, relu: bool) -> Cell:
    @cuda.jit(device=True, forceinline=True)
    def forward(a, b, h, c, kept):
        x = a[0] + b[0]
        if relu:
            new = number(0) if x <= number(0) else x  # NaN stays
        else:
            new = number(math.tanh(x))
        a[0] = new
        return new, c

    @cuda.jit(device=True, forceinline=True)
    def backward(gates, kept, h, dh, dc, slopes):
        if relu:
            slopes[0] = dh if gates[0] > number(0) else number(0)
        else:
            slopes[0] = dh * (number(1) - gates[0] * gates[0])
        return number(0), dc

    return Cell(1, 0, 1, False, forward, backward)


def _sigmoid(number: Any) -> Callable[..., Any]:
    @cuda.jit(device=True, forceinline=True)
    def sigmoid(x):  # (1 + tanh(x/2)) / 2: nothing can overflow
        return number(math.tanh(x * number(0.5))) * number(0.5) + number(0.5)

    return sigmoid


CELLS: dict[str, Callable[[Any], Cell]] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn tanh": lambda number: _elman(number, False),
    "rnn relu": lambda number: _elman(number, True),
}

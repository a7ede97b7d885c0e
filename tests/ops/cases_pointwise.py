"""Rows of the table: arithmetic, functions of one number, matrix products."""

from __future__ import annotations

import numpy as np

from minipar.backend import device
from minipar.ops.device import Move
from minipar.ops.op import Cast, Identity
from tests.ops.case import Case, among, apart, broadcast, one, positive, real

ANY, PAIR = one(), broadcast()
FULL = one(1, 3, 1)  # at least one axis, none empty
PLANES = one(2, 3, 1)

UNARY = [
    Case("exp", lambda m, x: m.exp(x), shapes=ANY),
    Case("log", lambda m, x: m.log(x), shapes=ANY, values=positive),
    Case("sqrt", lambda m, x: m.sqrt(x), shapes=ANY, values=positive),
    Case("sin", lambda m, x: m.sin(x), shapes=ANY),
    Case("cos", lambda m, x: m.cos(x), shapes=ANY),
    Case("tanh", lambda m, x: m.tanh(x), shapes=ANY),
    Case("sigmoid", lambda m, x: m.sigmoid(x), shapes=ANY),
    Case("relu", lambda m, x: m.relu(x), shapes=ANY, values=apart),
    Case("abs", lambda m, x: m.abs(x), shapes=ANY, values=apart),
    Case("abs operator", lambda m, x: abs(x), shapes=ANY, values=apart),
    Case("sign", lambda m, x: m.sign(x), shapes=ANY, values=apart),
    Case("clamp", lambda m, x: m.clamp(x, -0.39, 0.52), shapes=ANY, values=apart),
    Case("clamp from below", lambda m, x: m.clamp(x, min=-0.39), shapes=ANY, values=apart),
    Case("clamp from above", lambda m, x: m.clamp(x, max=0.52), shapes=ANY, values=apart),
    Case("erf", lambda m, x: m.erf(x), shapes=ANY),
    Case("erfc", lambda m, x: m.erfc(x), shapes=ANY),
    Case("neg", lambda m, x: -x, shapes=ANY),
    Case("x ** 2", lambda m, x: x**2, shapes=ANY),
    Case("x ** 3", lambda m, x: x**3, shapes=ANY),
    Case("x ** 0", lambda m, x: x**0, shapes=ANY),
    Case("x ** 1", lambda m, x: x**1, shapes=ANY),
    Case("x ** 0.5", lambda m, x: x**0.5, shapes=ANY, values=positive),
    Case("x ** -1", lambda m, x: x**-1, shapes=ANY, values=apart),
    Case("2 ** x", lambda m, x: 2.0**x, shapes=ANY),
    Case("x + 1", lambda m, x: x + 1, shapes=ANY),
    Case("1 - x", lambda m, x: 1 - x, shapes=ANY),
    Case("x - 0.5", lambda m, x: x - 0.5, shapes=ANY),
    Case("3 * x", lambda m, x: 3 * x, shapes=ANY),
    Case("x / 3", lambda m, x: x / 3, shapes=ANY),
    Case("1 / x", lambda m, x: 1 / x, shapes=ANY, values=apart),
    Case("cast", lambda m, x: x.half().to(m.float64) * 0 + x, shapes=ANY),
]

BINARY = [
    Case("add", lambda m, a, b: m.add(a, b), ((3, 3), (3, 3)), PAIR),
    Case("add alpha", lambda m, a, b: m.add(a, b, alpha=2), ((3, 3), (3, 3)), PAIR),
    Case("sub", lambda m, a, b: m.sub(a, b), ((3, 3), (3, 3)), PAIR),
    Case("sub alpha", lambda m, a, b: m.sub(a, b, alpha=0.5), ((3, 3), (3, 3)), PAIR),
    Case("mul", lambda m, a, b: m.mul(a, b), ((3, 3), (3, 3)), PAIR),
    Case("div", lambda m, a, b: m.div(a, b), ((3, 3), (3, 3)), PAIR, (real, apart)),
    Case("pow", lambda m, a, b: m.pow(a, b), ((3, 3), (3, 3)), PAIR, (positive, real)),
    Case("maximum", lambda m, a, b: m.maximum(a, b), ((3, 3), (3, 3)), PAIR, apart),
    Case("minimum", lambda m, a, b: m.minimum(a, b), ((3, 3), (3, 3)), PAIR, apart),
    Case("max(other)", lambda m, a, b: a.max(b), ((3, 3), (3, 3)), PAIR, apart),
    Case("a * a", lambda m, a: a * a, shapes=ANY),
    Case("broadcast row", lambda m, a, b: a * b, ((3, 3), (3,))),
    Case("broadcast column", lambda m, a, b: a / b, ((3, 3), (3, 1)), values=(real, apart)),
    Case("broadcast 0-d", lambda m, a, b: a - b, ((3, 3), ())),
    Case("where", lambda m, c, a, b: m.where(c > 0, a, b), ((3, 3), (3, 3), (3, 3)), broadcast(3), (apart, real, real)),
    Case("where number", lambda m, a: m.where(a > 0, a, 2.5), shapes=ANY, values=apart),
]

MATMUL_SHAPES = among(
    ((4,), (4,)),
    ((4,), (4, 2)),
    ((4,), (3, 4, 2)),
    ((4,), (2, 3, 4, 2)),
    ((2, 4), (4,)),
    ((2, 4), (4, 3)),
    ((2, 4), (5, 4, 3)),
    ((2, 4), (2, 1, 4, 3)),
    ((3, 2, 4), (4,)),
    ((3, 2, 4), (4, 2)),
    ((3, 2, 4), (3, 4, 2)),
    ((3, 2, 4), (2, 1, 4, 2)),
    ((2, 3, 2, 4), (4,)),
    ((2, 3, 2, 4), (4, 2)),
    ((2, 3, 2, 4), (1, 4, 2)),
    ((2, 1, 2, 4), (1, 3, 4, 2)),
    ((0, 4), (4, 2)),
    ((2, 0), (0, 3)),
    ((0,), (0,)),
    ((3, 0, 4), (4, 2)),
)

MATMUL = [
    Case("matmul", lambda m, a, b: m.matmul(a, b), ((3, 3), (3, 3)), MATMUL_SHAPES),
    Case("matmul batch", lambda m, a, b: a @ b, ((2, 1, 2, 2), (3, 2, 2))),
    Case("matmul vectors", lambda m, a, b: a @ b, ((4,), (4,))),
    Case("matmul itself", lambda m, a: a @ a.mT),
]


def _itself(m, x):
    return x * 1


def _cubed(x):
    return x * x * x


HIDDEN = [  # operations that only others use; float64 → long double → float64 loses nothing
    Case("Cast", lambda m, x: Cast(x.dtype)(_cubed(Cast(np.longdouble)(x))), shapes=ANY, theirs=lambda m, x: x**3),
    Case("Identity", lambda m, x: Identity()(x), shapes=ANY, theirs=_itself),
    Case("Move", lambda m, x: Move(device("cpu"))(x), shapes=ANY, theirs=_itself),
]

POINTWISE = UNARY + BINARY + MATMUL + HIDDEN

"""Functions of one number: exp, log and their like, and the activations."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from .exponential import Exp, Log, Sigmoid, exp, log, sigmoid  # noqa: F401
from .extremes import Clamp, clamp  # noqa: F401
from .hyperbolic import Tanh, tanh  # noqa: F401
from .magnitude import Abs, Sign, abs_, sign  # noqa: F401
from .op import Elementwise
from .power import Sqrt, sqrt  # noqa: F401
from .select import where
from .trigonometry import Cos, Sin, cos, sin  # noqa: F401


class ReLU(Elementwise):
    """y = max(x, 0); the gradient at 0 is 0, and NaN passes through."""

    saves_output = True

    def forward(self, x):
        return namespace(x).maximum(x, x.dtype.type(0))

    def vjp(self, g, y):
        return where(y <= 0, 0.0, g)


def relu(x: Any) -> Any:
    """max(x, 0); its gradient at 0 is 0."""
    return ReLU()(x)

"""Linear layers one after the other, each with or without a ReLU behind it, as one node.

    x ─▶ [W₁ b₁ relu] ─▶ [W₂ b₂ relu] ─▶ [W₃ b₃] ─▶ y

What a node costs besides its kernels is, in a small network, most of the step. `nn.Sequential` runs such rows this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from ..backend.dispatch import kernel
from ..tape import Value
from .linear import linear, linear_relu
from .op import Fat, array_of


class LinearChain(Fat):
    """x (…, in), then of each layer weight (out, in) and bias (out,) or None → y (…, out of the last)

    `relus`: for each layer, whether a ReLU follows. Unless it `keeps`, no gradient can be asked for, and each layer's
    output goes as soon as the next is there. The gradient goes back through the layers as through Linear.
    Asked for that of x alone, it remembers the gradients of the layers' outputs: if it is asked for those of the
    weights later (a backward pass in two parts), it need not go through the layers again.
    """

    __slots__ = ("relus", "keeps", "saves", "saves_output", "passed")

    kernels_only = True
    needed_for = MappingProxyType({0: 1, 1: 0})  # as in Linear; the weights after the first are always kept

    def __init__(self, relus: Sequence[bool], keeps: bool = True) -> None:
        self.relus, self.keeps = relus, keeps
        self.saves = (0, *range(1, 2 * len(relus), 2))
        self.saves_output = relus[-1]
        self.passed: list[Any] = []

    def forward(self, x, *parameters):
        run = kernel("linear_forward", x)
        outputs = []
        layers = iter(parameters)
        for weight, bias, relu in zip(layers, layers, self.relus):
            x = run(x, weight, bias, relu)
            if self.keeps:
                outputs.append(x)
        self.aux = outputs[:-1]
        return x

    def vjp(self, g, x, *saved):
        needs, relus = self.needs, self.relus
        last = len(relus) - 1
        inputs = [array_of(self.inputs[0]) if x is None else x, *self.aux]  # of each layer
        outputs = [*self.aux, saved[-1] if relus[-1] else None]
        weights = [array_of(self.inputs[1]) if saved[0] is None else saved[0], *saved[1 : last + 1]]
        gradients = [None] * len(needs)
        lowest = 0 if needs[0] else (needs.index(True) - 1) // 2  # no gradient is wanted below that layer
        run = kernel("linear_backward", g)
        passed, before = [], [] if needs[0] else self.passed
        for i in range(last, lowest - 1, -1):
            at = 2 * i + 1
            of_weight, of_bias = needs[at], needs[at + 1]
            passed.append(g)
            g, gradients[at], gradients[at + 1] = run(
                before[last - i] if before else g,
                inputs[i],
                weights[i],
                outputs[i] if relus[i] else None,
                (not before and (i > lowest or needs[0]), of_weight, of_bias),
                (None, self.room(at) if of_weight else None, self.room(at + 1) if of_bias else None),
            )
        gradients[0] = g
        self.passed = [] if True in needs[1:] else passed
        return tuple(gradients)

    def release(self) -> None:
        super().release()
        self.passed = []

    def composite(self, x, *parameters):
        layers = iter(parameters)
        for weight, bias, relu in zip(layers, layers, self.relus):
            x = (linear_relu if relu else linear)(x, weight, bias)
        return x


def fit(input: Any, parameters: Sequence[Any]) -> bool:
    """Can the input go through all these layers, each of which takes what the one before gives?"""
    if not isinstance(input, Value) or not input.array.ndim:
        return False
    real, features = input.array.dtype, input.array.shape[-1]
    layers = iter(parameters)
    for weight, bias in zip(layers, layers):
        if weight is None or weight.array.ndim != 2 or weight.array.dtype != real:
            return False
        before = features
        features, width = weight.array.shape
        if width != before or (bias is not None and (bias.array.dtype != real or bias.array.shape != (features,))):
            return False
    return real.kind == "f"

"""What nn.Sequential runs as one node: a layer and the ReLU right after it.

Eager execution never fuses across calls, except here: between two modules of a Sequential stands nothing that anybody
could see, unless a hook watches one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import tape
from .activation import ReLU
from .conv import Conv1d, Conv2d
from .linear import Linear
from .module import Module

FUSED_WITH_RELU = (Linear, Conv1d, Conv2d)  # they have a `forward_relu`; subclasses may compute something else


class WithReLU:
    """A layer and the ReLU after it, run as one node while nobody watches either."""

    __slots__ = ("layer", "relu")

    def __init__(self, layer: Any, relu: ReLU) -> None:
        self.layer, self.relu = layer, relu

    def __call__(self, input: Any) -> Any:
        layer, relu = self.layer, self.relu
        if layer._hooked or relu._hooked or tape.mode.watch is not None:
            return relu(layer(input))
        return layer.forward_relu(input)


def fused(modules: Iterable[Module]) -> list[Callable[[Any], Any]]:
    """The modules, in order, each pair that can be one node as one step."""
    steps: list[Callable[[Any], Any]] = []
    for module in modules:
        if type(module) is ReLU and steps and type(steps[-1]) in FUSED_WITH_RELU:
            steps[-1] = WithReLU(steps[-1], module)
        else:
            steps.append(module)
    return steps

"""What nn.Sequential runs as one node: a layer and the ReLU right after it, with the pooling after that one, and a
whole row of linear layers.

Eager execution never fuses across calls, except here: between two modules of a Sequential stands nothing that anybody
could see, unless a hook watches one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import tape
from ..ops.linear_chain import LinearChain, fit
from .activation import ReLU
from .conv import Conv1d, Conv2d
from .linear import Linear
from .module import Module
from .pooling import MaxPool2d

FUSED_WITH_RELU = (Linear, Conv1d, Conv2d)  # they have a `forward_relu`; subclasses may compute something else

Step = Callable[[Any], Any]


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


class WithReLUAndPool:
    """A convolution, the ReLU after it and 2 × 2 max-pooling, run as one node while nobody watches any of them."""

    __slots__ = ("first", "pool")

    def __init__(self, first: WithReLU, pool: MaxPool2d) -> None:
        self.first, self.pool = first, pool

    def __call__(self, input: Any) -> Any:
        first, pool = self.first, self.pool
        layer = first.layer
        if layer._hooked or first.relu._hooked or pool._hooked or tape.mode.watch is not None or not halves(pool):
            return pool(first(input))
        return layer.forward_relu_pool(input)


def halves(pool: MaxPool2d) -> bool:
    """Does it take the largest number of each 2 × 2 square? Attributes may be set at any time."""
    for size in (pool.kernel_size, pool.stride):
        if size != 2 and size != (2, 2):
            return False
    plain = pool.padding in (0, (0, 0)) and pool.dilation in (1, (1, 1))
    return plain and not pool.return_indices and not pool.ceil_mode


class Row:
    """Linear layers one after the other, with or without ReLUs, run as one node while nobody watches any of them."""

    __slots__ = ("steps", "modules", "layers", "relus")

    def __init__(self, steps: Sequence[Linear | WithReLU]) -> None:
        self.steps = steps  # as they are run if somebody does
        self.relus = tuple([type(step) is WithReLU for step in steps])
        self.layers = [step.layer if isinstance(step, WithReLU) else step for step in steps]
        self.modules = [*self.layers, *[step.relu for step in steps if isinstance(step, WithReLU)]]

    def __call__(self, input: Any) -> Any:
        parameters = self._parameters()
        if parameters is not None and fit(input, parameters):
            return LinearChain(self.relus)(input, *parameters)
        for step in self.steps:
            input = step(input)
        return input

    def _parameters(self) -> list[Any] | None:
        """The weight and bias of each layer; None if somebody watches, or computes them (weight_norm)."""
        if tape.mode.watch is not None:
            return None
        for module in self.modules:
            if module._hooked:
                return None
        parameters: list[Any] = []
        for layer in self.layers:
            own = layer._parameters
            if "weight" not in own or "bias" not in own:
                return None
            parameters += own["weight"], own["bias"]
        return parameters


def fused(modules: Iterable[Module]) -> list[Step]:
    """The modules, in order, each stretch of them that can be one node as one step."""
    steps: list[Step] = []
    for module in modules:
        if type(module) is ReLU and steps and type(steps[-1]) in FUSED_WITH_RELU:
            steps[-1] = WithReLU(steps[-1], module)
        elif (
            type(module) is MaxPool2d and steps and isinstance(steps[-1], WithReLU) and type(steps[-1].layer) is Conv2d
        ):
            steps[-1] = WithReLUAndPool(steps[-1], module)
        else:
            steps.append(module)
    return _rows(steps)


def _rows(steps: list[Step]) -> list[Step]:
    """The steps, with two or more linear ones in a row as one."""
    joined: list[Step] = []
    row: list[Any] = []
    for step in [*steps, None]:
        layer = step.layer if isinstance(step, WithReLU) else step
        if type(layer) is Linear:
            row.append(step)
            continue
        joined += [Row(row)] if len(row) > 1 else row
        row = []
        if step is not None:
            joined.append(step)
    return joined

"""What nn.Sequential runs as one node: a layer, the ReLU and the pooling after it, and a whole row of linear layers.

Eager execution never fuses across calls, except here: between two modules of a Sequential stands nothing that anybody
could see, unless a hook watches one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeGuard, cast

from .. import tape
from ..ops.linear_chain import LinearChain, fit
from .activation import ReLU
from .conv import Conv1d, Conv2d
from .linear import Linear
from .module import Module
from .pooling import MaxPool2d

FUSED_WITH_RELU: list[type[Any]] = [
    Linear,
    Conv1d,
    Conv2d,
]  # they have a `forward_relu`; subclasses may compute something else
FUSED_WITH_POOL: dict[type[Any], type[Any]] = {Conv2d: MaxPool2d}  # … and a `forward_relu_pool` for this pooling

TWO = (2, (2, 2))

Step = Callable[[Any], Any]

_OWN: dict[type[Any], Any] = {kind: kind.forward for kind in FUSED_WITH_RELU}
_OWN |= {MaxPool2d: MaxPool2d.forward, ReLU: ReLU.forward}


def fuse_also(layer: type[Any], pool: type[MaxPool2d] | None = None) -> None:
    """A subclass that computes something else, and knows how to do it with a ReLU, and with this pool after that."""
    _OWN[layer] = layer.forward
    FUSED_WITH_RELU.append(layer)
    if pool is not None:
        _OWN[pool] = pool.forward
        FUSED_WITH_POOL[layer] = pool


def _watched(modules: Iterable[Module]) -> bool:
    """Does anybody look at these modules, or has anybody given one of them, or its class, another forward?"""
    if tape.mode.watch is not None:
        return True
    for module in modules:  # noqa: SIM110 - asked at every call, and a generator costs as much again
        if module._hooked or type(module).forward is not _OWN[type(module)]:
            return True
    return False


class WithReLU:
    """A layer and the ReLU after it, run as one node while nobody watches either."""

    __slots__ = ("layer", "relu")

    def __init__(self, layer: Any, relu: ReLU) -> None:
        self.layer, self.relu = layer, relu

    def __call__(self, input: Any) -> Any:
        layer, relu = self.layer, self.relu
        if _watched((layer, relu)):
            return relu(layer(input))
        return layer.forward_relu(input)


class WithPool:
    """A convolution, the ReLU after it and a max-pooling of 2 × 2 windows, run as one node while nobody watches any."""

    __slots__ = ("rectified", "pool")

    def __init__(self, rectified: WithReLU, pool: MaxPool2d) -> None:
        self.rectified, self.pool = rectified, pool

    def __call__(self, input: Any) -> Any:
        layer, pool = self.rectified.layer, self.pool
        if not _halves(pool) or _watched((layer, self.rectified.relu, pool)):
            return pool(self.rectified(input))
        return layer.forward_relu_pool(input)


def _halves(pool: MaxPool2d) -> bool:
    """Does it take the maxima of windows of 2 × 2 side by side? Asked at each call, as a user may change a module."""
    return (
        pool.kernel_size in TWO
        and pool.stride in TWO
        and pool.padding in (0, (0, 0))
        and pool.dilation in (1, (1, 1))
        and not pool.return_indices
        and not pool.ceil_mode
    )


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
            return LinearChain(self.relus, tape.mode.grad)(input, *parameters)
        for step in self.steps:
            input = step(input)
        return input

    def _parameters(self) -> list[Any] | None:
        """The weight and bias of each layer; None if somebody watches, or computes them (weight_norm)."""
        if _watched(self.modules):
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
        elif steps and _is_rectified_convolution(steps[-1], type(module)):
            steps[-1] = WithPool(steps[-1], cast(MaxPool2d, module))
        else:
            steps.append(module)
    return _rows(steps)


def _is_rectified_convolution(step: Step, pool: type[Module]) -> TypeGuard[WithReLU]:
    """Is it one that knows how to be pooled so?"""
    return isinstance(step, WithReLU) and FUSED_WITH_POOL.get(type(step.layer)) is pool


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

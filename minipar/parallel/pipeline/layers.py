"""The layers of a model, one after the other, and what each costs: what `cut` needs to know."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from ... import cuda
from ...nn.container import Sequential
from ...nn.module import Module
from ...random import fork_rng
from ...tensor import Tensor, wrap


def layers(model: Module) -> list[tuple[str, Module]]:
    """(name, module) of the layers that a model applies one after the other, each taking what the last one returned.

    They are the modules of an `nn.Sequential`, those of Sequentials inside it one by one; or, of any other model, what
    its method `pipeline_layers()` returns, a list of modules inside it (Sequentials among them again one by one) with

        def forward(self, x):
            for layer in self.pipeline_layers():
                x = layer(x)
            return x

    Names are those of `named_modules()`: `f"{name}.weight"` is the parameter's name in the whole model's state_dict.
    TypeError for a model that is neither; ValueError for one without layers, with a layer that is not inside the
    model, or with parameters or buffers that belong to no layer.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    >>> [name for name, _ in minipar.parallel.pipeline.layers(net)]
    ['0', '1.0', '1.1']
    """
    if isinstance(model, Sequential) and not hasattr(model, "pipeline_layers"):
        found = _flattened("", model)
    elif hasattr(model, "pipeline_layers"):
        names = {module: name for name, module in reversed(list(model.named_modules()))}
        found = []
        for module in model.pipeline_layers():
            if module not in names:
                raise ValueError(f"pipeline_layers() of {_kind(model)} gives a {_kind(module)} that is not inside it")
            found += _flattened(names[module], module)
    else:
        raise TypeError(
            f"a pipeline needs an nn.Sequential, or a model with a method pipeline_layers(), not {_kind(model)}"
        )
    if not found:
        raise ValueError(f"{_kind(model)} has no layers")
    covered = {id(state) for _, module in found for state in (*module.parameters(), *module.buffers())}
    for name, state in (*model.named_parameters(), *model.named_buffers()):
        if id(state) not in covered:
            raise ValueError(f"{name!r} of {_kind(model)} belongs to none of its layers: move it into one of them")
    return found


def _kind(module: Any) -> str:
    return type(module).__name__


def _flattened(name: str, module: Module) -> list[tuple[str, Module]]:
    """The modules of a Sequential one by one, unless somebody watches it, or has given it another forward."""
    if not isinstance(module, Sequential) or type(module).forward is not Sequential.forward or module._hooked:
        return [(name, module)]
    inside = [(f"{name}.{child}" if name else child, layer) for child, layer in module._modules.items()]
    return [found for child, layer in inside if layer is not None for found in _flattened(child, layer)]


@dataclass(frozen=True)
class LayerCost:
    """What one layer takes: seconds forward and backward, bytes of its output.

    >>> minipar.parallel.pipeline.LayerCost("0", forward=0.25, backward=0.5, nbytes=1024).seconds
    0.75
    """

    name: str
    forward: float
    backward: float
    nbytes: int

    @property
    def seconds(self) -> float:
        return self.forward + self.backward


def measure(model: Module, sample: Tensor, repeats: int = 5) -> list[LayerCost]:
    """The cost of each of the `layers` of the model on this input, a micro-batch: the least of `repeats` runs.

    It runs copies, one layer at a time: gradients, running statistics and the random numbers to come are left as they
    are. Backward is that of training: a layer before the first parameter has none. TypeError where a layer does not
    return a tensor; ValueError unless `repeats` is 1 or more. Ranks measure differently, so let one measure for all.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    >>> [(cost.name, cost.backward > 0, cost.nbytes) for cost in minipar.parallel.pipeline.measure(
    ...     net, minipar.ones(2, 3, 4))]
    [('0', False, 96), ('1', True, 40)]
    """
    if repeats < 1:
        raise ValueError(f"measure: repeats={repeats} must be at least 1")
    copies = [(name, deepcopy(layer)) for name, layer in layers(model)]
    forward, backward = ([math.inf] * len(copies) for _ in range(2))
    nbytes = [0] * len(copies)
    with fork_rng():
        for turn in range(1 + repeats):  # all layers each time, so that what disturbs the machine is not one layer's
            x = sample.detach()
            for i, (name, layer) in enumerate(copies):
                there, back, y = _timed(name, layer, x)
                if turn:  # the first compiles, and fills caches
                    forward[i], backward[i] = min(forward[i], there), min(backward[i], back)
                nbytes[i] = y.array.nbytes
                x = y.detach().requires_grad_(y.requires_grad)
    names = [name for name, _ in copies]
    return [LayerCost(*cost) for cost in zip(names, forward, backward, nbytes)]


def _timed(name: str, layer: Module, x: Tensor) -> tuple[float, float, Tensor]:
    """Seconds forward, seconds backward, and the output."""
    start = _now(x)
    y = layer(x)
    end = _now(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"layer {name!r} returns a {type(y).__name__}: a pipeline's layers take and return one tensor")
    backward = 0.0
    if y.requires_grad:
        grad = wrap(y.array)
        again = _now(x)
        y.backward(grad)
        backward = _now(x) - again
    return end - start, backward, y


def _now(x: Tensor) -> float:
    if not isinstance(x.array, np.ndarray):
        cuda.synchronize()
    return perf_counter()

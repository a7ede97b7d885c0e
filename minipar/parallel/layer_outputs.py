"""What every layer gives in a forward pass, kept by forward hooks, under its name in the unsplit model.

A rank of a layout has parts of it: of each micro-batch one, of its rows or features, and of the layers of its stages
alone. What it keeps says of which samples it is; how the rest lies, the shapes tell (first_wrong_layer.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..backend.random import held_samples
from ..nn.module import Module
from ..tensor import Tensor
from .pipeline.layers import layers
from .trainer import ParallelModel

Samples = tuple[int, int, int]  # start, count, total


@dataclass(frozen=True)
class LayerOutput:
    """What one call of a layer has given: copies of its tensors. `samples` None: of the whole batch."""

    layer: str
    kind: str  # its class
    has_layers: bool  # inside: what is wrong in one of those shows there before
    samples: Samples | None
    arrays: list[np.ndarray]


@dataclass(frozen=True)
class HeldOutputs:
    """What a rank has given in one batch, in the order of its calls, and where it stands in the mesh."""

    coordinates: Mapping[str, int]
    outputs: list[LayerOutput]


@contextmanager
def kept_outputs(named: Iterable[tuple[str, Module]]) -> Iterator[list[LayerOutput]]:
    """A list that grows with every call, inside, of one of these (name, module).

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> with minipar.parallel.layer_outputs.kept_outputs(net.named_modules()) as outputs:
    ...     y = net(minipar.ones(4, 2))
    >>> [(output.layer, output.kind, output.arrays[0].shape) for output in outputs]
    [('0', 'Linear', (4, 3)), ('1', 'ReLU', (4, 3)), ('', 'Sequential', (4, 3))]
    """
    kept: list[LayerOutput] = []

    def keep(name: str, module: Module, _: Any, output: Any) -> None:
        has_layers = next(module.children(), None) is not None
        arrays = [to_numpy(tensor.array).copy() for tensor in _tensors(output)]
        kept.append(LayerOutput(name, type(module).__name__, has_layers, held_samples(), arrays))

    handles = [module.register_forward_hook(partial(keep, name)) for name, module in named]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def held_layers(net: ParallelModel, model: Module) -> list[tuple[str, Module]]:
    """(name in the unsplit `model`, module) of all that this rank of `net` runs. Collective.

    Stages of a pipeline number their layers from 0 on, so that ranks must tell how many there are before.
    """
    if net.schedule.stages == 1:
        return [named for module in net.modules() for named in module.named_modules()]
    names = [name for name, _ in layers(model)]
    stages: Any = dict(zip(net.schedule.stages_of(net.mesh.pipeline.rank), net.modules()))
    told = net.mesh.pipeline.all_gather_object({stage: len(row) for stage, row in stages.items()})
    lengths = {stage: length for of_rank in told for stage, length in of_rank.items()}
    held = []
    for stage, row in stages.items():
        first = sum(lengths[before] for before in range(stage))
        for name, layer in zip(names[first:], row):
            held += layer.named_modules(prefix=name)
    return held


def _tensors(output: Any) -> Iterator[Tensor]:
    """Those in an output, which may be a tensor, or tuples, lists and dicts of such."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list)):
        for item in output:
            yield from _tensors(item)
    elif isinstance(output, Mapping):
        yield from _tensors(tuple(output.values()))

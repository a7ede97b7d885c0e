"""A model, taken apart into the stages of a pipeline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ...nn.container import Sequential
from ...nn.module import Module
from ...nn.parameter import Parameter
from ...tensor import Tensor
from ..comm import Communicator
from ..parts import part_of
from .cut import cut as best_cut
from .layers import layers, measure


def stages_of_model(model: Module, stages: int, first_layers: Sequence[int] | None = None) -> list[Module]:
    """`stages` modules which, one after the other, compute what `model` does; its parameters are theirs.

    `first_layers`: the number of the first layer (`layers`) of each stage but the first. Without them the stages have
    as equal numbers of parameters as consecutive layers can. One stage is the model itself, whatever it is.

    ValueError for numbers that do not cut the model into that many stages with at least one layer each.

    >>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    >>> [len(stage) for stage in minipar.parallel.pipeline.stages_of_model(net, 2, [2])]
    [2, 1]
    """
    if stages == 1 and not first_layers:
        return [model]
    row = layers(model)
    if first_layers is None:
        sizes = [sum(map(_whole_size, layer.parameters())) for _, layer in row]
        bounds = [0, *[piece.stop for piece in best_cut(sizes, stages)]]
    else:
        bounds = [0, *first_layers, len(row)]
        if len(bounds) != stages + 1 or any(not a < b for a, b in pairwise(bounds)):
            raise ValueError(
                f"cut={list(first_layers)} must be {stages - 1} growing numbers of layers from 1 to {len(row) - 1}: "
                f"the first layer of each of the {stages} stages but the first"
            )
    return [Sequential(*[layer for _, layer in row[a:b]]) for a, b in pairwise(bounds)]


def measured_cut(model: Module, sample: Tensor, stages: int, comm: Communicator) -> list[int]:
    """The first layer of each stage but the first (`cut` of `parallelize`) so that the slowest takes the least time.

    The layers are timed (`measure`) on `sample`, a micro-batch, forward and backward; among cuts as good the one that
    sends the fewest bytes. Every rank of `comm` calls it, rank 0 measures for all. TypeError for a sample that is no
    Tensor, and for a comm that is no Communicator; otherwise the errors of `measure` and of `cut`.

    >>> def train(comm):
    ...     wide = nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()
    ...     model, x = nn.Sequential(*wide, nn.Linear(512, 2)), minipar.ones(64, 512)
    ...     first = minipar.parallel.pipeline.measured_cut(model, x, 2, comm)
    ...     net = minipar.parallel.parallelize(model, minipar.parallel.Mesh(comm, pipeline=2), cut=first)
    ...     return len(first)
    >>> minipar.parallel.launch(train, workers=2, backend="thread")
    [1, 1]
    """
    if not isinstance(sample, Tensor):
        raise TypeError(f"measured_cut: sample must be a Tensor, not {type(sample).__name__}")
    if not isinstance(comm, Communicator):
        raise TypeError(f"measured_cut: comm must be a Communicator, not {type(comm).__name__}")
    first = None
    if comm.rank == 0:
        costs = measure(model, sample)
        pieces = best_cut([cost.seconds for cost in costs], stages, [cost.nbytes for cost in costs])
        first = [piece.start for piece in pieces[1:]]
    return comm.broadcast_object(first)


def _whole_size(p: Parameter) -> int:
    """How many numbers the unsplit parameter has: the same on ranks that have parts of different sizes."""
    part = part_of(p)
    return math.prod(p.shape if part is None else part.whole_shape(tuple(p.shape)))

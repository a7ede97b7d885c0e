"""One front door for every layout: `parallelize(model, mesh)` trains as the model itself would in one process.

    mesh axis    what is split                         by
    tensor       the features of a layer               tensor/       layers are replaced by parts of themselves
    space        the rows of images                    space/        layers are replaced by ones that ask neighbours
    pipeline     the layers, and each batch once more  pipeline/     stages, micro-batches, a schedule
    data         the batch                             gradients.py  gradients are added up as backward makes them

In whatever way it is split, a batch is forward passes and backward passes in the order of a schedule (one stage and
one micro-batch, if there is no pipeline); sums of gradients over mesh.replicas; one division by the denominator of the
whole batch (losses.py); and an optimizer step on what this rank holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..nn.module import Module
from .gradients import BUCKET
from .held import Options
from .mesh import Mesh
from .pipeline.schedule import Schedule
from .trainer import ParallelModel


def parallelize(
    model: Module,
    mesh: Mesh,
    *,
    microbatches: int = 1,
    schedule: str | Schedule = "1f1b",
    chunks: int = 1,
    cut: Sequence[int] | None = None,
    recompute: bool = False,
    virtual_shards: int | None = None,
    zero: int = 0,
    shares: str | Sequence[Sequence[float]] = "equal",
    bucket: int = BUCKET,
    compress: str | None = None,
    batch_stats: str = "whole",
    sequence: bool = False,
    row_by_row: tuple[type[Module], ...] = (),
) -> ParallelModel:
    """`model`, split over `mesh`; every rank calls it with a model of the same structure, which is taken apart.

    Every rank starts from the parameters and buffers of rank 0.

    - `microbatches`: into how many pieces each rank's samples are cut, one after the other. Batch norm cannot be exact
      then: RuntimeError in training, naming the layer (but see `batch_stats`).
    - `schedule`, `chunks`: the order of pipeline stages and micro-batches (`pipeline.make_schedule`), or a Schedule.
    - `cut`: the first layer of each stage but the first, for a model that is a `Sequential`; by default stages have as
      equal numbers of parameters as consecutive layers can. (`pipeline.measured_cut` goes by seconds.)
    - `recompute`: keep of each stage and micro-batch its input alone, and run it forward again before its backward.
    - `virtual_shards`: train to the same bits on any number of data ranks up to this (virtual_shards.py); with data and
      tensor axes alone, and without micro-batches.
    - `zero`: over data and space ranks, 1 shards the optimizer's state, 2 gradients too, 3 parameters too (zero.py).
    - `shares`: how samples are dealt out to data ranks, "equal" or "measured" (by speed: uneven.py), or what a measured
      run has recorded (`net.shares.record`), to get its bits again.
    - `sequence`: tensor ranks split the positions between the split layers of a transformer, too (tensor/sequence.py).
    - `row_by_row`: classes of yours that treat each row of an image by itself (see `spatial`).
    - `bucket`: bytes of gradients that are added up at once.

    Two options train to other numbers than one process does (docs/inexact.md shows by how much):

    - `compress`: "fp16" or "topk:0.01" (the hundredth that is largest): gradients travel in fewer bytes
      (inexact/compression.py). Not with `zero` or `virtual_shards`.
    - `batch_stats`: "micro": batch norm takes the statistics of each rank's micro-batch alone (inexact/batch_stats.py).
      Not over rows of images, nor with `virtual_shards`.

    TypeError unless `model` is a Module and `mesh` a Mesh; ValueError for what does not fit the mesh.

    >>> def train(comm):
    ...     model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    ...     net = minipar.parallel.parallelize(model, minipar.parallel.Mesh(comm, pipeline=2), microbatches=2)
    ...     step = optim.SGD(net.parameters(), lr=0.1)
    ...     return net.train_step(F.mse_loss, step, minipar.ones(6, 4), minipar.zeros(6, 1))
    >>> first, second = minipar.parallel.launch(train, workers=2, backend="thread")
    >>> first == second
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, not {type(model).__name__}")
    if not isinstance(mesh, Mesh):
        raise TypeError(f"mesh must be a Mesh, parallel.Mesh(comm, data=…), not {type(mesh).__name__}")
    options = Options(
        microbatches=microbatches,
        schedule=schedule,
        chunks=chunks,
        cut=cut,
        recompute=recompute,
        virtual_shards=virtual_shards,
        zero=zero,
        shares=shares,
        bucket=bucket,
        compress=compress,
        batch_stats=batch_stats,
        sequence=sequence,
        row_by_row=row_by_row,
    )
    return ParallelModel(model, mesh, options)

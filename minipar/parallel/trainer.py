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

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..backend.random import default_generator
from ..nn.batchnorm import BatchNormNd
from ..nn.module import Module
from ..nn.parameter import Parameter, zero_grad
from ..ops.join import cat
from ..tape import set_grad_mode
from ..tensor import Tensor, wrap
from . import timeline
from .batch_loss import BatchLoss, LossFunction
from .data import broadcast_state
from .functional import own_part, put_together
from .gradients import BUCKET, GradientExchange
from .inexact.batch_stats import is_by_micro_batch, norm_by_micro_batch, take_running_statistics
from .inexact.compression import exchange_of
from .losses import PartOfLoss
from .mesh import Mesh
from .optimizer_state import gather_optimizer_state, take_optimizer_state
from .parts import is_split
from .pipeline.orders import make_schedule
from .pipeline.recomputed import recomputed
from .pipeline.run import Run
from .pipeline.schedule import Forward, Message, Schedule
from .pipeline.stages import stages_of_model
from .pipeline.ties import TiedParameters
from .shares import share
from .space import spatial
from .state import WholeState
from .sync_batch_norm import SyncBatchNorm
from .tensor import tensor_parallel
from .uneven import EqualShares, MeasuredShares, RecordedShares
from .virtual_shards import ShardTree
from .zero import ShardedParameters, units_of


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
) -> ParallelModel:
    """`model`, split over `mesh`; every rank calls it with a model of the same structure, which is taken apart.

    Every rank starts from the parameters and buffers of rank 0.

    - `microbatches`: into how many pieces each rank's samples are cut, one after the other. Batch norm cannot be exact
      then: RuntimeError in training, naming the layer (but see `batch_stats`).
    - `schedule`, `chunks`: the order of pipeline stages and micro-batches (`pipeline.make_schedule`), or a Schedule.
    - `cut`: the first layer of each stage but the first, for a model that is a `Sequential`; by default stages have as
      equal numbers of parameters as consecutive layers can.
    - `recompute`: keep of each stage and micro-batch its input alone, and run it forward again before its backward.
    - `virtual_shards`: train to the same bits on any number of data ranks up to this (virtual_shards.py); with data and
      tensor axes alone, and without micro-batches.
    - `zero`: over data and space ranks, 1 shards the optimizer's state, 2 gradients too, 3 parameters too (zero.py).
    - `shares`: how samples are dealt out to data ranks, "equal" or "measured" (by speed: uneven.py), or what a measured
      run has recorded (`net.shares.record`), to get its bits again.
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
    return ParallelModel(
        model,
        mesh,
        microbatches,
        schedule,
        chunks,
        cut,
        recompute,
        virtual_shards,
        zero,
        shares,
        bucket,
        compress,
        batch_stats,
    )


class ParallelModel:
    """What `parallelize` returns: this rank's part of the model, and how to train it together with the others.

    `mesh` is where it lives, `schedule` what its ranks do with a batch, `shares` how samples are dealt out.

    >>> def train(comm):
    ...     net = minipar.parallel.parallelize(nn.Linear(2, 1), minipar.parallel.Mesh(comm, data=2))
    ...     step = optim.SGD(net.parameters(), lr=0.1)
    ...     loss = net.train_step(F.mse_loss, step, minipar.ones(3, 2), minipar.zeros(3, 1))
    ...     return list(net.state_dict()), net(minipar.ones(3, 2)).shape
    >>> minipar.parallel.launch(train, workers=2, backend="thread")[0]
    (['weight', 'bias'], (3, 1))
    """

    def __init__(
        self,
        model: Module,
        mesh: Mesh,
        microbatches: int,
        schedule: str | Schedule,
        chunks: int,
        cut: Sequence[int] | None,
        recompute: bool,
        virtual_shards: int | None,
        zero: int,
        shares: str | Sequence[Sequence[float]],
        bucket: int,
        compress: str | None,
        batch_stats: str,
    ) -> None:
        self.mesh = mesh
        if isinstance(schedule, str):
            schedule = make_schedule(schedule, mesh.pipeline.size, microbatches, chunks)
        self.schedule = schedule
        self._by_micro_batch = is_by_micro_batch(batch_stats, mesh, virtual_shards)
        if compress is not None and (zero or virtual_shards is not None):
            raise ValueError(f"compress={compress!r} does not go with zero or virtual_shards")
        broadcast_state(model, mesh.comm)
        if mesh.tensor.size > 1:
            model = tensor_parallel(model, mesh.tensor)
        self._gives_rows = False
        if mesh.space.size > 1:
            model = spatial(model, mesh.space, mesh.replicas)
            self._gives_rows = model.gives_rows
        if self._by_micro_batch:
            norm_by_micro_batch(model)
        elif mesh.replicas.size > 1:
            model = SyncBatchNorm.convert_sync_batchnorm(model, mesh.replicas)
        whole = WholeState(model, mesh)
        modules = stages_of_model(model, schedule.stages, cut)
        self._stages = {stage: modules[stage] for stage in schedule.stages_of(mesh.pipeline.rank)}
        whole.keep(self._stages.values())
        self._whole = whole
        self._couples_samples = [
            (name, module) for name, module in model.named_modules() if isinstance(module, BatchNormNd)
        ]
        self._ties = TiedParameters(modules, schedule.placement, mesh.pipeline)
        self._recompute = recompute
        self.shares = _shares(shares, mesh)
        self._tree = None
        self._sharded: ShardedParameters | None = None
        if virtual_shards is not None:
            if mesh.pipeline.size > 1 or mesh.space.size > 1 or schedule.microbatches > 1:
                raise ValueError(
                    f"virtual_shards={virtual_shards} goes with the axes data and tensor, and one micro-batch, not "
                    f"with {mesh} and microbatches={schedule.microbatches}"
                )
            self._tree = ShardTree(mesh.data, virtual_shards)
        if zero:
            self._sharded = self._shard_parameters(zero, bucket)
            self._exchange: GradientExchange = self._sharded.exchange
        else:
            self._exchange = exchange_of(compress, [p for _, p in self.named_parameters()], mesh.replicas, bucket)

    def _shard_parameters(self, stage: int, bucket: int) -> ShardedParameters:
        if stage not in (1, 2, 3):
            raise ValueError(f"zero must be 0, 1, 2 or 3, not {stage!r}")
        if self._tree is not None or (self._recompute and stage == 3):
            raise ValueError(f"zero={stage} does not go with virtual_shards, nor zero=3 with recompute")
        if self._ties and stage > 1:
            raise ValueError(f"zero={stage} does not go with parameters that several stages share: use zero=1")
        units = [unit for module in self._stages.values() for unit in units_of(module)]
        held = [p for _, p in self.named_parameters()]
        sharded = ShardedParameters(held, self.mesh.replicas, stage, units, bucket)
        self._whole.keep_pieces([p for p in held if p.tracked], sharded.pieces)
        return sharded

    # -- training --------------------------------------------------------------------------------------------------

    def train_step(self, loss_fn: LossFunction, optimizer: Any, *batch: Tensor, sharded: bool = False) -> float:
        """One step on a whole batch, which every rank passes whole: returns its loss, the same on every rank.

        With `sharded`, each data rank passes its own samples alone, as many as it has (or tensors without rows): the
        whole batch is theirs, one after the other, in order of mesh.data (`ShardedBatchSampler` deals them out). Ranks
        with one number in mesh.data pass the same.

        The batch is (input, targets…); `loss_fn(output, *targets)` gets the output and the targets of the same samples,
        and returns the result of a loss function, which knows its denominator, or (sum, denominator).

        `optimizer` is made of `parameters()`: what this rank holds.
        """
        if not hasattr(optimizer, "zero_grad"):
            raise TypeError(f"optimizer must be an optimizer of net.parameters(), not {type(optimizer).__name__}")
        optimizer.zero_grad()
        loss = self.loss_and_gradients(loss_fn, *batch, sharded=sharded)
        with timeline.span("update"):
            optimizer.step()
        return loss

    def loss_and_gradients(self, loss_fn: LossFunction, *batch: Tensor, sharded: bool = False) -> float:
        """The loss of a whole batch, whose gradient is added to every `.grad`: `train_step` without an optimizer.

        TypeError for a loss function that is none, and for what is no tensor; ValueError for a loss whose denominator
        is unknown, and where ranks pass batches of different lengths; for `sharded` with shares that are not equal, or
        with virtual shards, which have samples of any rank.
        """
        if not callable(loss_fn):
            raise TypeError(f"loss_fn must be a function (output, *targets) -> loss, not {type(loss_fn).__name__}")
        self._check_micro_batches()
        if sharded and (self._tree is not None or type(self.shares) is not EqualShares):
            raise ValueError(
                "sharded=True does not go with virtual_shards, nor with shares='measured': ranks pass what they have; "
                "pass the whole batch on every rank"
            )
        if self._tree is not None:
            return self._loss_and_gradients_by_tree(self._tree, loss_fn, batch)
        if self._sharded is not None:
            self._sharded.begin()
        pieces = self._pieces(batch, sharded)
        first, total = pieces[0][0] if sharded else 0, pieces[0][2]
        inputs = self._cut(batch[0], pieces, rows=True, first=first)
        targets = [self._cut(target, pieces, rows=self._gives_rows, first=first) for target in batch[1:]]
        copies = 1 if self._gives_rows else self.mesh.space.size
        losses = BatchLoss(self.mesh, loss_fn, targets, total, _divides_early(self.schedule), copies)
        with self._exchange.adding_up(passes=len(pieces), then=self._ties.add_up) as exchange:
            stages = self._stages_to_run()
            run = Run(self.schedule, self.mesh.pipeline, stages, inputs, pieces, losses.finish, losses.slope)
            run.carry_out()
            loss, exchange.divisor = losses.tell(run.last_draw)
            self.shares.measured(run.seconds, sum(count for _, count, _ in pieces))
        if self._sharded is not None:
            self._sharded.take_gradients()
        if self._by_micro_batch:
            take_running_statistics(self._stages.values(), self.mesh.replicas)
        return loss

    def _loss_and_gradients_by_tree(self, tree: ShardTree, loss_fn: LossFunction, batch: Sequence[Tensor]) -> float:
        total = _length(batch)
        generator = default_generator()
        seed, draws = generator.get_state()
        most = draws
        before = [(p, p.grad.array) for _, p in self.named_parameters() if p.grad is not None]
        for p, _ in before:
            p.grad = None

        def shard(i: int) -> PartOfLoss:
            nonlocal most
            rows = share(total, i, tree.shards)
            piece = rows.start, rows.stop - rows.start, total
            targets = [[target[rows]] for target in batch[1:]]
            losses = BatchLoss(self.mesh, loss_fn, targets, total, divides_early=False)
            generator.set_state((seed, draws))
            run = Run(
                self.schedule,
                self.mesh.pipeline,
                self._stages_to_run(),
                [batch[0][rows]],
                [piece],
                losses.finish,
                losses.slope,
            )
            most = max(most, run.carry_out().last_draw)
            return losses.parts[0]

        parameters = [p for _, p in self.named_parameters()]
        loss, gradients = tree.loss_and_gradients(parameters, shard)
        for p, gradient in gradients:
            p.accumulate(gradient)
        for p, gradient in before:
            p.accumulate(gradient)
        generator.set_state((seed, int(self.mesh.data.all_reduce(np.array(most), "max"))))
        return loss

    def _stages_to_run(self) -> Mapping[int, Callable[[Tensor], Tensor]]:
        if not self._recompute:
            return self._stages
        return {stage: recomputed(module) for stage, module in self._stages.items()}

    def __call__(self, x: Tensor) -> Tensor:
        """The output for a whole batch, on every rank, without a gradient."""
        if self._sharded is not None:
            self._sharded.tell_parameters()
        pieces = self._pieces((x,))
        inputs = self._cut(x, pieces, rows=True)
        outputs: list[Tensor] = []
        pipeline, last = self.mesh.pipeline, self.schedule.placement[-1]
        with set_grad_mode(False):
            schedule = _forward_only(self.schedule)
            run = Run(schedule, pipeline, self._stages, inputs, pieces, lambda _, y: outputs.append(y)).carry_out()
            generator = default_generator()
            draws = self.mesh.comm.all_reduce(np.array(run.last_draw), "max")  # in training mode there may be some
            generator.set_state((generator.get_state()[0], int(draws)))
            mine = pipeline.broadcast_object(cat(outputs) if pipeline.rank == last else None, root=last)
            if self._gives_rows:
                mine = put_together(mine, self.mesh.space, -2)
            return put_together(mine, self.mesh.data, 0)

    def clip_grad_norm_(self, max_norm: float) -> float:
        """Scale all gradients so that their 2-norm, over the whole model, is at most `max_norm`; returns what it was.

        Call it between `loss_and_gradients` and the optimizer's step. ValueError unless `max_norm` is positive.
        """
        if not max_norm > 0:
            raise ValueError(f"max_norm must be positive, not {max_norm}")
        counted = [p for p in self._held_first() if p.grad is not None]
        squares = sum((float((p.grad.array.astype(np.float64) ** 2).sum()) for p in counted), 0.0)
        norm = math.sqrt(self.mesh.comm.all_reduce(np.array(squares)).item())
        if norm > max_norm:
            for _, p in self.named_parameters():
                if p.grad is not None:
                    p.grad.array *= p.grad.array.dtype.type(max_norm / (norm + 1e-6))
        return norm

    def _held_first(self) -> list[Parameter]:
        """This rank's parameters, without those that a rank before it holds as well."""
        replica, tensor = self.mesh.replicas.rank, self.mesh.tensor.rank
        return [
            p
            for _, p in self.named_parameters()
            if self._ties.first_owner(p) and (self._sharded is not None or not replica) and (is_split(p) or not tensor)
        ]

    # -- what this rank holds --------------------------------------------------------------------------------------

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name in the unsplit model, parameter) of what this rank holds, each once."""
        held = {id(p): p for module in self._stages.values() for p in module.parameters()}
        if self._sharded is not None:
            held = {id(p): p for p in held.values() if not p.tracked} | {id(p): p for _, p in self._sharded.pieces}
        return ((self._whole.name(p), p) for p in held.values())

    def modules(self) -> list[Module]:
        """The stages of the model that this rank runs."""
        return list(self._stages.values())

    def parameters(self) -> Iterator[Parameter]:
        """What this rank holds, for an optimizer; never nothing: without any, an empty parameter."""
        held = [p for _, p in self.named_parameters()]
        return iter(held or [Parameter(wrap(np.empty(0, np.float32)))])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        zero_grad([p for _, p in self.named_parameters()], set_to_none)

    def train(self, mode: bool = True) -> ParallelModel:
        """Every layer in training mode (or not). Returns itself."""
        for module in self._stages.values():
            module.train(mode)
        return self

    def eval(self) -> ParallelModel:
        """Every layer in evaluation mode. Returns itself."""
        return self.train(False)

    def state_dict(self) -> OrderedDict[str, Tensor]:
        """The unsplit model's state dict, a copy, on every rank. Collective."""
        return self._whole.gather(lambda tensor: tensor.array)

    def gradients(self) -> OrderedDict[str, Tensor]:
        """The gradients of the unsplit model's parameters (of those that have one), on every rank. Collective."""
        return self._whole.gather(lambda p: None if p.grad is None else p.grad.array, all_names=False)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take this rank's parts of an unsplit model's state dict, whatever layout it was saved from.

        RuntimeError naming every missing and unexpected key, and every shape that does not fit; then nothing changes.
        """
        self._whole.take(state_dict)
        if self._sharded is not None:
            self._sharded.tell_parameters()

    def optimizer_state_dict(self, optimizer: Any) -> dict[str, Any]:
        """The state dict that `optimizer`, of this rank's parameters, would have in one process. Collective.

        (Parameters of one group in the unsplit model's order.)
        """
        return gather_optimizer_state(optimizer, self._whole, self.mesh)

    def load_optimizer_state_dict(self, optimizer: Any, state_dict: dict[str, Any]) -> None:
        """Give `optimizer` this rank's parts of such a state dict, whatever layout it was saved from. Collective."""
        take_optimizer_state(optimizer, state_dict, self._whole, self.mesh)

    def _check_micro_batches(self) -> None:
        """RuntimeError for a layer whose result depends on the whole batch, where it gets it piece by piece."""
        pieces = self.schedule.microbatches if self._tree is None else self._tree.shards
        for name, module in () if self._by_micro_batch else self._couples_samples:
            if module.training and (pieces > 1 or self._tree is not None):
                raise RuntimeError(
                    f"layer {name!r} ({type(module).__name__}) takes its statistics from the whole batch, which comes "
                    f"in {pieces} pieces: use GroupNorm, put the layer in eval mode, leave the batch whole "
                    "(microbatches=1, no virtual_shards), or give up exactness (batch_stats='micro')"
                )

    def _counts_of_all(self, count: int) -> list[int]:
        """How many samples each data rank has, which all ranks of that number must agree on. Collective."""
        told = self.mesh.comm.all_gather(np.array([self.mesh.data.rank, count])).tolist()
        counts = dict(told)
        if any(counts[place] != n for place, n in told):
            lengths = ", ".join(f"{n} on rank {rank} (data rank {place})" for rank, (place, n) in enumerate(told))
            raise ValueError(f"ranks with one number in mesh.data must pass the same samples, but have {lengths}")
        return [counts[place] for place in range(self.mesh.data.size)]

    def _cut(self, x: Tensor, pieces: list[tuple[int, int, int]], rows: bool, first: int = 0) -> list[Tensor]:
        """The samples of each piece of `x`, which begins with sample `first`; with `rows`, this rank's rows of them."""
        if rows and self.mesh.space.size > 1:
            if x.ndim < 3:
                raise ValueError(
                    f"space={self.mesh.space.size} splits images (N, …, H, W) by rows, and what is told of each pixel: "
                    f"a tensor of shape {tuple(x.shape)} in the batch has none"
                )
            x = own_part(x, self.mesh.space, -2)
        return [x[start - first : start - first + count] for start, count, _ in pieces]

    def _pieces(self, batch: Sequence[Tensor], sharded: bool = False) -> list[tuple[int, int, int]]:
        """(start, count, total) of each micro-batch of this rank."""
        length = _length(batch)
        counts = self._counts_of_all(length) if sharded else self.shares.cut(length)
        total = sum(counts)
        first, count = sum(counts[: self.mesh.data.rank]), counts[self.mesh.data.rank]
        cuts = [share(count, i, self.schedule.microbatches) for i in range(self.schedule.microbatches)]
        return [(first + piece.start, piece.stop - piece.start, total) for piece in cuts]


def _shares(shares: Any, mesh: Mesh) -> EqualShares:
    if shares == "equal":
        return EqualShares(mesh.data.size)
    if shares == "measured":
        return MeasuredShares(mesh.comm, mesh.data.rank, mesh.data.size)
    if isinstance(shares, str) or not len(shares) or any(len(weights) != mesh.data.size for weights in shares):
        raise ValueError(
            f"shares must be 'equal', 'measured', or for each step a list of {mesh.data.size} weights, not {shares!r}"
        )
    return RecordedShares(shares)


def _divides_early(schedule: Schedule) -> bool:
    """Does the last stage run all forwards before the first backward?"""
    order = schedule.ranks[schedule.placement[-1]]
    computes = [x for x in order if x.stage == schedule.stages - 1 and not isinstance(x, Message)]
    return all(isinstance(x, Forward) for x in computes[: schedule.microbatches])


def _forward_only(schedule: Schedule) -> Schedule:
    return Schedule.of([[x for x in order if isinstance(x, Forward)] for order in schedule.ranks], "inference")


def _length(batch: Sequence[Tensor]) -> int:
    for x in batch:
        if not isinstance(x, Tensor):
            raise TypeError(f"a batch must be tensors, the input and its targets, not {type(x).__name__}")
    sizes = {len(x) for x in batch}
    if len(sizes) != 1:
        raise ValueError(f"the tensors of a batch must have one first size, got {sorted(sizes)}")
    return sizes.pop()

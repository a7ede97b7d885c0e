"""The training step of a model that is split, the same for every layout.

A batch is forward passes and backward passes in the order of a schedule (one stage and one micro-batch, if there is no
pipeline); sums of gradients over mesh.replicas; one division by the denominator of the whole batch (losses.py); and an
optimizer step on what this rank holds (held.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..backend.random import default_generator
from ..nn.module import Module
from ..ops.join import cat
from ..tape import set_grad_mode
from ..tensor import Tensor, wrap
from .batch_loss import BatchLoss, LossFunction, different_lengths
from .functional import own_part, put_together
from .held import HeldModel, Options
from .inexact.batch_stats import take_running_statistics
from .losses import PartOfLoss
from .mesh import Mesh
from .optimizer_step import optimizer_step
from .pipeline.recomputed import recomputed
from .pipeline.run import Run
from .pipeline.schedule import Forward, Schedule
from .same_batch import Passed, check_fingerprints, check_own_rows, fingerprint
from .shares import share
from .uneven import EqualShares, MeasuredShares, RecordedShares
from .virtual_shards import ShardTree


class ParallelModel(HeldModel):
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

    def __init__(self, model: Module, mesh: Mesh, options: Options) -> None:
        self.shares = _shares(options.shares, mesh)
        self._known: set[Passed] = set()  # ways of passing batches in which all ranks were right once
        super().__init__(model, mesh, options)

    def train_step(
        self, loss_fn: LossFunction, optimizer: Any, *batch: Tensor, sharded: bool = False, own_rows: bool = False
    ) -> float:
        """One step on a whole batch, which every rank passes whole: returns its loss, the same on every rank.

        With `sharded`, each data rank passes its own samples alone, as many as it has (or tensors without rows): the
        whole batch is theirs, one after the other, in order of mesh.data (`ShardedBatchSampler` deals them out). Ranks
        with one number in mesh.data pass the same.

        With `own_rows`, each rank passes its own rows of every image alone, as `functional.own_part(image, mesh.space,
        -2)` cuts them, so that nobody need have an image whole; and of targets, if the output is rows. Ranks compare
        their heights in every step: one small message.

        The batch is (input, targets…); `loss_fn(output, *targets)` gets the output and the targets of the same samples,
        and returns the result of a loss function, which knows its denominator, or (sum, denominator).

        `optimizer` is made of `parameters()`: what this rank holds. One that needs a closure (LBFGS) gets it, and may
        pass the batch several times; the loss is then the first.
        """
        if not hasattr(optimizer, "zero_grad"):
            raise TypeError(f"optimizer must be an optimizer of net.parameters(), not {type(optimizer).__name__}")
        return optimizer_step(
            optimizer, lambda: self.loss_and_gradients(loss_fn, *batch, sharded=sharded, own_rows=own_rows)
        )

    def loss_and_gradients(
        self, loss_fn: LossFunction, *batch: Tensor, sharded: bool = False, own_rows: bool = False
    ) -> float:
        """The loss of a whole batch, whose gradient is added to every `.grad`: `train_step` without an optimizer.

        TypeError for a loss function that is none, and for what is no tensor; ValueError for a loss whose denominator
        is unknown, and where ranks pass batches of different lengths, or other samples than one another (that is looked
        at with the first batch); with `own_rows`, for heights that are not those of `own_part`; for `sharded` with
        shares that are not equal, or with virtual shards, which have samples of any rank. Then no gradient is kept.
        """
        if not callable(loss_fn):
            raise TypeError(f"loss_fn must be a function (output, *targets) -> loss, not {type(loss_fn).__name__}")
        if not self.schedule.trains:
            raise ValueError(f"{self.schedule!r} has no backward pass: choose another schedule to train")
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
        if own_rows:
            check_own_rows(batch if self._gives_rows else batch[:1], self.mesh)
        passed = Passed(sharded, own_rows)
        first, total = pieces[0][0] if sharded else 0, pieces[0][2]
        inputs = self._cut(batch[0], pieces, rows=not own_rows, first=first)
        cuts_targets = self._gives_rows and not own_rows
        targets = [self._cut(target, pieces, rows=cuts_targets, first=first) for target in batch[1:]]
        copies = 1 if self._gives_rows else self.mesh.space.size
        losses = BatchLoss(self.mesh, loss_fn, targets, total, copies)
        with self._exchange.adding_up(len(pieces), losses.check, self._ties.add_up) as exchange:
            stages, pipeline = self._stages_to_run(), self.mesh.pipeline
            run = Run(self.schedule, pipeline, stages, inputs, pieces, losses.finish, losses.slope, self._place)
            run.carry_out()
            mark = 0.0 if passed in self._known else fingerprint(batch)
            loss, exchange.divisor = losses.tell(run.last_draw, mark, passed)
            self.shares.measured(run.seconds, sum(count for _, count, _ in pieces))
        if self._sharded is not None:
            self._sharded.take_gradients()
        self._mark_gradients()
        self._known.add(passed)  # the mistake, if it is made, is made with the first
        if self._by_micro_batch:
            take_running_statistics(self._stages.values(), self.mesh.replicas)
        return loss

    def _loss_and_gradients_by_tree(self, tree: ShardTree, loss_fn: LossFunction, batch: Sequence[Tensor]) -> float:
        total = _length(batch)
        mark = 0.0 if Passed() in self._known else fingerprint(batch)
        told = self.mesh.comm.all_gather(np.array([total, mark]))
        if (told[:, 0] != total).any():
            raise different_lengths(told[:, 0])
        check_fingerprints(told[:, 1], self.mesh, Passed())
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
            losses = BatchLoss(self.mesh, loss_fn, targets, rows=1)  # the tree divides
            generator.set_state((seed, draws))
            run = Run(
                self.schedule,
                self.mesh.pipeline,
                self._stages_to_run(),
                [batch[0][rows]],
                [piece],
                losses.finish,
                losses.slope,
                self._place,
            )
            most = max(most, run.carry_out().last_draw)
            return losses.parts[0]

        parameters = [p for _, p in self.named_parameters()]
        try:
            loss, gradients = tree.loss_and_gradients(parameters, shard)
        except BaseException:
            for p in parameters:
                p.grad = None
            raise
        else:
            for p, gradient in gradients:
                p.accumulate(gradient)
        finally:
            for p, gradient in before:
                p.accumulate(gradient)
        self._mark_gradients()
        generator.set_state((seed, int(self.mesh.data.all_reduce(np.array(most), "max"))))
        self._known.add(Passed())
        return loss

    def _stages_to_run(self) -> Mapping[int, Callable[[Tensor], Tensor]]:
        if not self._options.recompute:
            return self._stages
        return {stage: recomputed(module) for stage, module in self._stages.items()}

    def __call__(self, x: Tensor, own_rows: bool = False) -> Tensor:
        """See `forward`."""
        pieces = self._pieces((x,))
        if own_rows:
            check_own_rows([x], self.mesh)
        if self._sharded is not None:
            self._sharded.tell_parameters()
        inputs = self._cut(x, pieces, rows=not own_rows)
        outputs: dict[int, Tensor] = {}  # by micro-batch
        pipeline, last = self.mesh.pipeline, self.schedule.placement[-1]
        with set_grad_mode(False):
            schedule = _forward_only(self.schedule)
            run = Run(schedule, pipeline, self._stages, inputs, pieces, outputs.__setitem__, None, self._place)
            run.carry_out()
            generator = default_generator()
            draws = self.mesh.comm.all_reduce(np.array(run.last_draw), "max")  # in training mode there may be some
            generator.set_state((generator.get_state()[0], int(draws)))
            made = [outputs[i] for i in sorted(outputs)]
            told = pipeline.broadcast_object(to_numpy(cat(made).array) if pipeline.rank == last else None, root=last)
            mine = wrap(told).to(x.device)  # the last stage may compute on another kind of device
            if self._gives_rows and not own_rows:
                mine = put_together(mine, self.mesh.space, -2)
            return put_together(mine, self.mesh.data, 0)

    def forward(self, x: Tensor, own_rows: bool = False) -> Tensor:
        """`net(x)`: the output for a whole batch, which every rank passes, on every rank, without a gradient.

        With `own_rows`, for this rank's rows of each image; the output, if it is rows, stays this rank's, too. Whether
        ranks pass what they should is not looked at, but for the heights of own rows.
        """
        return self(x, own_rows)

    def _check_micro_batches(self) -> None:
        """RuntimeError for a layer that must see the whole batch, or run once, where the batch comes piece by piece."""
        pieces = self.schedule.microbatches if self._tree is None else self._tree.shards
        for name, embedding in self._looks_at_indices:
            if embedding.training and pieces * self.mesh.data.size > 1:
                for option in ("max_norm", "scale_grad_by_freq"):
                    if getattr(embedding, option, None):
                        raise RuntimeError(f"layer {name!r}: {option} looks at all samples of a batch, which is split")
        for name, module in self._iterates:
            if module.training and (pieces > 1 or self._options.recompute):
                raise RuntimeError(
                    f"layer {name!r}: spectral_norm iterates before every forward, of which one process has one a "
                    "batch: leave the batch whole (microbatches=1, no virtual_shards, no recompute), or put the layer "
                    "in eval mode"
                )
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
        if len(pieces) == 1 and pieces[0][1] == len(x):
            return [x]
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

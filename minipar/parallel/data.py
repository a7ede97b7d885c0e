"""Data parallelism: every rank holds the whole model and a share of each batch; gradients are added up.

    rank 0   rows 0…31  ─▶ loss sum, count ─▶ gradients ─┐
                                                           ├─ all-reduce (sum) ─▶ the same step on every rank
    rank 1   rows 32…63 ─▶ loss sum, count ─▶ gradients ─┘

A mean loss over the whole batch is (Σ over ranks of loss sums) / (Σ of their denominators): the mean of the ranks'
means is something else as soon as shares differ. So each rank's gradient is weighted by its own denominator over
everybody's, once, where backward starts (losses.py); after that a plain sum is exact, for uneven and empty shares too,
and begins while backward still runs (gradients.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.random import default_generator, sharded_samples
from ..nn.module import Module
from ..tensor import Tensor, wrap
from . import timeline
from .batch_loss import different_lengths
from .comm import Communicator
from .gradients import GradientExchange
from .losses import MESSAGE, as_pair, message, part_of_loss, whole_loss
from .optimizer_step import optimizer_step
from .shares import share
from .travel import beside, to_send


class DataParallel(Module):
    """`module` on every rank of `comm`, starting from rank 0's parameters and buffers.

        def train(comm):
            model = parallel.DataParallel(nn.Linear(4, 1), comm)
            loss_fn = lambda net, x, y: F.mse_loss(net(x), y)
            optimizer = optim.SGD(model.parameters(), lr=0.1)
            for x, y in batches:                                   # every rank sees the same batches …
                model.train_step(loss_fn, optimizer, x, y)             # … and works on its rows

    What is drawn for samples (dropout) is drawn for the rows of the last `shard`: the same that one process would draw.

    A `timeline` records forward, backward, the exchange of gradients and the update of `train_step`.

    (PyTorch's `nn.DataParallel` is threads in one process; this is its DistributedDataParallel, but exact for uneven
    shares, and with backward called on it instead of on the loss.)

    >>> def train(comm):
    ...     model = minipar.parallel.DataParallel(nn.Linear(1, 1), comm)
    ...     step = optim.SGD(model.parameters(), lr=0.1)
    ...     x, y = minipar.ones(3, 1), minipar.zeros(3, 1)
    ...     return model.train_step(lambda net, x, y: F.mse_loss(net(x), y), step, x, y)
    >>> first, second = minipar.parallel.launch(train, workers=2, backend="thread")
    >>> first == second
    True
    """

    _held: tuple[int, int, int] | None  # (start, count, total): which rows of which batch the last shard gave
    _draws: int  # that the generator had made then

    def __init__(self, module: Module, comm: Communicator) -> None:
        super().__init__()
        self.module = module
        self.comm = comm
        self._held, self._draws = None, 0
        self._syncs = True
        self._exchange = GradientExchange(module.parameters(), comm)
        broadcast_state(module, comm)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self._exchange.check_no_strays()
        with self._samples():
            return self.module(*args, **kwargs)

    def _samples(self) -> AbstractContextManager[None]:
        return nullcontext() if self._held is None else sharded_samples(*self._held)

    def shard(self, *batch: Tensor) -> tuple[Tensor, ...]:
        """This rank's rows of each tensor of a global batch: consecutive, in order of rank, as equal as can be."""
        sizes = {len(x) for x in batch}
        if len(sizes) != 1:
            raise ValueError(f"the tensors of a batch must have one first size, got {sorted(sizes)}")
        total = sizes.pop()
        rows = share(total, self.comm.rank, self.comm.size)
        self._held = rows.start, rows.stop - rows.start, total
        self._draws = default_generator().get_state()[1]
        return tuple(x[rows] for x in batch)

    def train_step(self, loss_fn: Callable[..., Any], optimizer: Any, *batch: Tensor) -> float:
        """One step on a global batch, which every rank passes whole: returns the loss of the whole batch.

        `loss_fn(module, *rows)` returns the loss of this rank's rows: the result of a loss function of minipar (which
        knows its denominator), or a pair (sum, denominator). ValueError for a scalar of unknown denominator.
        """

        def loss_and_gradients() -> float:
            rows = self.shard(*batch)
            with self._samples(), timeline.span("forward"):
                made = loss_fn(self.module, *rows) if len(rows[0]) or self._needs_every_rank() else None
            return self.backward(*as_pair(made))

        return optimizer_step(optimizer, loss_and_gradients)

    def backward(self, loss: Tensor | None, weight: float | None = None) -> float:
        """Add the gradient of the loss of all ranks to every `.grad`, on every rank; returns that loss.

        `loss` is this rank's, None if it has no rows. Without `weight` it must come from a loss function, which knows
        whether it is a mean, and over what. With `weight` it is a sum over this rank's rows, and the loss of all is
        Σ loss / Σ weight. ValueError for a loss whose denominator is unknown, or that comes with a second one, and
        where ranks have shards of batches of different lengths.

        Inside `no_sync` gradients stay with this rank, to be added up by the next backward outside it.
        """
        parts = [] if loss is None else [part_of_loss(loss, weight)]
        rows = 0 if self._held is None else self._held[2]
        all_rows = np.zeros(self.comm.size)
        all_rows[self.comm.rank] = rows
        told = self.comm.all_reduce(np.concatenate([message(parts), [self._drawn_by_first_rank()], all_rows]))
        drawn, all_rows = told[MESSAGE], told[MESSAGE + 1 :]
        if (all_rows != rows).any():
            raise different_lengths(all_rows)
        had_rows = loss is not None and (self._held is None or self._held[1] > 0)
        self._keep_step(int(drawn), had_rows)
        total, divisor = whole_loss(told[:MESSAGE])
        with self._exchange.adding_up() if self._syncs else self._exchange.keeping():
            if loss is not None and (parts[0].denominator or self._needs_every_rank()):
                if had_rows and not parts[0].denominator:
                    raise RuntimeError(
                        "SyncBatchNorm under DataParallel: no sample of this rank counts; use parallelize"
                    )
                slope = parts[0].slope / divisor if parts[0].denominator else 0.0
                with timeline.span("backward"):
                    loss.backward(wrap(namespace(loss.array).full_like(loss.array, slope)))
        return total

    def _needs_every_rank(self) -> bool:
        """Is there a layer that exchanges something with all ranks, also with those that have no rows?"""
        return self.module.training and any(getattr(m, "needs_every_rank", False) for m in self.module.modules())

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, `backward` adds to the gradients of this rank alone: the next one outside adds up all of them.

        To accumulate gradients over several batches and exchange them once.
        """
        before, self._syncs = self._syncs, False
        try:
            yield
        finally:
            self._syncs = before

    def _drawn_by_first_rank(self) -> int:
        """Rank 0 (which has rows if anybody has) says how many draws it made since `shard`; the others say 0."""
        return 0 if self.comm.rank or self._held is None else default_generator().get_state()[1] - self._draws

    def _keep_step(self, drawn: int, had_rows: bool) -> None:
        """A rank without rows drew nothing: its generator goes where the others' are, for the next batch."""
        generator = default_generator()
        seed, draws = generator.get_state()
        if not had_rows and self._held is not None:
            draws = self._draws + drawn
            generator.set_state((seed, draws))
        self._draws = draws


def broadcast_state(module: Module, comm: Communicator) -> None:
    """Copy rank 0's parameters and buffers to every rank."""
    for state in (*module.parameters(), *module.buffers()):
        sent = to_send(state.array, comm)
        comm.broadcast(sent)
        if sent is not state.array:
            state.array[...] = beside(sent, state.array)
        state.bump("broadcast")

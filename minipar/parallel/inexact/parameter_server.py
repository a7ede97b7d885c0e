"""A parameter server: one rank keeps the model, the others train it, and nobody waits for the slowest, up to a bound.

    rank 1   pull ─ gradient ─ push ┐ pull ─ gradient ─ push ┐ pull …
    rank 2   pull ──────── gradient ┼──────── push ┐ pull …  │
    rank 0                          step           step      step         each with what has arrived by then

A gradient may be older than the parameters it is subtracted from (stale): the run is another one than that of one
process, and another every time. How old is bounded: no worker begins a step before the slowest has made all but
`staleness` of its own (stale synchronous parallel: Ho et al., "More Effective Distributed ML via a Stale Synchronous
Parallel Parameter Server", NIPS 2013; the server is that of Li et al., "Scaling Distributed Machine Learning with the
Parameter Server", OSDI 2014).

    staleness=0           all wait for all: one step with all gradients, the same numbers as one process
    staleness=s           a worker may be s steps ahead of the slowest
    staleness=math.inf    nobody ever waits: fully asynchronous

The server makes a step when it has a worker to answer, with all gradients that have come by then: k of N workers' count
for k/N of a step with their mean. With staleness 0 nobody can be answered before all have come.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...backend import namespace, to_numpy
from ...backend.random import sharded_samples
from ...nn.module import Module
from ...nn.parameter import zero_grad
from ...tensor import Tensor, wrap
from ..comm import Communicator, CommunicatorTimeout
from ..data import broadcast_state
from ..losses import SUM, as_pair, part_of_loss
from ..shares import share

SERVER = 0  # the rank that serves
REST = 1e-4  # seconds between two looks for messages
GOODBYE = -1.0  # instead of a denominator: no step comes any more


class ParameterServer:
    """Trains `module`: rank 0 of `comm` serves, every other rank is a worker. Collective.

        shared = parallel.ParameterServer(model, comm, staleness=2)
        if comm.rank == 0:
            shared.serve(optim.SGD(model.parameters(), lr=0.1))    # until all workers have finished
        else:
            for x, y in batches:                                   # every worker sees the same batches …
                shared.train_step(loss_fn, x, y)                   # … and works on its rows
            shared.finish()                                        # now every rank has the server's parameters

    Workers begin with the parameters and buffers of rank 0. Buffers are each rank's own from then on, and those of
    rank 0 do not change. Batch norm must be in eval mode: a worker's rows are not the batch (RuntimeError).

    `leads` is on the server: of every answer, by how many steps its worker was ahead of the slowest.

    TypeError unless `comm` is a Communicator; ValueError for fewer than two ranks and for a negative staleness.

    >>> def train(comm):
    ...     model = nn.Linear(1, 1)
    ...     shared = minipar.parallel.ParameterServer(model, comm, staleness=1)
    ...     if comm.rank == 0:
    ...         shared.serve(optim.SGD(model.parameters(), lr=0.1))
    ...     else:
    ...         for _ in range(3):
    ...             shared.train_step(lambda net, x: F.mse_loss(net(x), x), minipar.ones(4, 1))
    ...         shared.finish()
    ...     return model.weight.item(), max(shared.leads, default=0) <= 1
    >>> ranks = minipar.parallel.launch(train, workers=3, backend="thread")
    >>> ranks[0] == ranks[1] == ranks[2]
    True
    """

    def __init__(self, module: Module, comm: Communicator, staleness: float = 0) -> None:
        if not isinstance(comm, Communicator):
            raise TypeError(f"comm must be a Communicator, not {type(comm).__name__}")
        if comm.size < 2:
            raise ValueError("a parameter server takes at least 2 ranks, one that serves and one that works, not 1")
        if not staleness >= 0:
            raise ValueError(f"staleness={staleness} must be a number of steps from 0 on, or math.inf")
        self.module, self.comm, self.staleness = module, comm, staleness
        self.leads: list[int] = []
        broadcast_state(module, comm)

    # -- the server ------------------------------------------------------------------------------------------------

    def serve(self, optimizer: Any) -> None:
        """Step `optimizer`, of this rank's parameters, by what workers push, until all of them have finished.

        RuntimeError on any other rank. CommunicatorTimeout if nobody has pushed for the communicator's timeout.
        """
        self._check_role(serves=True)
        steps = dict.fromkeys(range(1, self.comm.size), 0)  # that each worker has made, of those that train still
        asked = {worker: self.comm.irecv(worker) for worker in steps}  # the message with which each comes next
        pushed: dict[int, tuple[np.ndarray, float]] = {}  # gradients that are in no step yet
        waits: set[int] = set()  # workers who wait for parameters
        while steps:
            for worker in self._come(asked):
                denominator = asked.pop(worker).wait().item()
                if denominator == GOODBYE:
                    del steps[worker]
                    continue
                pushed[worker] = self.comm.recv(worker), denominator
                steps[worker] += 1
                waits.add(worker)
                asked[worker] = self.comm.irecv(worker)
            slowest = min(steps.values(), default=0)
            may_go_on = sorted(worker for worker in waits if steps[worker] - slowest <= self.staleness)
            if may_go_on:
                self._step(optimizer, pushed)
                pushed.clear()
            for worker in may_go_on:
                self.comm.send(self._told(), worker)
                self.leads.append(steps[worker] - slowest)
            waits.difference_update(may_go_on)
        self._agree()

    def _come(self, asked: dict[int, Any]) -> list[int]:
        """The workers whose next message is there; waits until there is one (MPI_Waitsome)."""
        deadline = time.monotonic() + self.comm.timeout
        while not (come := [worker for worker, work in asked.items() if work.done()]):
            if time.monotonic() > deadline:
                raise CommunicatorTimeout(
                    f"the parameter server (rank {SERVER}) has heard nothing of its workers, ranks "
                    f"{', '.join(map(str, sorted(asked)))}, for {self.comm.timeout:g} s: each must go on with "
                    "train_step, and call finish() in the end"
                )
            time.sleep(REST)
        return come

    def _step(self, optimizer: Any, pushed: dict[int, tuple[np.ndarray, float]]) -> None:
        """With the mean of the gradients that have come, as large a step as their part of all workers."""
        arrived = [pushed[worker] for worker in sorted(pushed)]
        denominator, part = sum(d for _, d in arrived), len(arrived) / (self.comm.size - 1)
        gradient = sum(g for g, _ in arrived) * (part / denominator if denominator else 0.0)
        for p, stretch in self._stretches(np.asarray(gradient)):
            p.grad = wrap(namespace(p.array).asarray(stretch.astype(p.dtype)))
        optimizer.step()

    # -- a worker --------------------------------------------------------------------------------------------------

    def train_step(self, loss_fn: Callable[..., Any], *batch: Tensor) -> float:
        """One step on this worker's rows of a batch, which every worker passes whole; returns the loss of its rows.

        `loss_fn(module, *rows)` returns what a loss function has returned, or (sum, denominator). On return the
        module has the server's parameters. RuntimeError on the server, ValueError for a batch with fewer rows than
        workers.
        """
        self._check_role(serves=False)
        total, workers = len(batch[0]), self.comm.size - 1
        if total < workers:
            raise ValueError(f"a batch of {total} rows for {workers} workers: each needs one")
        rows = share(total, self.comm.rank - 1, workers)
        zero_grad(list(self.module.parameters()), True)
        with sharded_samples(rows.start, rows.stop - rows.start, total):
            loss, weight = as_pair(loss_fn(self.module, *[x[rows] for x in batch]))
        part = part_of_loss(loss, weight)
        slope = part.slope * (workers if part.kind == SUM else 1)  # a sum is not to become a mean over workers
        if part.denominator:
            loss.backward(wrap(namespace(loss.array).full_like(loss.array, slope)))
        self.comm.send(np.array(part.denominator), SERVER)
        self.comm.send(_in_a_row(p.array * 0 if p.grad is None else p.grad.array for p in self._trained()), SERVER)
        self._take(self.comm.recv(SERVER))
        return part.total / part.denominator if part.denominator else math.nan

    def finish(self) -> None:
        """No step comes any more: wait for the other workers, then take the server's parameters."""
        self._check_role(serves=False)
        self.comm.send(np.array(GOODBYE), SERVER)
        self._agree()

    # -- both ------------------------------------------------------------------------------------------------------

    def _check_role(self, serves: bool) -> None:
        if serves != (self.comm.rank == SERVER):
            raise RuntimeError(
                f"rank {self.comm.rank} {'is a worker' if serves else 'serves'}: serve() is for rank {SERVER} alone, "
                "train_step() and finish() are for all others"
            )

    def _agree(self) -> None:
        self._take(self.comm.broadcast(self._told(), SERVER))

    def _trained(self) -> list[Any]:
        return [p for p in self.module.parameters() if p.tracked]

    def _told(self) -> np.ndarray:
        """All parameters that are trained, one after the other."""
        return _in_a_row(p.array for p in self._trained())

    def _take(self, row: np.ndarray) -> None:
        for p, stretch in self._stretches(row):
            p.array[...] = namespace(p.array).asarray(stretch.astype(p.dtype))
            p.bump("parameter server")

    def _stretches(self, row: np.ndarray) -> Iterator[tuple[Any, np.ndarray]]:
        """Each trained parameter, and the numbers in `row` that are in its place, in its shape."""
        start = 0
        for p in self._trained():
            yield p, row[start : start + p.array.size].reshape(p.shape)
            start += p.array.size


def _in_a_row(arrays: Iterator[Any]) -> np.ndarray:
    """In the widest of their dtypes, which holds all of them exactly."""
    return np.concatenate([to_numpy(array).reshape(-1) for array in arrays])

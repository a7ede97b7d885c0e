"""minipar's ranks: `python -m minipar.bench.parallel.own ADDRESS RANKS THREADS`, so many threads a rank.

alone     the five lines that everybody writes, in rank 0, while the others sleep
together  the same in every rank, which know nothing of each other
split     one step of `parallelize` over all ranks
halves    each rank its share of the batch, as if nobody else were there; then they wait for one another
stages    each rank its stage of a pipeline, by itself: what `simulate` makes an ideal time of
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import minipar

from ... import __version__, optim, set_num_threads
from ...parallel import Communicator, Layout, launch
from ...parallel.pipeline import stages_of_model
from ...parallel.shares import share
from ...tensor import Tensor
from ..workloads import ordinary_step, prepare
from .rank import Work, asleep, serve, steps
from .splits import SUBJECTS


def build(comm: Communicator, kind: str, subject: str, layout: str) -> Work:
    if kind == "split":
        return steps(split_step(comm, subject, layout))
    if kind == "halves":
        return share_alone(comm, subject)
    if kind == "stages":
        return stage_alone(comm.rank, subject, Layout.parse(layout))
    if kind == "alone" and comm.rank:
        return asleep()
    step = ordinary_step(prepare(minipar, SUBJECTS[subject]))
    return steps(lambda: step().item())


def split_step(comm: Communicator, subject: str, layout: str) -> Any:
    workload = SUBJECTS[subject]
    training = prepare(minipar, workload)
    net = Layout.parse(layout).parallelize(training.model, comm)
    optimizer = getattr(optim, workload.optimizer)(net.parameters(), lr=workload.lr)
    return partial(net.train_step, training.loss_function, optimizer, training.x, training.y)


def share_alone(comm: Communicator, subject: str) -> Work:
    """The least that a split of the batch can take: nothing is added up, but a step ends with that of the slowest."""
    training = prepare(minipar, SUBJECTS[subject])
    own = share(len(training.x), comm.rank, comm.size)
    step = ordinary_step(replace(training, x=training.x[own], y=training.y[own]))

    def step_and_wait() -> float:
        loss = step().item()
        comm.barrier()
        return loss

    return Work(steps(step_and_wait).repeat, [])  # the losses are those of other batches


def stage_alone(rank: int, subject: str, layout: Layout) -> Work:
    """This rank's stage on all micro-batches; a repeat says the seconds of (a forward, a backward, the update)."""
    workload = SUBJECTS[subject]
    training = prepare(minipar, workload)
    modules = stages_of_model(training.model, layout.pipeline)
    stage, count = modules[rank], layout.microbatches
    optimizer = getattr(optim, workload.optimizer)(list(stage.parameters()), lr=workload.lr)
    rows = len(training.x) // count
    target = training.y[:rows]
    with minipar.no_grad():
        entered = training.x[:rows]
        for before in modules[:rank]:
            entered = before(entered)
    entered.requires_grad_(rank > 0)

    def forward() -> Tensor:
        made = stage(entered)
        return training.loss_function(made, target) if rank == len(modules) - 1 else made

    grad = minipar.ones_like(forward()).detach()

    def repeat() -> tuple[float, float, float]:
        times = []
        for _ in range(count):
            start = perf_counter()
            made = forward()
            middle = perf_counter()
            made.backward(grad)
            times.append((middle - start, perf_counter() - middle))
            entered.grad = None
        start = perf_counter()
        optimizer.step()
        optimizer.zero_grad()
        each = np.mean(times, axis=0)
        return float(each[0]), float(each[1]), perf_counter() - start

    return Work(repeat, [])


def serve_rank(comm: Communicator, address: str, threads: int) -> None:
    set_num_threads(threads)
    serve(comm.rank, f"minipar {__version__}", partial(build, comm), address)


def main() -> None:
    address, ranks, threads = sys.argv[1:]
    launch(serve_rank, address, int(threads), workers=int(ranks), timeout=math.inf)


if __name__ == "__main__":
    main()

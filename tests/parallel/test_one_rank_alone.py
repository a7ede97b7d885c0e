"""One rank alone leaves out a part of a training step: an error that tells of the others too, and soon, not a hang.

(What ranks leave out together ends in wrong numbers: tests/mutation/test_strategy_mutants.py.)
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minipar import parallel
from minipar.parallel import functional, sync_batch_norm
from minipar.parallel.batch_loss import BatchLoss
from minipar.parallel.gradients import GradientExchange
from minipar.parallel.pipeline import orders
from minipar.parallel.pipeline.run import Run
from minipar.parallel.pipeline.schedule import Backward, Forward
from minipar.parallel.space import halo
from minipar.parallel.zero import ShardedParameters
from tests.mutation.comm_mutants import Mutant, instead
from tests.mutation.strategy_mutants import Alone, case
from tests.parallel.equivalence.trainings import Case, training_of
from tests.parallel.rank_programs import failure_of

TIMEOUT = 2.0
GRACE = 20.0  # seconds to start, to train and to tell, on a busy machine
RANKS = r"ranks? \d[\d, -]*"
WAITED = rf"{RANKS}, in .*, (waited {TIMEOUT:g} s: {RANKS} (is|are)|waits in vain: {RANKS} has) "
OUT_OF_STEP = rf"{RANKS} called .*, but {RANKS} called |{WAITED}"


def on_rank_1(comm_of: Callable[..., Any], otherwise: Callable[..., Any]) -> Callable[[Any], Any]:
    """Rank 1 of the communicator that `comm_of` finds among the arguments does `otherwise` instead."""

    def make(right: Any) -> Any:
        return lambda *given: otherwise(*given) if comm_of(*given).rank == 1 else right(*given)

    return make


def first_bucket_stays(right: Any) -> Any:
    def send(self: Any, bucket: Any) -> None:
        if self.comm.rank == 1 and bucket is self._buckets[0]:
            self._under_way.append(lambda: None)
        else:
            right(self, bucket)

    return send


def first_stretch_not_told(right: Any) -> Any:
    def put_in(self: Any, stretch: Any, flat: Any) -> None:
        if self._comm.rank != 1 or stretch is not self.owned[0]:
            right(self, stretch, flat)

    return put_in


def statistics_of_its_own(right: Any) -> Any:
    return lambda planes, comm: right(planes, Alone if comm.rank == 1 else comm)


def no_rows_sent(right: Any) -> Any:
    def plan(needed: Any, heights: Any, rank: int) -> Any:
        made = right(needed, heights, rank)
        return replace(made, sent=()) if rank == 1 else made

    return plan


def first_chunk_back_first(right: Any) -> Any:
    """Backward goes through chunks as forward does: every rank waits for what another is to do later."""

    def in_groups(p: int, m: int, v: int, rank: int, step: Any) -> Any:
        return [step(x.stage, x.microbatch) for x in right(p, m, v, rank, Forward if step is Backward else step)]

    return in_groups


MUTANTS: dict[str, tuple[Mutant, Case]] = {
    "a bucket is not added up": (instead(GradientExchange, "_send", first_bucket_stays), case("data over 2")),
    "a parameter is not put together": (
        instead(ShardedParameters, "_put_in", first_stretch_not_told),
        case("ZeRO 3"),
    ),
    "the loss is not told": (
        instead(BatchLoss, "tell", on_rank_1(lambda self, *_: self._mesh.comm, lambda *_: (1.0, 1.0))),
        case("data over 3"),
    ),
    "statistics are not gathered": (
        instead(sync_batch_norm, "_moments_of_all", statistics_of_its_own),
        case("data over 2", "CNN with batch norm", microbatches=1),
    ),
    "tensor ranks' sums are not added up": (
        instead(functional, "summed", on_rank_1(lambda x, comm: comm, lambda x, comm: x)),
        case("tensor over 2", "Transformer"),
    ),
    "rows are not sent": (instead(halo, "plan", no_rows_sent), case("space over 2")),
    "nothing is sent between stages": (
        instead(Run, "_send", on_rank_1(lambda self, x: self.comm, lambda self, x: None)),
        case("1f1b"),
    ),
    "chunks go back in the order of forward": (
        instead(orders, "_in_groups", first_chunk_back_first),
        case("interleaved"),
    ),
}


def train(comm: parallel.Communicator, name: str) -> None:
    _, case = MUTANTS[name]
    training_of(case).in_layout(comm, case.layout, **case.options)


def train_with_mutant(comm: parallel.Communicator, name: str) -> None:
    """On a rank that is a process."""
    with ExitStack() as stack:
        MUTANTS[name][0](stack)
        train(comm, name)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_an_asynchronous_call_behind_which_another_waits(backend: str) -> None:
    def work(comm: parallel.Communicator) -> None:
        pending = comm.all_reduce(np.zeros(3 + comm.rank), async_op=True)
        comm.barrier()
        pending.wait()

    error = failure_of(work, backend=backend, timeout=TIMEOUT)
    assert isinstance(error.cause, parallel.MismatchError)
    assert re.search(OUT_OF_STEP, str(error.cause)), str(error.cause)


def nobody_waits(comm: parallel.Communicator) -> str:
    comm.all_reduce(np.zeros(3 + comm.rank), async_op=True)
    return "all is well"


def a_group_is_closed_before(comm: parallel.Communicator) -> None:
    group = comm.split(0)
    assert group is not None
    pending = comm.all_reduce(np.zeros(3 + comm.rank), async_op=True)
    time.sleep(0.2)
    pending.done()
    group.close()
    comm.barrier()


def another_call_has_failed_harmlessly(comm: parallel.Communicator) -> None:
    if comm.rank:
        comm.send(np.ones(5), 0, tag=1)
        comm.send(np.ones(1), 0, tag=2)
        comm.all_reduce(np.zeros(4), async_op=True)
        time.sleep(0.5)
        return
    too_small = comm.irecv(1, out=np.empty(3), tag=1)
    comm.recv(1, tag=2)
    pending = comm.all_reduce(np.zeros(3), async_op=True)
    time.sleep(0.2)
    pending.done()
    with pytest.raises(ValueError, match="irecv: out is"):
        too_small.wait()
    comm.barrier()


@pytest.mark.parametrize("backend", ["thread", "process"])
@pytest.mark.parametrize("work", [nobody_waits, a_group_is_closed_before, another_call_has_failed_harmlessly])
def test_the_error_of_an_asynchronous_call_is_never_lost(work: Callable[..., Any], backend: str) -> None:
    error = failure_of(work, backend=backend, timeout=TIMEOUT)
    assert isinstance(error.cause, parallel.MismatchError), str(error)
    assert re.search(OUT_OF_STEP, str(error.cause)), str(error.cause)


@pytest.mark.parametrize("name", MUTANTS)
def test_threads(name: str) -> None:
    put, case = MUTANTS[name]
    parallel.launch(train, name, workers=case.layout.ranks, backend="thread", timeout=20)
    with ExitStack() as stack:
        put(stack)
        check_error(train, name, "thread")


@pytest.mark.parametrize("name", ["a bucket is not added up", "rows are not sent"])
def test_processes(name: str) -> None:
    check_error(train_with_mutant, name, "process")


def check_error(work: Callable[..., None], name: str, backend: str) -> None:
    started = time.monotonic()
    error = failure_of(work, name, workers=MUTANTS[name][1].layout.ranks, backend=backend, timeout=TIMEOUT)
    assert time.monotonic() - started < TIMEOUT + GRACE
    assert isinstance(error.cause, parallel.CommunicatorError)
    assert re.search(OUT_OF_STEP, str(error.cause)), str(error.cause)

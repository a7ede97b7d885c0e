"""Would the contract of the communicators notice a wrong collective? Break each on purpose and see.

Mutants run under random programs of tests/parallel/contract, as ranks that are threads and as ranks that are processes;
one is noticed if a program gives anything else than the model says, or ends in an error. The ring buffer, which only
processes use, has a check of its own here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice
from mmap import mmap
from typing import Any

import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm.meeting import MeetingCommunicator
from minipar.parallel.comm.ring import Ring
from tests.mutation.comm_mutants import BOTH, FOR_PROCESSES, FOR_THREADS, concerns, in_place, run_with
from tests.parallel.contract.drawing import program_of
from tests.parallel.contract.mismatches import Mismatch, run_mismatch, trouble
from tests.parallel.contract.programs import check, run_program
from tests.parallel.contract.steps import Program

SIZE = 3
MOST = 100  # programs, until a mutant counts as not noticed
RIGHT = 15  # programs that must pass where nothing is broken
TIMEOUT = 3.0


def on_threads(name: str | None, seed: int) -> list[Any]:
    with in_place(name):
        return parallel.launch(run_program, program_of(seed, SIZE), workers=SIZE, backend="thread", timeout=TIMEOUT)


@pytest.fixture(scope="module")
def pool() -> Iterator[parallel.Pool]:
    with parallel.Pool(workers=SIZE, timeout=TIMEOUT) as pool:
        yield pool


def notices(run: Callable[[str | None, int], list[Any]], name: str | None, most: int = MOST) -> bool:
    """Whether one of the first programs that could go wrong does."""
    for seed in islice((seed for seed in count() if concerns(name, program_of(seed, SIZE))), most):
        try:
            check(program_of(seed, SIZE), run(name, seed))
        except (AssertionError, parallel.WorkerError):
            return True
    return False


@pytest.mark.parametrize("name", [*BOTH, *FOR_THREADS])
def test_a_mutant_among_threads_is_noticed(name: str) -> None:
    assert notices(on_threads, name)


@pytest.mark.parametrize("name", [*BOTH, *FOR_PROCESSES])
def test_a_mutant_among_processes_is_noticed(name: str, pool: parallel.Pool) -> None:
    assert notices(lambda name, seed: pool.run(run_with, name, seed), name)


def test_ranks_that_do_not_compare_their_calls_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Mismatch(Program(2, ()), "all_reduce float64 (3,) sum", "all_reduce float64 (3,) max", odd=1)

    def noticed() -> bool:
        reports = parallel.launch(run_mismatch, other, workers=2, backend="thread", timeout=TIMEOUT)
        return trouble(other, reports) != ""

    assert not noticed()
    monkeypatch.setattr(MeetingCommunicator, "_compare", lambda self: None)
    assert noticed()


def test_where_nothing_is_broken_nothing_is_noticed(pool: parallel.Pool) -> None:
    assert not notices(on_threads, None, RIGHT)
    assert not notices(lambda name, seed: pool.run(run_with, name, seed), None, RIGHT)


def test_how_many_mutants_there_are() -> None:
    assert len(BOTH | FOR_THREADS | FOR_PROCESSES) == 34


CAPACITY = 4096  # bytes of the ring


def passes_round_the_ring(kind: type[Ring]) -> bool:
    """Do bytes arrive as they were sent, when messages cross the ring's end?"""
    ring = kind(mmap(-1, kind.nbytes(CAPACITY)), 0, CAPACITY, lambda: None)
    sent = (np.arange(3 * CAPACITY // 4) % 251).astype(np.uint8)
    for number in range(5):
        message, received = sent + np.uint8(number), np.empty_like(sent)
        if (ring.write(message), ring.read(received)) != (sent.size, sent.size) or (message != received).any():
            return False
    return True


def test_a_ring_that_does_not_wrap_around_is_noticed() -> None:
    class WithoutWrap(Ring):
        def read(self, out: np.ndarray) -> int:
            start = self._read[0] % CAPACITY
            count = super().read(out)
            out[CAPACITY - start : count] = 0  # what lies at the ring's beginning is never fetched
            return count

    assert passes_round_the_ring(Ring)
    assert not passes_round_the_ring(WithoutWrap)

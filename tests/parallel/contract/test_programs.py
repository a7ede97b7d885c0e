"""The contract: random programs of collectives, on every backend and for 1 to 8 ranks, against the serial model.

Programs for threads are drawn by Hypothesis, which shrinks those that fail. Starting processes takes half a second, so
they run many programs in one launch; these are drawn from seeds, and the one that fails is named.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from minipar import parallel
from tests.parallel.contract.drawing import Drawing, program_of
from tests.parallel.contract.programs import Path, check, run_program, warm_up
from tests.parallel.contract.steps import Program, Step

TIMEOUT = 8.0  # seconds
EXAMPLES = 120  # programs for threads
PROGRAMS = {1: 30, 2: 30, 3: 25, 4: 20, 5: 10, 6: 10, 7: 8, 8: 10}  # by the number of processes
LONGER = 10  # times as many in the tests marked slow
BATCH = 30  # programs in one launch
THE_FIXTURE_HAS_NO_STATE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@st.composite
def steps(draw: st.DrawFn, size: int) -> Step:
    return Drawing(draw(st.randoms(use_true_random=False)), size).step()


@st.composite
def programs(draw: st.DrawFn) -> Program:
    size = draw(st.integers(1, 8))
    return Program(size, tuple(draw(st.lists(steps(size), min_size=1, max_size=10))))


def on_threads(program: Program) -> None:
    check(program, parallel.launch(run_program, program, workers=program.size, backend="thread", timeout=TIMEOUT))


@given(programs())
@settings(max_examples=EXAMPLES, suppress_health_check=THE_FIXTURE_HAS_NO_STATE)
def test_thread_ranks(program: Program) -> None:
    on_threads(program)


@pytest.mark.slow
@given(programs())
@settings(max_examples=LONGER * EXAMPLES, suppress_health_check=THE_FIXTURE_HAS_NO_STATE)
def test_thread_ranks_at_length(program: Program) -> None:
    on_threads(program)


def run_seeds(comm: parallel.Communicator, seeds: range) -> list[dict[Path, Any]]:
    """On a rank: the outcomes of one program after the other; from the middle on, with compiled calls."""
    outcomes = []
    for number, seed in enumerate(seeds):
        if number == len(seeds) // 2:
            warm_up(comm)
        try:
            outcomes.append(run_program(comm, program_of(seed, comm.size)))
        except Exception as error:
            error.add_note(f"in program_of({seed}, {comm.size})")
            raise
    return outcomes


def on_processes(backend: str, size: int, seeds: range) -> None:
    for start in range(0, len(seeds), BATCH):
        batch = seeds[start : start + BATCH]
        by_rank = parallel.launch(run_seeds, batch, workers=size, backend=backend, timeout=TIMEOUT)
        for seed, outcomes in zip(batch, zip(*by_rank)):
            try:
                check(program_of(seed, size), list(outcomes))
            except AssertionError as error:
                error.add_note(f"in program_of({seed}, {size})")
                raise


@pytest.mark.parametrize("size", PROGRAMS)
def test_process_ranks(size: int) -> None:
    on_processes("process", size, range(PROGRAMS[size]))


@pytest.mark.slow
@pytest.mark.parametrize("size", PROGRAMS)
def test_process_ranks_at_length(size: int) -> None:
    on_processes("process", size, range(PROGRAMS[size], (1 + LONGER) * PROGRAMS[size]))


@pytest.mark.parametrize("size", PROGRAMS)
def test_mpi_ranks(size: int) -> None:
    pytest.importorskip("mpi4py", reason='the mpi backend needs mpi4py and an MPI: pip install ".[mpi]"')
    on_processes("mpi", size, range(PROGRAMS[size]))


@pytest.mark.slow
@pytest.mark.parametrize("size", PROGRAMS)
def test_mpi_ranks_at_length(size: int) -> None:
    pytest.importorskip("mpi4py", reason='the mpi backend needs mpi4py and an MPI: pip install ".[mpi]"')
    on_processes("mpi", size, range(PROGRAMS[size], (1 + LONGER) * PROGRAMS[size]))

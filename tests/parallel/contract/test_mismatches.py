"""Ranks that make different calls at some point of a random program: an error on all of them, within a second."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from minipar import parallel
from tests.parallel.contract.drawing import Drawing, program_of
from tests.parallel.contract.mismatches import CALLS, Mismatch, run_mismatch, trouble
from tests.parallel.contract.steps import Program

TIMEOUT = 5.0  # so that an error within a second is not this one
SIZES = (2, 3, 5)


@st.composite
def mismatches(draw: st.DrawFn) -> Mismatch:
    size = draw(st.sampled_from(SIZES))
    random = draw(st.randoms(use_true_random=False))
    usual, other = draw(st.lists(st.sampled_from(sorted(CALLS)), min_size=2, max_size=2, unique=True))
    before = Program(size, Drawing(random, size).steps(3))
    return Mismatch(before, usual, other, draw(st.integers(0, size - 1)), draw(st.booleans()), draw(st.booleans()))


def random_pairs(size: int, seed: int) -> Iterator[Mismatch]:
    """One third of the calls, each against another, in random company."""
    random = Random(f"{size}, {seed}")
    names = sorted(CALLS)
    random.shuffle(names)
    for usual, other in list(zip(names, [*names[1:], names[0]]))[:: len(SIZES)]:
        before = program_of(random.randrange(1000), size, most_steps=2)
        in_group, asynchronous, warm = (random.random() < 0.3 for _ in range(3))
        yield Mismatch(before, usual, other, random.randrange(size), in_group, asynchronous, warm)


def check(mismatch: Mismatch, backend: str) -> None:
    size = mismatch.before.size
    reports = parallel.launch(run_mismatch, mismatch, workers=size, backend=backend, timeout=TIMEOUT)
    assert trouble(mismatch, reports) == "", mismatch


@given(mismatches())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_thread_ranks(mismatch: Mismatch) -> None:
    check(mismatch, "thread")


def with_a_pool(seed: int) -> None:
    for size in SIZES:
        with parallel.Pool(workers=size, timeout=TIMEOUT) as pool:
            for mismatch in random_pairs(size, seed):
                assert trouble(mismatch, pool.run(run_mismatch, mismatch)) == "", mismatch


def test_process_ranks() -> None:
    with_a_pool(seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_process_ranks_at_length(seed: int) -> None:
    with_a_pool(seed)


@pytest.mark.parametrize("size", SIZES)
def test_mpi_ranks_that_debug(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpi4py", reason='the mpi backend needs mpi4py and an MPI: pip install ".[mpi]"')
    monkeypatch.setenv("MINIPAR_DEBUG", "1")
    for mismatch in islice(random_pairs(size, seed=0), 2):
        check(mismatch, "mpi")

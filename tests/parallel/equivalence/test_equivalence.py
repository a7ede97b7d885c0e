"""The promise: in whatever way a training step is split, it gives the losses, gradients and parameters of one process.

The matrix: {models, each with dropout} × {losses} × {strategies, schedules, hybrids of 4 and 8 ranks} × {threads,
processes, MPI} × {float64, float32} × {SGD with momentum, Adam} × {batches that divide evenly, or not, or leave ranks
without rows} × {1, 2, 3, 4 micro-batches}. Here any two choices meet in some case; the slow tests have any three, and
every strategy, model, loss, size of batch and number of micro-batches.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from itertools import combinations, product
from unittest import mock

import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.equivalence import TrainingRun
from tests.parallel.equivalence import trainings
from tests.parallel.equivalence.layouts import HYBRIDS, STRATEGIES, layout_of, refusal
from tests.parallel.equivalence.matrix import (
    FACTORS,
    applies,
    applies_often,
    covering_cases,
    expected,
    run_cases,
    trouble,
)
from tests.parallel.equivalence.models import ZERO_GRADIENTS, ZOO
from tests.parallel.equivalence.trainings import Case

FIELDS = Case._fields
# Backends, and on how many ranks: processes are started once for all cases, and those of fewer ranks run side by side.
OFTEN = [*(("thread", ranks) for ranks in (1, 2, 3, 4, 8)), ("process", 4), ("mpi", 4)]


def on_ranks(backend: str, ranks: int, cases: list[Case], timeout: float = 60) -> dict[Case, list[TrainingRun | str]]:
    """What the ranks of each case have.

    `timeout` (seconds) is for all cases of as many ranks: ranks that are left over wait as long for the others.
    """
    if backend == "mpi" and find_spec("mpi4py") is None:
        pytest.skip('needs mpi4py and an MPI library: pip install ".[mpi]"')
    of_ranks = parallel.launch(run_cases, cases, workers=ranks, backend=backend, timeout=timeout)
    return {case: [made[case] for made in of_ranks if case in made] for case in cases}


def check(backend: str, ranks: int, cases: list[Case], timeout: float = 60) -> None:
    """Run those of these cases that are this backend's, on so many ranks: threads only what needs just as many."""
    cases = [case for case in cases if case.backend == backend]
    if backend == "thread":
        cases = [case for case in cases if case.layout.ranks == ranks]
    wrong = [told for case, runs in on_ranks(backend, ranks, cases, timeout).items() if (told := trouble(case, runs))]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(cases)} cases:", *wrong])


@pytest.mark.parametrize(("backend", "ranks"), OFTEN)
def test_any_two_choices(backend, ranks):
    check(backend, ranks, covering_cases(2, applies_often))


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "ranks"), [*OFTEN[:-2], ("process", 8), ("mpi", 8)])
def test_any_three_choices(backend, ranks):
    check(backend, ranks, covering_cases(3), timeout=1800)


@pytest.mark.slow
@pytest.mark.parametrize("model", ZOO)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_loss_and_batch_and_number_of_micro_batches(strategy, model):
    _, _, losses, _, _, sizes, microbatches, _ = FACTORS
    rows = product([strategy], [model], losses, ["sgd"], ["float64"], sizes, microbatches, ["thread"])
    cases = [Case(*values) for values in rows if applies(values)]
    if cases:
        check("thread", cases[0].layout.ranks, cases)
    else:
        assert all(refusal(strategy, model, count) for count in microbatches)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_does_not_apply_is_refused_clearly(strategy):
    cases, said = [], []
    for model, count in product(ZOO, (1, 2, 3)):
        says = refusal(strategy, model, count)
        if says:
            cases.append(Case(strategy, model, "mean", "sgd", "float64", "even", count, "thread"))
            said.append(says)
    if cases:
        made = on_ranks("thread", cases[0].layout.ranks, cases)
        for case, says in zip(cases, said):
            for run in made[case]:
                assert isinstance(run, str), case.name
                assert re.search(says, run), f"{case.name}: {run}"


def test_what_the_covering_cases_cover():
    cases = covering_cases(2, applies_often)
    everything = [values for values in product(*FACTORS) if applies_often(values)]
    pairs = {pair for values in everything for pair in combinations(zip(FIELDS, values), 2)}
    assert {pair for case in cases for pair in combinations(zip(FIELDS, case), 2)} == pairs
    met = {(case.strategy, case.model) for case in cases}
    for strategy, model in product(STRATEGIES, ZOO):
        possible = [count for count in (1, 2, 3, 4) if refusal(strategy, model, count) is None]
        assert ((strategy, model) in met) == bool(possible)
    assert len(cases) < 270
    assert len(HYBRIDS) >= 8
    assert {layout_of(name, 1).ranks for name in HYBRIDS} == {4, 8}


@pytest.mark.parametrize("model", ZOO)
def test_where_gradients_are_mathematically_zero(model):
    """Adam's steps are made of rounding noise there: these models, and no others, are left out with Adam."""
    case = Case("one rank", model, "mean", "sgd", "float64", "even", 1, "thread")
    largest = max(np.abs(gradient).max() for gradient in expected(case).gradients.values())
    noise = 1e-13 * largest
    noisy = [name for name, g in expected(case).gradients.items() if ((np.abs(g) < noise) & (g != 0)).any()]
    assert noisy == ZERO_GRADIENTS.get(model, [])


def repeated(strategy: str, number: int) -> Case:
    """This strategy with one of the models that it fits, the next strategy with another; with micro-batches, if any."""
    counts = {model: count for model in ZOO for count in (1, 2) if refusal(strategy, model, count) is None}
    model = list(counts)[number % len(counts)]
    return Case(strategy, model, "weighted", "adam", "float32", "uneven", counts[model], "process")


# Shares that are measured depend on the time: tests/parallel/test_uneven.py repeats them from their record.
REPEATED = [name for name in STRATEGIES if layout_of(name, 1).ranks <= 4 and name != "measured shares"]


OVER_MPI = ["data × pipeline", "data × tensor, ZeRO 2", "data × space", "pipeline × tensor, sequence", "virtual shards"]


def few_steps(backend: str, cases: list[Case]) -> dict[Case, list[TrainingRun | str]]:
    """`on_ranks`, of processes of their own, where no step follows that could only show again what these do."""

    def run(comm):
        with mock.patch.object(trainings, "STEPS", 5):
            return run_cases(comm, cases)

    made = parallel.launch(run, workers=4, backend=backend, timeout=60)
    return {case: [of_rank[case] for of_rank in made if case in of_rank] for case in cases}


@pytest.fixture(scope="module")
def once() -> dict[Case, list[TrainingRun | str]]:
    return few_steps("process", [repeated(name, number) for number, name in enumerate(REPEATED)])


def test_the_same_seed_and_layout_give_the_same_bits(once):
    assert {case.model for case in once} == set(ZOO)
    for case, runs in few_steps("process", list(once)).items():
        assert {len(run.losses) for run in runs} in ({5}, {10})  # GAN: two a step
        assert len({bits(run) for run in (*runs, *once[case])}) == 1, case.name  # of every rank


def test_mpi_gives_the_bits_of_processes(once):
    pytest.importorskip("mpi4py", reason='needs MPI: pip install ".[mpi]"')
    cases = [case for case in once if case.strategy in OVER_MPI]
    assert "Transformer" in {case.model for case in cases}
    for case, runs in few_steps("mpi", cases).items():
        assert len({bits(run) for run in (*runs, *once[case])}) == 1, case.name


def bits(run: TrainingRun) -> tuple:
    return tuple(run.losses), *((name, array.tobytes()) for name, array in (run.gradients | run.state).items())

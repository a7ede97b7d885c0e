"""The matrix: which cases there are, and what their ranks do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from minipar.bench.zoo import OF_CLASSES
from minipar.parallel import Communicator
from minipar.parallel.equality import TOLERANCE
from minipar.parallel.equivalence import TrainingRun, assert_same_run
from tests.parallel.equivalence.covering import covering
from tests.parallel.equivalence.layouts import STRATEGIES, refusal
from tests.parallel.equivalence.models import SIZES, ZERO_GRADIENTS, ZOO
from tests.parallel.equivalence.trainings import Case, in_layout, in_one_process

BACKENDS = ("thread", "process", "mpi")
FACTORS: list[Sequence] = [  # in the order of Case
    list(STRATEGIES),
    list(ZOO),
    list(OF_CLASSES),
    ["sgd", "adam"],
    ["float64", "float32"],
    list(SIZES),
    [1, 2, 3, 4],
    BACKENDS,
]


def applies(values: tuple) -> bool:
    case = Case(*values)
    return (
        case.loss in ZOO[case.model].losses
        and (case.optimizer == "sgd" or case.model not in ZERO_GRADIENTS)
        and (case.backend == "thread" or case.strategy not in ("one rank", "one rank, recomputed"))
        and refusal(case.strategy, case.model, case.microbatches) is None
    )


def applies_often(values: tuple) -> bool:
    """Not where it takes long: eight processes on the two cores of a CI machine."""
    case = Case(*values)
    return applies(values) and (case.backend == "thread" or case.layout.ranks < 8)


def costs(values: tuple) -> float:
    """Ranks of MPI spin while they wait: where there are fewer cores than ranks, a case takes twice as long."""
    return float(Case(*values).backend == "mpi")


@cache
def covering_cases(strength: int, among: Callable[[tuple], bool] = applies) -> list[Case]:
    return [Case(*values) for values in covering(FACTORS, among, strength, costs)]


def run_cases(comm: Communicator, cases: list[Case]) -> dict[Case, TrainingRun | str]:
    """On every rank: what this rank has of these cases. Those of fewer ranks run side by side, in groups of ranks."""
    made = {}
    for ranks in sorted({case.layout.ranks for case in cases}):
        groups = comm.size // ranks
        mine = comm.rank // ranks
        group = comm.split(mine if mine < groups else None)
        if group is not None:
            for case in [case for case in cases if case.layout.ranks == ranks][mine::groups]:
                made[case] = in_layout(group, case)
    return made


@cache
def reference(case: Case) -> TrainingRun:
    return in_one_process(case)


def expected(case: Case) -> TrainingRun:
    return reference(case._replace(strategy="one rank", microbatches=1, backend="thread"))


def trouble(case: Case, runs: list[TrainingRun | str]) -> str:
    """What is wrong in a case; nothing if all is well."""
    if len(runs) != case.layout.ranks:
        return f"{case.name}: {len(runs)} ranks"
    for rank, run in enumerate(runs):
        if isinstance(run, str):
            return f"{case.name}, rank {rank}: {run}"
        try:
            assert_same_run(run, expected(case), TOLERANCE[np.dtype(case.dtype)], f"{case.name}, rank {rank}")
        except AssertionError as error:
            return str(error)
    return ""

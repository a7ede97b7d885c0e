"""Would the matrix of layouts notice a wrong way to split a training step? Break each on purpose and see."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from minipar import parallel
from tests.mutation.strategy_mutants import BESIDE_THE_MATRIX, MUTANTS
from tests.parallel.equivalence.beside_the_matrix import Program
from tests.parallel.equivalence.matrix import run_cases, trouble
from tests.parallel.equivalence.trainings import Case

TIMEOUT = 5.0


def in_the_matrix(case: Case) -> str:
    try:
        made = parallel.launch(run_cases, [case], workers=case.layout.ranks, backend="thread", timeout=TIMEOUT)
    except parallel.WorkerError as error:
        return str(error)
    return trouble(case, [of_rank[case] for of_rank in made])


def beside_it(program: Program) -> str:
    return max(parallel.launch(program, workers=2, backend="thread", timeout=TIMEOUT))


@pytest.mark.parametrize("name", [*MUTANTS, *BESIDE_THE_MATRIX])
def test_a_mutant_is_noticed(name: str) -> None:
    put, where = (MUTANTS | BESIDE_THE_MATRIX)[name]
    noticed = in_the_matrix if isinstance(where, Case) else beside_it
    assert noticed(where) == ""
    with ExitStack() as stack:
        put(stack)
        told = noticed(where)
        assert told != ""
        assert "TypeError" not in told, "the mutant is no longer called as the right one is"

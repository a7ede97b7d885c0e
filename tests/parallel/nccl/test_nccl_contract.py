"""The communicator's contract with CuPy arrays over NCCL: ranks are threads, CuPy is its double, NCCL its stand-in.

Not a GPU run: see double_array.py and double_nccl.py for what these show. test_nccl_gpu.py has real ones.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from minipar import parallel
from tests.parallel.contract.drawing import program_of
from tests.parallel.contract.mismatches import run_mismatch, trouble
from tests.parallel.contract.programs import check, run_program
from tests.parallel.contract.refusals import what_is_not_refused
from tests.parallel.contract.test_mismatches import random_pairs
from tests.parallel.nccl.on_gpu import OnGPU
from tests.parallel.nccl.threads_with_nccl import TIMEOUT, launch

PROGRAMS = {1: 15, 2: 30, 3: 25, 4: 20, 5: 8, 8: 5}  # by the number of ranks


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("size", PROGRAMS)
def test_programs_give_what_they_give_on_the_host(size: int, debug: bool, nccl: SimpleNamespace) -> None:
    def on_rank(comm: Any, program: Any) -> Any:
        return run_program(OnGPU(comm), program)

    for seed in range(PROGRAMS[size]):
        program = program_of(seed, size)
        try:
            check(program, launch(on_rank, program, size=size, debug=debug))
        except BaseException as error:
            error.add_note(f"in program_of({seed}, {size})")
            raise
    assert nccl.mismatches == []
    if PROGRAMS[size] >= 20:
        used = {name for _, name, _ in nccl.calls}
        assert used == {"allReduce", "allGather", "broadcast", "reduce", "reduceScatter", "send", "recv"}


@pytest.mark.parametrize("size", [2, 3, 5])
def test_calls_that_differ_are_named(size: int, nccl: SimpleNamespace) -> None:
    for mismatch in random_pairs(size, seed=0):
        reports = parallel.launch(
            lambda comm: run_mismatch(OnGPU(parallel.over_nccl(comm, debug=True)), mismatch),  # noqa: B023 (called at once)
            workers=size, backend="thread", devices=[f"cuda:{rank}" for rank in range(size)], timeout=TIMEOUT,
        )  # fmt: skip
        assert trouble(mismatch, reports) == "", mismatch


@pytest.mark.parametrize("size", [1, 3])
def test_every_wrong_call_is_refused(size: int, nccl: SimpleNamespace) -> None:
    for rank, complaints in enumerate(launch(what_is_not_refused, size=size)):
        assert not complaints, f"rank {rank}:\n" + "\n".join(complaints)

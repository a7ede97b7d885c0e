"""Wrong arguments are errors of this rank alone, which say what is wrong, and the communicator goes on."""

from __future__ import annotations

import pytest

from minipar import parallel
from tests.parallel.contract.refusals import refusals, what_is_not_refused


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("backend", ["thread", "process", "mpi"])
def test_every_wrong_call_is_refused(backend: str, size: int) -> None:
    if backend == "mpi":
        pytest.importorskip("mpi4py", reason='the mpi backend needs mpi4py and an MPI: pip install ".[mpi]"')
    by_rank = parallel.launch(what_is_not_refused, workers=size, backend=backend, timeout=10)
    for rank, complaints in enumerate(by_rank):
        assert not complaints, f"rank {rank}:\n" + "\n".join(complaints)


def test_how_many_wrong_calls_there_are() -> None:
    names = [name for name, _ in refusals(3)]
    assert len(names) == len(set(names))
    assert len(names) >= 250

"""Open MPI: the backend works there as with MPICH, and survivors of a killed rank go on."""

import pytest

from minipar import parallel
from minipar.parallel.comm.elastic import check_elastic
from minipar.parallel.ranks.mpiexec import is_open_mpi
from tests.parallel.mpi_programs import mpiexec_of, needs_mpi, needs_open_mpi, open_mpi_python, run_job

BEGIN = """
import os, signal, sys, time
import numpy as np
from minipar import parallel

comm = parallel.init(timeout=5, elastic=True)
me = comm.rank
x = np.ones(100_000)
comm.all_reduce(x, "mean")
"""

SURVIVE = """
half = comm.split(me % 2)
try:
    comm.barrier()
    if me == 1:
        {death}
    if me == 3:
        comm.recv(0)
    while True:
        comm.all_reduce(x, "mean")
except parallel.PeerFailedError as error:
    told = str(error)
small = comm.shrink()
assert "died, while rank" in told and "shrink()" in told, told
closed = 0
for old in (comm, half):
    try:
        old.barrier()
    except parallel.CommunicatorError:
        closed += 1
total = small.all_reduce(np.array([10.0**me]))[0]
pair = small.split(small.rank // 2)
small.send(np.arange(100_000), (small.rank + 1) % small.size)
received = small.recv((small.rank - 1) % small.size).size
print(me, small.rank, small.size, small.timeout, total, closed, pair.size, received, flush=True)
"""


def run_elastic(tmp_path, script, ranks=4):
    return run_job(tmp_path, ranks, script, "--with-ft", "ulfm", python=open_mpi_python())


@needs_open_mpi
@pytest.mark.parametrize("death", ["os.kill(os.getpid(), signal.SIGKILL)", "raise ValueError('boom')"])
def test_survivors_go_on(tmp_path, death):
    ended = run_elastic(tmp_path, BEGIN + SURVIVE.format(death=death))
    assert ended.code == 0, ended.stderr
    pairs = {0: 2, 1: 2, 2: 1}
    assert ended.lines() == [f"{old} {new} 3 5.0 1101.0 2 {pairs[new]} 100000" for new, old in enumerate((0, 2, 3))]
    assert ("ValueError: boom" in ended.stderr) == ("raise" in death)


IN_A_SPLIT = """
from minipar.parallel.comm.{module} import {kind}

make = {kind}._split

def interrupted(self, members):
    {event}
    return (yield from make(self, members))

{kind}._split = interrupted
try:
    comm.split(me % 2)
except parallel.PeerFailedError as error:
    told = str(error)
{kind}._split = make
small = comm.shrink()
assert small.split(small.rank // 2).size == (2, 2, 1)[small.rank]
print(me, small.all_reduce(np.array([10.0**me]))[0], flush=True)
"""
DIE = "os.kill(os.getpid(), signal.SIGKILL) if me == 1 else time.sleep(0.5 * (me != 3))"
NOTICE = """
    time.sleep(0.5)  # by when rank 1 is dead, which 3 notices first
    if me == 3:
        raise parallel.PeerFailedError("rank 1 died")
"""


@needs_open_mpi
@pytest.mark.parametrize("event", [DIE, f"if me == 1:\n        os.kill(os.getpid(), signal.SIGKILL){NOTICE}"])
def test_a_death_in_the_middle_of_a_split(tmp_path, event):
    script = IN_A_SPLIT.format(module="elastic", kind="ElasticCommunicator", event=event)
    ended = run_elastic(tmp_path, BEGIN + script)
    assert ended.lines() == [f"{me} 1101.0" for me in (0, 2, 3)], ended.stderr


@needs_open_mpi
def test_a_group_that_open_mpi_never_makes_ends_the_job(tmp_path):
    ended = run_elastic(tmp_path, BEGIN + IN_A_SPLIT.format(module="mpi", kind="MPICommunicator", event=DIE))
    assert ended.code != 0
    assert "CommunicatorTimeout: rank 0 has waited 5 s in split() for another survivor" in ended.stderr
    assert ended.seconds < 30


@needs_open_mpi
def test_a_survivor_that_does_not_come_to_shrink(tmp_path):
    script = f"{BEGIN}if me == 1:\n    time.sleep(9)\nif me == 2:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    script += "try:\n    comm.barrier()\nexcept parallel.PeerFailedError:\n    comm.shrink()\n"
    ended = run_elastic(tmp_path, script, ranks=3)
    assert (
        "CommunicatorTimeout: rank 0 has waited 5 s in shrink() for another survivor: all must call it" in ended.stderr
    )


@needs_open_mpi
def test_survivors_that_do_not_go_on_end(tmp_path):
    script = (
        BEGIN + "if me == 1:\n    os.kill(os.getpid(), signal.SIGKILL)\nwhile True:\n    comm.all_reduce(x, 'mean')"
    )
    ended = run_elastic(tmp_path, script, ranks=3)
    assert all(f"minipar: rank {rank} stops: rank 1 died" in ended.stderr for rank in (0, 2))
    assert ended.seconds < 20


@needs_open_mpi
def test_nobody_dies(tmp_path):
    ended = run_elastic(tmp_path, BEGIN + "print(type(comm).__name__, flush=True)", ranks=2)
    assert (ended.code, ended.lines(), ended.stderr) == (0, ["ElasticCommunicator"] * 2, "")


@needs_open_mpi
def test_without_elastic_open_mpi_ends_jobs_as_mpich_does(tmp_path):
    python = open_mpi_python()
    assert is_open_mpi(*mpiexec_of(python))
    begin = BEGIN.replace(", elastic=True", "")
    fine = run_job(tmp_path, 2, begin + "print(x.sum(), flush=True)", python=python)
    assert (fine.code, fine.lines(), fine.stderr) == (0, ["100000.0"] * 2, "")
    bad = run_job(tmp_path, 2, begin + "if me == 1:\n    raise ValueError('boom')\ncomm.barrier()", python=python)
    assert bad.code != 0
    assert "ValueError: boom" in bad.stderr
    assert bad.seconds < 15


@needs_open_mpi
def test_open_mpi_launches_too(tmp_path):
    """`launch` from a plain process: run there by that Python."""
    script = "from minipar import parallel\nprint(parallel.launch(lambda comm: comm.rank, workers=3, backend='mpi'))"
    ended = run_job(tmp_path, 0, script, python=open_mpi_python())
    assert (ended.code, ended.stdout, ended.stderr) == (0, "[0, 1, 2]\n", "")


@needs_mpi
def test_mpich_cannot(monkeypatch):
    monkeypatch.delenv("OMPI_MCA_mpi_ft_enable", raising=False)
    with pytest.raises(RuntimeError, match="needs Open MPI, and a job started with `mpiexec --with-ft ulfm`"):
        check_elastic()
    with pytest.raises(RuntimeError, match="hierarchical and elastic are for jobs that mpiexec has started"):
        parallel.ranks.environment._found(5.0, None, None, elastic=True)

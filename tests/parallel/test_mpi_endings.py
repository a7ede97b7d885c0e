"""What ranks that mpiexec has started say when one of them fails, and that none waits for ever, whoever is missing."""

import pytest

from minipar.parallel.ranks import mpiexec
from tests.parallel.mpi_programs import needs_mpi, run_job

pytestmark = needs_mpi

START = 8  # seconds: this machine may be busy

# -- what is written ---------------------------------------------------------------------------------------------------

PATIENT = """
import pathlib, time
from minipar import parallel
from minipar.parallel.comm.mpi_end import Ending

abort = Ending.abort

def meet(what):
    # By files: a rank that is slow to leave a barrier would hear of those that have failed since.
    place = pathlib.Path(__file__).parent
    (place / f"{what} {comm.rank}").touch()
    until = time.monotonic() + 20
    while len(list(place.glob(f"{what} *"))) < comm.size and time.monotonic() < until:
        time.sleep(0.01)

def abort_late(ending):
    ending._job.board.fail(ending._job.rank)
    meet("said")
    time.sleep(1)  # for mpiexec to pass on what was said
    abort(ending)

Ending.abort = abort_late
comm = parallel.init(timeout=20)

def even(depth):
    if depth == 0:
        raise ValueError(f"boom {comm.rank}")
    odd(depth - 1)

def odd(depth):
    even(depth - 1)
"""


def paragraphs(stderr):
    """Of tracebacks each, from its heading to its last line; and the lines that are in none."""
    tracebacks, others = [], []
    for line in stderr.splitlines():
        if line.startswith("Traceback"):
            tracebacks.append([line])
        elif tracebacks and not tracebacks[-1][-1].startswith("ValueError"):
            tracebacks[-1].append(line)
        else:
            others.append(line)
    return tracebacks, others


def test_tracebacks_of_several_ranks_follow_one_another(tmp_path):
    ended = run_job(tmp_path, 4, PATIENT + "meet('here')\neven(60)\n")
    tracebacks, _ = paragraphs(ended.stderr)
    assert sorted(lines[-1] for lines in tracebacks) == [f"ValueError: boom {rank}" for rank in range(4)]
    assert {len(lines) for lines in tracebacks} == {len(tracebacks[0])}
    assert all(sum("odd(depth - 1)" in line for line in lines) == 30 for lines in tracebacks)


def test_a_rank_that_only_hears_of_a_failure_says_so_in_a_line(tmp_path):
    ended = run_job(tmp_path, 3, PATIENT + "if comm.rank == 1:\n    even(2)\ncomm.barrier()\n")
    tracebacks, others = paragraphs(ended.stderr)
    assert [lines[-1] for lines in tracebacks] == ["ValueError: boom 1"]
    heard = sorted(line.partition(", while")[0] for line in others if line.startswith("minipar"))
    assert heard == [f"minipar: rank {rank} stops: rank 1 has failed" for rank in (0, 2)]
    assert "PeerFailedError" not in ended.stderr


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        ("except parallel.PeerFailedError as error:\n    raise ValueError('lost a peer') from error", "lost a peer"),
        ("finally:\n    comm.barrier()", "another call after a failure"),
    ],
)
def test_what_a_rank_adds_itself_is_told_in_full(tmp_path, handler, told):
    script = "try:\n    if comm.rank == 1 or {finally}:\n        raise ValueError('another call after a failure')\n"
    script = script.replace("{finally}", str(handler.startswith("finally"))) + f"    comm.barrier()\n{handler}\n"
    ended = run_job(tmp_path, 2, PATIENT + script)
    assert f"ValueError: {told}" in ended.stderr


def test_an_excepthook_of_the_program_is_called(tmp_path):
    script = "import sys\nsys.excepthook = lambda kind, error, place: print('hooked', error, file=sys.stderr)\n"
    ended = run_job(tmp_path, 2, script + PATIENT + "if comm.rank == 1:\n    even(2)\ncomm.barrier()\n")
    assert "hooked boom 1" in ended.stderr
    assert "hooked rank" not in ended.stderr


# -- mpi4py, imported by the program -----------------------------------------------------------------------------------

IMPORTS = {"before": "import mpi4py.MPI\n{init}", "after": "{init}import mpi4py.MPI\n"}
INIT = "import os, sys, time\nfrom minipar import parallel\ncomm = parallel.init(timeout=2)\n"
IMPATIENT = "from minipar.parallel.comm import mpi_arrival\nmpi_arrival.START_LIMIT = 2\n" + INIT
FAILURES = {  # what rank 1 does while rank 0 waits for it in a call of its own of MPI, which knows of no timeout
    "an exception": ("raise ValueError('boom')", "ValueError: boom", 1),
    "sys.exit(3)": ("sys.exit(3)", "rank 1 has finished, and has waited 2 s for the others: rank 0 is running", 3),
    "another excepthook": ("sys.excepthook = print\n    raise ValueError", "waited 2 s for the others: rank 0", 3),
}


@pytest.mark.parametrize("order", IMPORTS)
@pytest.mark.parametrize("way", FAILURES)
def test_a_failure_ends_the_job_whoever_imports_mpi4py_first(tmp_path, order, way):
    failure, told, seconds = FAILURES[way]
    script = IMPORTS[order].format(init=INIT)
    ended = run_job(tmp_path, 2, f"{script}if comm.rank == 1:\n    {failure}\nmpi4py.MPI.COMM_WORLD.Barrier()\n")
    assert ended.code != 0
    assert told in ended.stderr
    assert ended.seconds < START + seconds


@pytest.mark.parametrize("order", IMPORTS)
def test_a_program_that_ends_well_whoever_imports_mpi4py_first(tmp_path, order):
    ended = run_job(tmp_path, 2, IMPORTS[order].format(init=INIT) + "print(comm.all_gather_object(comm.rank))\n")
    assert (ended.code, ended.stderr, ended.lines()) == (0, "", ["[0, 1]"] * 2)


def test_a_rank_that_fails_before_init(tmp_path):
    """It waits for the others in MPI_Finalize, which mpi4py has seen to."""
    script = "import mpi4py.MPI\nif mpi4py.MPI.COMM_WORLD.rank == 1:\n    raise ValueError('boom')\n" + IMPATIENT
    ended = run_job(tmp_path, 3, script)
    assert ended.code != 0
    assert "ValueError: boom" in ended.stderr
    assert "CommunicatorTimeout: rank 1 did not call parallel.init() within 2 s" in ended.stderr
    assert ended.seconds < START + 3


# -- who is missing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("late", "told"), [("rank == 0", "rank 0"), ("rank == 2", "rank 2"), ("rank in (1, 3)", "ranks 1, 3")]
)
@pytest.mark.parametrize("hosts", ["", "a,b,c,d"])
def test_ranks_that_never_come_to_init(tmp_path, late, told, hosts):
    script = (
        f"import os, time\nrank = int(os.environ['PMI_RANK'])\nif {late}:\n    import mpi4py.MPI\n    time.sleep(60)\n"
    )
    ended = run_job(tmp_path, 4, script + IMPATIENT, MINIPAR_HOST=hosts)
    assert ended.code != 0
    assert f"CommunicatorTimeout: {told} did not call parallel.init() within 2 s" in ended.stderr
    assert "CommunicatorTimeout: rank 0 did" not in ended.stderr or told == "rank 0"
    assert ended.seconds < START + 3


def test_ranks_that_never_come_to_the_start_of_mpi(tmp_path):
    script = "import os, time\nif os.environ['PMI_RANK'] == '1':\n    time.sleep(60)\n"
    before = mpiexec.segments()
    ended = run_job(tmp_path, 3, script + IMPATIENT)
    mpiexec.sweep(before)  # of an MPICH that has not started yet
    assert ended.code != 0
    assert "Timeout (0:00:02)!" in ended.stderr
    assert "in mpi_when_all_ranks_have_come\n" in ended.stderr
    assert "program.py" in ended.stderr
    assert ended.seconds < START + 3


def test_ranks_that_come_in_time(tmp_path):
    script = "import os, time\ntime.sleep(0.5 * int(os.environ['PMI_RANK']))\n"
    ended = run_job(tmp_path, 3, script + INIT + "print('ok')")
    assert (ended.code, ended.stderr, ended.lines()) == (0, "", ["ok"] * 3)


def test_a_rank_of_another_host_that_never_finishes(tmp_path):
    ended = run_job(tmp_path, 2, INIT + "if comm.rank == 1:\n    time.sleep(60)\n", MINIPAR_HOST="a,b")
    assert ended.code != 0
    assert "rank 0 has finished, and has waited 2 s for the others: rank 1 is on another host" in ended.stderr
    assert ended.seconds < START + 3


WORK = {  # of ranks of another host, for longer than the timeout; seldom in a call, and then not for long
    "collectives": "pair.barrier()",
    "messages": "pair.send(array, 1 - pair.rank)\n        pair.recv(1 - pair.rank)",
    "by itself": "alone.barrier()",
}


@pytest.mark.parametrize("way", WORK)
def test_ranks_of_another_host_that_are_at_work_are_waited_for(tmp_path, way):
    script = (
        "import numpy as np\narray = np.ones(3)\npair = comm.split(min(comm.rank, 1))\nalone = comm.split(comm.rank)\n"
    )
    script += f"if comm.rank:\n    for _ in range(5):\n        time.sleep(0.9)\n        {WORK[way]}\n"
    ended = run_job(tmp_path, 3, INIT + script + "print('ok')", MINIPAR_HOST="a,b,b")
    assert (ended.code, ended.stderr, ended.lines()) == (0, "", ["ok"] * 3)

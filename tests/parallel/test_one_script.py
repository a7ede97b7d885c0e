"""One script, however it is started: alone, by `minipar launch`, by mpiexec, inside a function that `launch` runs."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import parallel
from minipar.parallel.comm.thread import ThreadCommunicator, ThreadWorld
from minipar.parallel.ranks import environment, mpiexec
from minipar.parallel.ranks.script import run_script
from tests.standard_error import without_compiling

cloudpickle.register_pickle_by_value(sys.modules[__name__])
ROOT = Path(__file__).parents[2]
BACKENDS = pytest.mark.parametrize("backend", ["thread", "process"])
LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE", "PMI_RANK", "PMIX_RANK")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Each test begins in a process that nobody has asked for its communicator."""
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "_of_process", None)


# -- init --------------------------------------------------------------------------------------------------------------


def test_alone_it_has_one_rank_and_works():
    comm = parallel.init()
    assert (comm.rank, comm.size, comm.timeout) == (0, 1, 60.0)
    assert comm.all_reduce(np.arange(3.0)).tolist() == [0.0, 1.0, 2.0]
    assert comm.all_gather(np.arange(2)).tolist() == [[0, 1]]
    assert comm.all_gather_object({"a": 1}) == [{"a": 1}]
    comm.send(np.arange(2), 0)
    assert comm.recv(0).tolist() == [0, 1]
    assert comm.split(0).size == 1
    comm.barrier()
    assert parallel.launch(lambda comm: comm.size, workers=2, backend="thread") == [2, 2]  # this is no job


def test_it_is_the_same_each_time_and_takes_the_last_timeout():
    comm = parallel.init(timeout=5)
    assert comm.timeout == 5.0
    assert parallel.init() is comm
    assert comm.timeout == 5.0
    assert parallel.init(timeout=7) is comm
    assert comm.timeout == 7.0


@pytest.mark.parametrize(("timeout", "kind"), [(0, ValueError), (-1.0, ValueError), ("5", TypeError)])
def test_wrong_timeouts(timeout, kind):
    with pytest.raises(kind, match="timeout="):
        parallel.init(timeout)


@BACKENDS
def test_inside_a_launched_function_it_is_the_ranks(backend):
    def work(comm):
        return parallel.init() is comm, parallel.init(timeout=9).timeout, comm.timeout

    assert parallel.launch(work, backend=backend) == [(True, 9.0, 9.0)] * 2
    assert parallel.init().size == 1


@BACKENDS
@pytest.mark.parametrize("was_called_before", [False, True])
def test_a_thread_of_a_rank_has_none(backend, was_called_before):
    """Not that of the process, of one rank, either."""

    def work(comm):
        told = []

        def ask():
            try:
                told.append(parallel.init().size)
            except RuntimeError as error:
                told.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return "init was called by another thread than" in told[0]

    if was_called_before:
        parallel.init()
    assert parallel.launch(work, backend=backend) == [True, True]
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(lambda: parallel.init().size).result() == 1  # no rank runs now
        assert executor.submit(parallel.launch, work, backend="thread").result() == [True, True]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, False),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "1"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1", "PMIX_RANK": "0"}, False),
        ({"PMIX_RANK": "0"}, True),  # Slurm's: the size is not told
    ],
)
def test_an_mpi_job_is_told_by_its_environment(variables, expected, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment._may_be_under_mpiexec() == expected
    if not expected:
        assert environment.job() is None
        assert parallel.launch(lambda comm: comm.size, workers=2, backend="thread") == [2, 2]
        assert parallel.init().size == 1


def test_alone_mpi_is_not_loaded():
    code = "from minipar import parallel; parallel.init(); import sys; print('mpi4py' in sys.modules)"
    assert run_python("-c", code).stdout == "False\n"


# -- launch in a job ---------------------------------------------------------------------------------------------------


def in_job(script, workers=3):
    """`script()` on each rank of a job: threads here, whose process-wide state is the first one's."""

    def rank(comm):
        environment._this_thread.comm = None
        environment._this_thread.job = comm
        return script()

    return parallel.launch(rank, workers=workers, backend="thread", timeout=10)


@pytest.fixture
def of_thread(monkeypatch):
    """Lets each thread be a process of a job."""
    monkeypatch.setattr(environment, "job", lambda: getattr(environment._this_thread, "job", None))


def test_the_function_runs_in_place_and_all_get_all_results(of_thread):
    def script():
        seen = []

        def work(comm, factor, *, plus):
            seen.append(comm.rank)
            return int(comm.all_reduce(np.array([factor * comm.rank]))[0]) + comm.rank + plus

        return seen, parallel.launch(work, 10, plus=1), parallel.launch(work, 1, plus=0, workers=3)

    expected = [31, 32, 33], [3, 4, 5]
    assert in_job(script) == [([rank, rank], *expected) for rank in range(3)]


def test_ranks_begin_equal_and_keep_their_own_state_afterwards(of_thread):
    def script():
        rank = environment.job().rank
        minipar.manual_seed(rank)
        own = minipar.rand(1).item()
        minipar.manual_seed(rank)
        inside = parallel.launch(lambda comm: minipar.rand(1).item())
        return inside, minipar.rand(1).item() == own

    (first, kept), *others = in_job(script)
    assert kept
    assert len(set(first)) == 1
    assert others == [(first, True)] * 2


def test_options_must_be_those_of_the_job(of_thread):
    def script():
        told = []
        for options in ({"workers": 2}, {"backend": "process"}):
            with pytest.raises(ValueError) as caught:
                parallel.launch(lambda comm: None, **options)
            told.append(str(caught.value))
        with pytest.raises(ValueError, match="names 1, but workers=3"):
            parallel.launch(lambda comm: None, timeout=4, devices=["cpu"])
        assert environment.job().timeout == 10
        seen = parallel.launch(lambda comm: comm.timeout, timeout=3)
        return told, seen, parallel.launch(lambda comm: comm.timeout, backend="thread")

    for told, seen, after in in_job(script):
        assert "workers=2, but this process is one of 3 that were started together" in told[0]
        assert "with backend 'thread': leave backend out" in told[1]
        assert (seen, after) == ([3.0] * 3, [10.0] * 3)


def test_launches_do_not_nest_in_a_job(of_thread):
    def nest(comm):
        with pytest.raises(RuntimeError, match="launches do not nest"):
            parallel.launch(lambda comm: None)
        return True

    assert in_job(lambda: parallel.launch(nest)) == [[True] * 3] * 3


def test_an_exception_in_place_is_the_scripts_own(of_thread):
    def boom(comm):
        if comm.rank == 1:
            raise KeyError("boom")
        comm.barrier()

    with pytest.raises(parallel.WorkerError, match="rank 1 raised KeyError: 'boom'"):
        in_job(lambda: parallel.launch(boom))


def test_a_process_leaves_its_job_after_the_script(tmp_path):
    world = ThreadWorld(1)
    comm = ThreadCommunicator(world, 0, 5)
    with environment.as_process_of(comm):
        assert parallel.init() is comm
    assert parallel.init() is not comm


# -- minipar launch ----------------------------------------------------------------------------------------------------


def run_python(*arguments, **options):
    options = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL} | options
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | options.pop("env", {})
    return subprocess.run([sys.executable, "-W", "error", *arguments], env=variables, **options)


def minipar_launch(*arguments, **options):
    return run_python("-m", "minipar", "launch", *map(str, arguments), **options)


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import beside
from minipar import parallel

class Mine:
    pass

def train(comm, offset):
    total = comm.all_reduce(np.array([comm.rank + offset]))
    return int(total[0]) + comm.rank

print(__name__, Path(sys.argv[0]).name, sys.argv[1:], beside.ANSWER)
comm = parallel.init()
assert type(comm.broadcast_object(Mine())).__name__ == "Mine"
results = parallel.launch(train, 10{options})
if parallel.init().rank == 0:
    print("results", results)
"""


@pytest.fixture
def script(tmp_path):
    """A function that writes a script beside a module `beside`."""
    (tmp_path / "beside.py").write_text("ANSWER = 42\n")

    def write(text):
        path = tmp_path / "train.py"
        path.write_text(text)
        return path

    return write


FAILING = {
    "exception": ("raise ValueError('boom')", 1, ["rank 1 raised ValueError: boom", "train.py", "line 5"]),
    "sys.exit(3)": ("sys.exit(3)", 3, ["rank 1 raised SystemExit: 3"]),
    "sys.exit(text)": ("sys.exit('no data')", 1, ["rank 1 raised SystemExit: no data"]),
    "os._exit(5)": ("os._exit(5)", 5, ["rank 1 died with exit code 5"]),
    "os._exit(0)": ("os._exit(0)", 1, ["rank 1 died with exit code 0"]),
    "SIGKILL": ("os.kill(os.getpid(), 9)", 137, ["rank 1 was killed by SIGKILL"]),
    "sys.exit(0) while another waits": ("sys.exit(0)", 1, ["waits in vain: rank 1 has finished"]),
    "hang": ("time.sleep(60)", 1, ["waited 1 s: rank 1 is running user code", "at train.py:5 in <module>"]),
    "mismatch": ("comm.all_reduce(np.ones(2)); comm.barrier()", 1, ["but rank 1 called all_reduce #1 float64 (2,)"]),
}

FAILS = """
import os, sys, time; import numpy as np
from minipar import parallel
comm = parallel.init(timeout={timeout})
if comm.rank == 1: {statement}
comm.barrier()
"""


def under_mpiexec(*arguments, **options):
    """A plain `mpiexec -n 2 python …`, as a user types it (the options are for root, and for few cores)."""
    launcher = mpiexec.find_mpiexec()
    command = [*mpiexec.command(launcher, 2), sys.executable, *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    variables |= mpiexec.environment(launcher, "/nonexistent")
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        try:
            told = job.communicate(timeout=60)
        finally:
            job.kill()
    return subprocess.CompletedProcess(command, job.returncode, *told)


def needs_mpi(backend):
    if backend == "mpi":
        pytest.importorskip("mpi4py", reason='needs MPI: pip install "minipar[mpi]"')


JOBS = {
    "process": lambda *command: minipar_launch("-n", 2, *command),
    "mpi": lambda *command: minipar_launch("-n", 2, "--backend", "mpi", *command),
    "mpiexec": under_mpiexec,
}


def test_a_script_alone(script):
    alone = run_python(str(script(SCRIPT.replace("{options}", ", workers=2"))), "--lr", "0.1", "-m")
    assert without_compiling(alone.stderr) == ""
    assert "__main__ train.py ['--lr', '0.1', '-m'] 42" in alone.stdout
    assert "results [21, 22]" in alone.stdout


@pytest.mark.parametrize("kind", JOBS)
def test_the_same_script_on_the_ranks_of_a_job(kind, script):
    needs_mpi(kind[:3])
    job = JOBS[kind](script(SCRIPT.replace("{options}", ", workers=2")), "--lr", "0.1", "-m")
    assert job.returncode == 0, job.stderr
    assert without_compiling(job.stderr) == ""
    assert job.stdout.count("__main__ train.py ['--lr', '0.1', '-m'] 42") == 2
    assert job.stdout.count("results [21, 22]") == 1


@pytest.mark.parametrize("kind", ["mpi", "mpiexec"])
@pytest.mark.parametrize("how", ["exception", "sys.exit(3)", "SIGKILL", "hang"])
def test_the_first_to_fail_ends_an_mpi_job(kind, how, script):
    needs_mpi(kind[:3])
    statement, code, told = FAILING[how]
    path = script(FAILS.format(timeout=1, statement=statement))
    started = time.monotonic()
    done = JOBS[kind](path)
    assert time.monotonic() - started < 30
    if kind == "mpi":
        assert done.returncode == code, done.stderr
        for words in told:
            assert words in done.stderr
    else:
        assert done.returncode != 0


def test_a_module_and_a_size_that_the_script_takes_as_it_comes(script, tmp_path):
    script(SCRIPT.replace("{options}", ""))
    done = minipar_launch("-n", 3, "-m", "train", "x", cwd=tmp_path)
    assert without_compiling(done.stderr) == ""
    assert done.stdout.count("__main__ train.py ['x'] 42") == 3
    assert done.stdout.count("results [33, 34, 35]") == 1


@pytest.mark.parametrize("how", FAILING)
def test_the_first_to_fail_ends_the_job(how, script):
    statement, code, told = FAILING[how]
    path = script(FAILS.format(timeout=None, statement=statement))
    started = time.monotonic()
    done = minipar_launch("-n", 2, "--timeout", 1, path)
    assert time.monotonic() - started < 30
    assert done.returncode == code, done.stderr
    for words in told:
        assert words in done.stderr
    assert "runpy" not in done.stderr


def test_leaving_early_is_fine_where_nobody_waits(script):
    path = script("import sys\nfrom minipar import parallel\nsys.exit(0 if parallel.init().rank else None)\n")
    assert minipar_launch("-n", 2, path).returncode == 0


def test_an_interrupt_ends_the_job(script, tmp_path, wait_until_gone):
    path = script(
        "import os, sys, time\nfrom minipar import parallel\ncomm = parallel.init()\n"
        "print(os.getpid(), flush=True)\ncomm.barrier()\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "minipar", "launch", "-n", "2", str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as job:  # fmt: skip
        lines = [job.stdout.readline() for _ in range(4)]
        os.killpg(job.pid, signal.SIGINT)
        _, told = job.communicate(timeout=20)
    assert (job.returncode, told) == (130, "\nminipar launch: interrupted\n")
    pids = [int(line.split()[-1]) for line in lines if "ready" not in line]
    assert len(pids) == 2
    assert wait_until_gone(pids) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-n", "2", "nowhere.py"], "there is no script 'nowhere.py'"),
        (["nowhere.py"], "the following arguments are required: -n/--workers"),
        (["-n", "0", "x.py"], "must be a whole number of 1 or more, not '0'"),
        (["-n", "2", "--timeout", "0", "x.py"], "must be a number above 0, not '0'"),
        (["-n", "2", "--backend", "smoke", "x.py"], "invalid choice: 'smoke'"),
    ],
)
def test_wrong_commands(arguments, told, tmp_path):
    done = minipar_launch(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_module_that_is_not_there_is_the_error_of_the_ranks():
    done = minipar_launch("-n", 2, "-m", "minipar_nowhere")
    assert done.returncode == 1
    assert "No module named minipar_nowhere" in done.stderr


def test_run_script_is_a_function_like_others(script):
    path = script("import sys\nfrom minipar import parallel\nassert parallel.init().size == 2\nassert sys.argv[1:]\n")
    assert parallel.launch(run_script, str(path), ["x"], is_module=False) == [None, None]

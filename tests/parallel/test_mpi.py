"""What is particular about ranks that MPI connects; what all backends promise is tested in contract/."""

import ctypes
import functools
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.ranks import mpiexec, processes
from minipar.parallel.ranks.mpi_crew import MPICrew
from minipar.parallel.ranks.mpi_rank import MPIRank
from tests.parallel.mpi_programs import ROOT, needs_mpi

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # ranks need not import pytest

DTYPES = ["?", "b", "H", "i", "q", "e", "f", "d", "g", "F", "G", ">f4", ">i8", ">c16"]
MPI_KNOWS = ["b", "H", "i", "q", "f", "d", "F"]


def launch(fn, *args, workers=3, timeout=20.0):
    return parallel.launch(fn, *args, workers=workers, backend="mpi", timeout=timeout)


def drawn(dtype, length, ranks):
    values = [np.random.default_rng(rank).uniform(-9, 9, length) for rank in range(ranks)]
    return [(value > 0 if dtype == "?" else value).astype(dtype) for value in values]


def in_order(values, ufunc=np.add):
    return np.asarray(functools.reduce(ufunc, values), values[0].dtype)


# -- data --------------------------------------------------------------------------------------------------------------


def check_sums_of_every_dtype_and_length(comm):
    for dtype in DTYPES:
        for length in (
            0,
            1,
            5,
            1023,
            1024,
            4097,
            50_001,
        ):  # below, at and above 16 KB; pieces that are shorter or empty
            values = drawn(dtype, length, comm.size)
            array = values[comm.rank].copy()
            comm.all_reduce(array)
            assert array.tobytes() == in_order(values).tobytes() or array.dtype.char in "gG"
            np.testing.assert_array_equal(array, in_order(values), err_msg=f"{dtype} {length}")
            total = comm.reduce(values[comm.rank].copy(), 1)
            if comm.rank == 1:
                np.testing.assert_array_equal(total, in_order(values), err_msg=f"reduce {dtype} {length}")


def check_mpis_own_reduction(comm):
    for dtype in MPI_KNOWS:
        values = drawn(dtype, 1000, comm.size)
        tolerance = 1e-5 if np.dtype(dtype).kind in "fc" else 0
        array = comm.all_reduce(values[comm.rank].copy(), algorithm="mpi")
        np.testing.assert_allclose(array, in_order(values), rtol=tolerance, atol=20 * tolerance)
    for dtype in ("e", ">f4", "?"):  # MPI has no such thing: the ranks reduce it, in their order
        values = drawn(dtype, 1000, comm.size)
        array = comm.all_reduce(values[comm.rank].copy(), algorithm="mpi")
        np.testing.assert_array_equal(array, in_order(values))
    array = np.array([np.nan if comm.rank == 0 else 1.0, -0.0 if comm.rank else 0.0])
    values = [np.array([np.nan, 0.0]), *[np.array([1.0, -0.0])] * (comm.size - 1)]
    comm.all_reduce(array, "max", algorithm="mpi")
    assert array.tobytes() == in_order(values, np.maximum).tobytes()
    mean = comm.all_reduce(np.full(3, float(comm.rank)), "mean", algorithm="mpi")
    assert mean.tolist() == [1.0, 1.0, 1.0]


def check_large_messages_that_all_send_first(comm):
    ahead, behind = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    for length in (511, 512, 513, 1_000_000):  # 4 KB of data travel with the header
        comm.send(np.arange(length) + comm.rank, ahead)
        np.testing.assert_array_equal(comm.recv(behind), np.arange(length) + behind)
    comm.send(np.zeros((2, 0, 3), ">f4"), comm.rank)
    assert (comm.recv(comm.rank).shape, comm.recv) == ((2, 0, 3), comm.recv)


def check_order_of_messages(comm):
    """Large and small ones of one tag arrive in the order sent, and tags may be larger than those of MPI."""
    ahead, behind = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    lengths = [100_000, 1, 70_000, 0, 3]
    works = [comm.isend(np.full(length, i), ahead, 2**31 - 1) for i, length in enumerate(lengths)]
    comm.send(np.array([7]), ahead, 5)
    assert comm.recv(behind, 5).tolist() == [7]
    for number, length in enumerate(lengths):
        received = comm.recv(behind, 2**31 - 1)
        assert received.shape == (length,)
        assert (received == number).all()
    for work in works:
        work.wait()


def check_a_message_for_another_communicator(comm):
    """A rank that waits in one communicator takes in what is sent to it in another."""
    pair = comm.split(0 if comm.rank < 2 else 1)
    if comm.rank < 2:
        pair.send(np.ones(500_000), 1 - comm.rank)
        pair.barrier()
    comm.barrier()
    if comm.rank < 2:
        assert pair.recv(1 - comm.rank).sum() == 500_000


@needs_mpi
def test_data():
    def all_checks(comm):
        check_sums_of_every_dtype_and_length(comm)
        check_mpis_own_reduction(comm)
        check_large_messages_that_all_send_first(comm)
        check_order_of_messages(comm)
        check_a_message_for_another_communicator(comm)
        return True

    assert launch(all_checks) == [True] * 3


@needs_mpi
def test_groups_that_are_closed_are_freed():
    def split(comm):
        for _ in range(2500):  # MPICH has about 2000 communicators
            comm.split(0).close()
        kept = comm.split(0)
        return kept.all_reduce(np.ones(1)).item()

    assert launch(split, workers=2, timeout=60.0) == [2.0, 2.0]


@needs_mpi
@pytest.mark.slow
def test_more_bytes_than_a_c_int_counts():
    def broadcast(comm):
        array = np.zeros((1 << 31) + 10, np.int8)
        if comm.rank == 0:
            array[-1] = 7
        comm.broadcast(array)
        return int(array[-1])

    assert launch(broadcast, workers=2, timeout=120.0) == [7, 7]


# -- failures ----------------------------------------------------------------------------------------------------------

FAILURES = {  # what rank 1 does, and what is said of it
    "raises": (
        lambda: 1 // 0,
        "rank 1 raised ZeroDivisionError: integer division or modulo by zero, while it was running",
    ),
    "exits": (lambda: sys.exit(5), "rank 1 raised SystemExit: 5, while it was running"),
    "is killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "rank 1 was killed by SIGKILL"),
    "crashes": (lambda: ctypes.string_at(0), r"rank 1 was killed by SIGSEGV, while [\s\S]* in string_at"),
    "leaves": (lambda: os._exit(4), "rank 1 died with exit code 4, while it was running user code after all_reduce #1"),
    "leaves well": (lambda: os._exit(0), "rank 1 died with exit code 0"),
    "returns": (lambda: "early", "waits in vain: rank 1 has finished"),
    "sleeps": (lambda: time.sleep(60), "waited 2 s: .*rank 1 is running user code after all_reduce #1"),
    "is stopped": (lambda: os.kill(os.getpid(), signal.SIGSTOP), "waited 2 s: .*rank 1 is running user code"),
}


EXIT_CODES = {"is killed": -signal.SIGKILL, "crashes": -signal.SIGSEGV, "leaves": 4, "leaves well": 0}


@needs_mpi
@pytest.mark.parametrize("way", FAILURES)
def test_failures_are_told_as_of_other_ranks(way):
    failure, said = FAILURES[way]

    def work(comm):
        comm.all_reduce(np.zeros(2))
        if comm.rank == 1:
            failure()
            if way == "returns":
                return
        comm.all_reduce(np.zeros(2))

    start = time.monotonic()
    with pytest.raises(parallel.WorkerError, match=said) as caught:
        launch(work, timeout=2.0)
    assert time.monotonic() - start < 10
    if way in ("raises", "exits"):
        assert caught.value.rank == 1
        assert "in work" in caught.value.remote_traceback
        assert [state.rank for state in caught.value.ranks] == [0, 2]
    if way in EXIT_CODES:
        assert (caught.value.rank, caught.value.exitcode) == (1, EXIT_CODES[way])
        assert [(state.rank, state.place.partition(":")[0]) for state in caught.value.ranks] == [
            (0, "test_mpi.py"),
            (2, "test_mpi.py"),
        ]  # they had their time to say where they were
    if way == "raises":
        assert isinstance(caught.value.cause, ZeroDivisionError)


def abort():
    from mpi4py import MPI

    MPI.COMM_WORLD.Abort(3)


ENDS_OF_THE_JOB = {  # what rank 1 does, and what is said of it, or of those that mpiexec has ended for it
    "MPI_Abort": (abort, r"rank (1 died with exit code 3|\d was ended by mpiexec, which )"),
    "the end of the watcher": (
        lambda: (os.kill(os.getppid(), signal.SIGKILL), time.sleep(30)),
        r"rank \d was ended by mpiexec, which (says: .*\S|does not say why), while it was",
    ),
}


@needs_mpi
@pytest.mark.parametrize("way", ENDS_OF_THE_JOB)
def test_a_job_that_mpiexec_ends(way):
    failure, said = ENDS_OF_THE_JOB[way]

    def work(comm):
        comm.barrier()
        if comm.rank == 1:
            failure()
        comm.barrier()

    with pytest.raises(parallel.WorkerError, match=said):
        launch(work)


@needs_mpi
def test_a_mismatch_is_told(monkeypatch):
    monkeypatch.delenv("MINIPAR_DEBUG", raising=False)

    def work(comm):
        comm.all_reduce(np.zeros(2 if comm.rank < 2 else 3))

    said = r"ranks 0, 1 called all_reduce #1 float64 \(2,\) sum, but rank 2 called all_reduce #1 float64 \(3,\) sum"
    with pytest.raises(parallel.WorkerError, match=said):
        launch(work)


@needs_mpi
def test_what_a_rank_prints_is_shown_with_its_number(capsys):
    launch(lambda comm: print("hello"), workers=2)
    assert sorted(capsys.readouterr().out.splitlines()) == ["[rank 0] hello", "[rank 1] hello"]


@needs_mpi
def test_calls_are_not_compared_if_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("MINIPAR_DEBUG", "0")
    assert launch(lambda comm: comm._job.debug, workers=2) == [False, False]


@needs_mpi
def test_what_is_written_at_exit_is_shown(capsys):
    def work(comm):
        import atexit

        atexit.register(lambda: print(("y" * 79 + "\n") * 5000 + "END"))

    launch(work, workers=1)
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-1]) == (5001, "[rank 0] END")


@needs_mpi
def test_threads_of_a_rank_are_waited_for(capsys, monkeypatch):
    monkeypatch.setattr(processes, "EXIT_LIMIT", 0.5)

    def work(comm):
        threading.Timer(1.5, lambda: print("written")).start()

    launch(work, workers=1)
    told = capsys.readouterr()
    assert told.out == "[rank 0] written\n"
    assert "rank 0 still runs thread" in told.err


@needs_mpi
def test_a_rank_that_dies_before_its_task(monkeypatch):
    start = MPICrew.start

    def start_and_kill(crew, places):
        start(crew, places)
        crew.ranks[1].send_signal(signal.SIGKILL)
        while not crew.ranks[1].has_ended():
            time.sleep(0.01)

    gone = []
    close = MPIRank.close

    def noted(rank):
        gone.append(rank.has_ended())
        close(rank)

    monkeypatch.setattr(MPICrew, "start", start_and_kill)
    monkeypatch.setattr(MPIRank, "close", noted)
    with pytest.raises(parallel.WorkerError, match=r"rank 1 was killed by SIGKILL .*, while it was starting"):
        launch(lambda comm: None, workers=2)
    assert gone == [True, True]  # before what they have left is swept


@needs_mpi
def test_ranks_that_cannot_start(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(parallel.WorkerError, match="rank 0 did not start, while it was starting"):
        launch(lambda comm: None, workers=2)


# -- the caller --------------------------------------------------------------------------------------------------------

CALLER = """
import os, signal, sys, time
from minipar import parallel

def work(comm):
    comm.barrier()
    print(os.getpid(), flush=True)
    time.sleep(60)

parallel.launch(work, workers=2, backend="mpi")
"""


@needs_mpi
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "SIGKILL"])
def test_ranks_end_with_the_caller(number, wait_until_gone):
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", CALLER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with process.stdout, process.stderr:
        pids = [int(process.stdout.readline().split()[-1]) for _ in range(2)]
        process.send_signal(number)
        process.wait(10)
        assert ("KeyboardInterrupt" in process.stderr.read()) == (number == signal.SIGINT)
    assert wait_until_gone(pids) == []
    deadline = time.monotonic() + 5  # mpiexec has things to clear away
    while running("mpiexec", str(pids[0])) and time.monotonic() < deadline:
        time.sleep(0.05)


def running(*words):
    return [p for p in Path("/proc").glob("[0-9]*/cmdline") if all(word in p.read_text() for word in words)]


def test_without_mpi_it_says_what_to_install(monkeypatch):
    find_spec = mpiexec.importlib.util.find_spec
    monkeypatch.setattr(mpiexec.importlib.util, "find_spec", lambda name: None if name == "mpi4py" else find_spec(name))
    with pytest.raises(ImportError, match=r'needs mpi4py and an MPI library: pip install "minipar\[mpi\]"'):
        launch(print)


def test_without_mpiexec_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(mpiexec.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(mpiexec.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match=r'there is no mpiexec, .*: pip install "minipar\[mpi\]"'):
        launch(print)


# -- what mpiexec leaves ----------------------------------------------------------------------------------------------


def test_only_segments_of_the_job_that_nobody_uses_are_swept(monkeypatch, tmp_path):
    monkeypatch.setattr(mpiexec, "_SHARED_MEMORY", tmp_path)
    (tmp_path / "mpich_shm_old").touch()
    before = mpiexec.segments()
    (tmp_path / "mpich_shm_left").touch()
    (tmp_path / "sm_segment.left").touch()
    (tmp_path / "somebody_else").touch()
    with (tmp_path / "mpich_shm_used").open("w"):
        mpiexec.sweep(before)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"mpich_shm_old", "somebody_else", "mpich_shm_used"}


def test_files_whose_names_are_no_text_are_looked_at(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff")
    with path.open("wb+") as file:
        file.write(b"x" * 4096)
        file.flush()
        with mmap.mmap(file.fileno(), 0):
            mpiexec.in_use()

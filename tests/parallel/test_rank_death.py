"""A rank that dies, or whose caller does: who notices, how soon, and that nothing outlives the job."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from tests.parallel.rank_programs import BACKENDS, ROOT, SOON, failure_of, is_running

cloudpickle.register_pickle_by_value(sys.modules[__name__])


# -- a rank dies -------------------------------------------------------------------------------------------------------


def leave(comm):
    os._exit(3)


def kill(comm):
    os.kill(os.getpid(), signal.SIGKILL)


def crash(comm):
    os.close(2)  # faulthandler would print the stack to the test's output
    ctypes.string_at(0)


@pytest.mark.parametrize(
    ("die", "exitcode", "words"),
    [
        (leave, 3, "died with exit code 3"),
        (kill, -signal.SIGKILL, "was killed by SIGKILL (the system does that when memory runs out)"),
        (crash, -signal.SIGSEGV, "was killed by SIGSEGV"),
    ],
)
def test_death(die, exitcode, words, clock):
    def work(comm):
        comm.barrier()
        if comm.rank == 1:
            clock.note()
            die(comm)
        comm.all_reduce(np.zeros((512, 128), np.float32))

    error = failure_of(work)
    assert clock.seconds_since() < SOON
    assert (error.rank, error.exitcode, error.cause) == (1, exitcode, None)
    assert ("in crash" in error.remote_traceback) == (die is crash)
    assert str(error).startswith(f"rank 1 {words}, while it was running user code after barrier #1")


def test_survivors_of_a_death_stop_waiting(tmp_path):
    def work(comm):
        if comm.rank == 1:
            os._exit(3)
        try:
            comm.barrier()
        except parallel.PeerFailedError as error:
            (tmp_path / "noticed").write_text(str(error))

    assert failure_of(work).rank == 1
    assert re.match(r"rank 1 has failed, while rank 0 was (in barrier #1|about to)", (tmp_path / "noticed").read_text())


def test_death_inside_a_call():
    def work(comm):
        pids = np.zeros(2, np.int64)
        pids[comm.rank] = os.getpid()
        comm.all_reduce(pids)
        if comm.rank == 0:
            comm.all_reduce(np.zeros((512, 128), np.float32))
        time.sleep(0.1)
        os.kill(int(pids[0]), signal.SIGKILL)
        comm.recv(0)

    error = failure_of(work)
    assert (error.rank, error.exitcode) == (0, -signal.SIGKILL)
    assert error.doing == "in all_reduce #2 float32 (512, 128) sum"


def test_death_while_a_forked_child_holds_the_socket_open(clock):
    def work(comm):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        clock.note()
        os._exit(4)

    assert failure_of(work, workers=1).exitcode == 4
    assert clock.seconds_since() < SOON


# -- what a rank has started -------------------------------------------------------------------------------------------


def start_program(notes):
    """A program of a rank's; its id is noted in the folder."""
    program = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (notes / str(program.pid)).touch()


@pytest.mark.parametrize("end", ["is killed by us", "dies", "dies between tasks"])
def test_programs_end_with_their_rank(end, tmp_path, wait_until_gone):
    def work(comm):
        start_program(tmp_path)
        comm.barrier()
        if end == "dies between tasks":
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif comm.rank == 0:
            os._exit(3) if end == "dies" else sys.exit(3)
        else:
            time.sleep(60)

    if end == "dies between tasks":
        with parallel.Pool(2, timeout=36) as pool:
            pool.run(work)
            time.sleep(0.5)
            pool.run(lambda comm: None)
    else:
        failure_of(work)
    programs = [int(note.name) for note in tmp_path.iterdir()]
    assert len(programs) == 2
    assert wait_until_gone(programs) == []


def test_programs_outlive_a_rank_that_leaves_in_good_order(tmp_path):
    """As they outlive any program: it may have started a server on purpose."""
    parallel.launch(lambda comm: start_program(tmp_path), workers=1)
    (note,) = tmp_path.iterdir()
    assert is_running(int(note.name))
    os.kill(int(note.name), signal.SIGKILL)


# -- the caller goes away ----------------------------------------------------------------------------------------------

CALLER = """
import os, time
import numpy as np
from minipar import parallel

def work(comm):
    pids = np.zeros(comm.size, np.int64)
    pids[comm.rank] = os.getpid()
    comm.all_reduce(pids)
    if comm.rank == 0:
        print(*pids, flush=True)
        comm.barrier()
    elif comm.rank == 1:
        time.sleep(60)
    else:
        {last}

parallel.launch(work, workers=3, backend={backend!r})
"""


BUSY = "while True: pass"
SLEEP = "time.sleep(60)"
STOPPED = "os.kill(os.getpid(), 19)"


def start_caller(backend="process", last=BUSY):
    """A process that launches a rank that waits, one that sleeps, and a last one; also the ranks' process ids."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER.format(backend=backend, last=last)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    return caller, [int(pid) for pid in caller.stdout.readline().removeprefix("[rank 0] ").split()]


@pytest.mark.parametrize("last", [STOPPED, "import ctypes; ctypes.CDLL(None).prctl(1, 0); " + SLEEP])
def test_ranks_end_with_a_caller_that_is_killed(last, wait_until_gone):
    """A stopped rank needs the kernel's signal; one that has switched it off needs the socket's end-of-file."""
    caller, pids = start_caller(last=last)
    time.sleep(0.2)
    caller.kill()
    caller.communicate()
    assert len(set(pids)) == 3
    assert wait_until_gone(pids) == []


@BACKENDS
def test_an_interrupt_ends_all_ranks(backend, wait_until_gone):
    """As a terminal does it: the signal goes to the caller and to all workers."""
    caller, pids = start_caller(backend)
    os.killpg(caller.pid, signal.SIGINT)
    started = time.monotonic()
    _, messages = caller.communicate(timeout=20)
    assert time.monotonic() - started < 2 * SOON
    assert messages.count("Traceback") == 1
    assert messages.rstrip().endswith("KeyboardInterrupt")
    assert caller.returncode == -signal.SIGINT
    assert wait_until_gone([pid for pid in pids if pid != caller.pid]) == []


def test_an_interrupt_sent_to_a_rank_is_an_exception_there():
    def work(comm):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    assert isinstance(failure_of(work, workers=1).cause, KeyboardInterrupt)

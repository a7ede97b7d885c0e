"""Every way to fail ends in one error that says which rank failed, doing what; soon, and with nothing left behind."""

import ctypes
import errno
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.parallel import WorkerError
from minipar.parallel.comm import fence, shared_memory
from minipar.parallel.ranks import errors, processes

cloudpickle.register_pickle_by_value(sys.modules[__name__])
ROOT = Path(__file__).parents[2]
BACKENDS = pytest.mark.parametrize("backend", ["thread", "process"])
SOON = 1.0  # second from the failure to the caller's error


def failure_of(fn, *arguments, workers=2, **options):
    """The error that launching `fn` ends in."""
    with pytest.raises(WorkerError) as caught:
        parallel.launch(fn, *arguments, workers=workers, **options)
    return caught.value


class Clock:
    """Lets a rank note when it failed, even if it dies of it."""

    def __init__(self, folder):
        self.path = folder / "when"

    def note(self):
        self.path.write_text(str(time.monotonic()))

    def seconds_since(self):
        return time.monotonic() - float(self.path.read_text())


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


# -- a rank raises -----------------------------------------------------------------------------------------------------


@BACKENDS
def test_an_exception_while_others_wait(backend, clock):
    def work(comm):
        comm.all_reduce(np.zeros((2, 3), np.float32))
        if comm.rank == 1:
            clock.note()
            raise KeyError("what went wrong")
        comm.all_reduce(np.zeros((2, 3), np.float32))

    error = failure_of(work, backend=backend, workers=3)
    assert clock.seconds_since() < SOON
    assert (error.rank, error.exitcode, type(error.cause)) == (1, None, KeyError)
    assert error.__cause__ is error.cause
    assert "rank 1 raised KeyError: 'what went wrong', while it was running user code after all_reduce #1" in str(error)
    assert 'raise KeyError("what went wrong")' in error.remote_traceback
    assert "in run_rank" not in error.remote_traceback
    assert "in _run" not in error.remote_traceback
    assert error.remote_traceback in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.rank, copy.ranks, repr(copy.cause)) == (str(error), 1, error.ranks, repr(error.cause))
    assert [state.rank for state in copy.ranks] == [0, 2]


def test_a_survivor_busy_with_its_own_work_is_ended(clock):
    def work(comm):
        if comm.rank == 0:
            clock.note()
            raise ValueError("early")
        time.sleep(60)

    assert failure_of(work).rank == 0
    assert clock.seconds_since() < SOON + processes.GRACE


@BACKENDS
def test_survivors_may_clean_up(backend, tmp_path):
    def work(comm):
        if comm.rank == 1:
            raise ValueError("boom")
        try:
            comm.barrier()
        except parallel.PeerFailedError as error:
            (tmp_path / "cleaned").write_text(str(error))
            raise RuntimeError("a consequence") from error

    assert failure_of(work, backend=backend).rank == 1
    assert re.match(r"rank 1 has failed, while rank 0 was (in barrier #1|about to)", (tmp_path / "cleaned").read_text())


def test_the_earliest_cause_is_reported():
    def failure(rank, when, is_consequence=False):
        return errors.Failure(rank, "failed", "waiting", when=when, is_consequence=is_consequence)

    assert errors.first([failure(0, 3.0), failure(1, 1.0, True), failure(2, 2.0)]).rank == 2


@BACKENDS
def test_the_error_of_a_call_names_the_call(backend):
    def work(comm):
        if comm.rank == 0:
            raise ValueError("boom")
        comm.recv(0, tag=7)

    assert "while it was running user code\n" in str(failure_of(work, backend=backend))


@BACKENDS
def test_an_exception_that_is_its_own_cause(backend):
    def work(comm):
        if comm.rank == 1:
            error = ValueError("round and round")
            raise error from error
        comm.barrier()

    error = failure_of(work, backend=backend, timeout=5)
    assert (error.rank, str(error.cause)) == (1, "round and round")


def test_a_circle_of_causes_is_followed_once():
    first, second = ValueError(), KeyError()
    first.__cause__, second.__context__ = second, first
    assert list(islice(errors._chain(first), 9)) == [first, second]


def test_an_exception_that_cannot_be_described(monkeypatch):
    def refuse(*arguments):
        raise MemoryError

    def work(comm):
        if comm.rank == 1:
            raise ValueError("boom")
        comm.barrier()

    monkeypatch.setattr(errors.traceback, "TracebackException", refuse)
    error = failure_of(work, backend="thread", timeout=5)
    assert str(error).startswith("rank 1 raised ValueError, which cannot be described (MemoryError), while it was")
    assert str(error.cause) == "boom"


def test_others_stop_waiting_even_if_a_failure_cannot_be_noted(monkeypatch):
    of_exception = errors.Failure.of_exception

    def refuse_first(rank, doing, error):
        if rank == 1:
            raise MemoryError
        return of_exception(rank, doing, error)

    def work(comm):
        if comm.rank == 1:
            raise ValueError("boom")
        comm.barrier()

    monkeypatch.setattr(errors.Failure, "of_exception", refuse_first)
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    assert "PeerFailedError: rank 1 has failed" in str(failure_of(work, backend="thread", timeout=5))


def test_an_exception_that_cannot_be_rebuilt():
    class Awkward(Exception):
        def __init__(self, first, second):
            super().__init__(f"{first} and {second}")

    def work(comm):
        raise Awkward("this", "that")

    error = failure_of(work, workers=1)
    assert error.cause is None
    assert "Awkward: this and that" in str(error)


def test_an_exception_that_cannot_be_pickled():
    def work(comm):
        raise ValueError(threading.Lock())

    error = failure_of(work, workers=1)
    assert error.cause is None
    assert "rank 0 raised ValueError: <unlocked" in str(error)


@BACKENDS
def test_leaving_by_sys_exit_is_a_failure(backend):
    error = failure_of(lambda comm: sys.exit(3), workers=1, backend=backend)
    assert "rank 0 raised SystemExit: 3" in str(error)


def test_a_result_that_cannot_be_sent_back():
    error = failure_of(lambda comm: (n for n in range(3)), workers=1)
    assert "rank 0 raised TypeError" in str(error)
    assert "while it was returning its result, of type generator" in str(error)


def test_a_result_that_cannot_be_loaded():
    class Hollow:
        def __reduce__(self):
            return int, ("no number",)

    error = failure_of(lambda comm: Hollow(), workers=1)
    assert "rank 0 raised ValueError" in str(error)
    assert "returning a result that cannot be loaded here" in str(error)


def test_a_function_that_cannot_be_loaded():
    class Hollow:
        def __reduce__(self):
            return int, ("no number",)

    error = failure_of(lambda comm, argument: None, Hollow(), workers=2)
    assert "ValueError: invalid literal" in str(error)
    assert error.doing == "starting"


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


# -- ranks out of step -------------------------------------------------------------------------------------------------

MISMATCHES = {
    "kind": (lambda comm, a: comm.barrier(), lambda comm, a: comm.all_reduce(a), "all_reduce #2 float64 (4,) sum"),
    "shape": (lambda comm, a: comm.broadcast(a), lambda comm, a: comm.broadcast(a[:3]), "#2 float64 (3,) root=0"),
    "dtype": (lambda comm, a: comm.all_reduce(a), lambda comm, a: comm.all_reduce(a.astype("f")), "float32 (4,) sum"),
    "op": (lambda comm, a: comm.all_reduce(a), lambda comm, a: comm.all_reduce(a, "max"), "float64 (4,) max"),
    "root": (lambda comm, a: comm.broadcast(a), lambda comm, a: comm.broadcast(a, 1), "float64 (4,) root=1"),
    "more dimensions than the board has room for": (
        lambda comm, a: comm.all_reduce(a.reshape((1,) * 63 + (4,))),
        lambda comm, a: comm.all_reduce(a.reshape((1,) * 62 + (4, 1))),
        "1, 1,",
    ),
}  # fmt: skip


@BACKENDS
def test_different_calls_are_an_error_that_names_both(backend):
    for number, (usual, odd, words) in enumerate(MISMATCHES.values()):
        if backend == "process" and number % 3:  # the comparison is the same code
            continue

        def work(comm, usual=usual, odd=odd):
            comm.barrier()
            (odd if comm.rank == 2 else usual)(comm, np.zeros(4))

        error = failure_of(work, workers=3, backend=backend, timeout=10)
        assert isinstance(error.cause, parallel.MismatchError)
        assert "rank 0 called " in str(error.cause)
        assert ", but rank 2 called " in str(error.cause)
        assert words in str(error.cause)


@BACKENDS
def test_a_call_that_another_rank_never_makes(backend):
    def work(comm, call):
        comm.barrier()
        if comm.rank == 0:
            call(comm)

    error = failure_of(work, lambda comm: comm.barrier(), backend=backend, timeout=10)
    words = "rank 0 is in barrier #2, waiting for rank 1, whose function has returned (after 1 collective calls)"
    assert words in str(error.cause)
    if backend == "thread":
        error = failure_of(work, lambda comm: comm.recv(1, tag=2), backend=backend, timeout=10)
        assert "rank 0 is in recv from rank 1, tag 2, waiting for rank 1, whose function has returned" in str(error)


@BACKENDS
def test_a_rank_that_does_not_come_in_time(backend):
    def work(comm):
        comm.all_reduce(np.zeros(3))
        if comm.rank == 1:
            time.sleep(3)
        comm.barrier()

    error = failure_of(work, workers=3, backend=backend, timeout=1)
    assert isinstance(error.cause, parallel.CommunicatorTimeout)
    assert isinstance(error.cause, TimeoutError)
    assert "in barrier #2, waited 1 s: rank 1 is running user code after all_reduce #1 float64 (3,) sum" in str(error)


def test_a_stopped_rank_is_named_and_ended():
    def work(comm):
        if comm.rank == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        comm.barrier()

    assert "waited 0.3 s: rank 1 is running user code" in str(failure_of(work, timeout=0.3))


@BACKENDS
def test_after_a_failure_a_communicator_is_of_no_use(backend):
    def work(comm):
        try:
            comm.all_reduce(np.zeros(comm.rank + 1))
        except parallel.CommunicatorError:
            comm.barrier()

    with_cause = failure_of(work, backend=backend)
    assert isinstance(with_cause.cause, parallel.CommunicatorError)
    assert "all ranks must make the same collective calls" in with_cause.remote_traceback


def test_a_rank_that_does_not_return_after_another_has():
    def work(comm, closes):
        comm.barrier()
        if closes:
            comm.close()
        while comm.rank == 1:
            time.sleep(0.01)

    started = time.monotonic()
    error = failure_of(work, False, workers=3, timeout=0.5)
    assert time.monotonic() - started < 5
    assert (error.rank, error.exitcode) == (1, None)
    words = r"rank 1 neither returned nor made a communicator call for 0\.5 s: it was still running user code "
    assert re.match(words + r"0\.[5-9] s after rank [02] returned, while it was running user code after", str(error))
    assert re.match(words, str(failure_of(work, True, timeout=0.5)))


def test_ranks_that_get_on_may_outlast_another():
    def work(comm, pause):
        for number in range(4 if comm.rank else 0):
            time.sleep(pause)
            comm.send(np.array(number), 3 - comm.rank)
            comm.recv(3 - comm.rank)
        return comm.rank

    assert parallel.launch(work, 0.3, workers=3, timeout=0.7) == [0, 1, 2]


def test_nobody_waits_for_a_single_rank():
    assert parallel.launch(lambda comm: time.sleep(0.4), workers=1, timeout=0.1) == [None]


@BACKENDS
def test_a_call_of_another_thread_than_the_ranks(backend):
    def work(comm):
        messages = []

        def call(function, *arguments):
            try:
                function(*arguments)
            except parallel.CommunicatorError as error:
                messages.append(str(error))

        for arguments in ((comm.all_reduce, np.ones(3)), (comm.send, np.ones(3), 0)):
            helper = threading.Thread(target=call, args=arguments, name="helper")
            helper.start()
            helper.join()
        total = comm.all_reduce(np.ones(1))
        return messages, threading.current_thread().name, float(total[0])

    for rank, (messages, name, total) in enumerate(parallel.launch(work, backend=backend, timeout=5)):
        expected = f": the communicator of rank {rank} belongs to thread {name!r}, and thread 'helper' called it"
        assert [message.split(": make")[0] for message in messages] == ["all_reduce" + expected, "send" + expected]
        assert total == 2.0


class SlowToLoad:
    """Loading it takes the last rank of a launch some seconds."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __reduce__(self):
        return eval, (f"__import__('time').sleep({self.seconds}) if {IS_LAST_RANK} else None",)


IS_LAST_RANK = "int(__import__('sys').argv[1]) + 1 == int(__import__('sys').argv[2])"


def test_the_start_of_a_slow_rank_does_not_count():
    assert parallel.launch(lambda comm, argument: comm.barrier(), SlowToLoad(1.5), timeout=0.6) == [None, None]


def test_a_rank_that_never_gets_ready(monkeypatch):
    monkeypatch.setattr(processes, "START_LIMIT", 0.5)
    error = failure_of(lambda comm, argument: comm.barrier(), SlowToLoad(60), workers=1)
    assert str(error).startswith("rank 0 was not ready after 0.5 s, while it was starting")


def test_a_thread_left_running_delays_the_end_only_so_long(monkeypatch):
    monkeypatch.setattr(processes, "EXIT_LIMIT", 0.2)

    def work(comm):
        threading.Thread(target=time.sleep, args=(60,)).start()
        return comm.rank

    started = time.monotonic()
    assert parallel.launch(work) == [0, 1]
    assert time.monotonic() - started < 10


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


# -- the ground under it -----------------------------------------------------------------------------------------------


def test_more_shared_memory_than_there_is(monkeypatch):
    """The limit is lowered: reserving more than the machine has would have the kernel kill something."""
    monkeypatch.setattr(shared_memory, "available_memory", lambda: 1 << 20)
    with pytest.raises(OSError, match=r"cannot reserve 2.0 MiB of shared memory: only 1.0 MiB are available"):
        shared_memory.create_block(2 << 20)
    os.close(shared_memory.create_block(1 << 20))


def test_shared_memory_that_the_system_refuses(monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match=r"cannot reserve 1.0 MiB of shared memory: No space left on device"):
        shared_memory.create_block(1 << 20)


def test_available_memory():
    assert 1 << 20 < shared_memory.available_memory() < 1 << 50


def test_a_page_cache_that_fills_the_container_is_available_memory(tmp_path, monkeypatch):
    files = {
        "meminfo": "MemTotal:  9000 kB\nMemAvailable:  5000 kB\nHugePages_Total:  0\n",
        "memory.max": f"{4000 << 10}\n",
        "memory.current": f"{3900 << 10}\n",
        "memory.stat": f"anon {900 << 10}\ninactive_file {1000 << 10}\nactive_file {2000 << 10}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(shared_memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(shared_memory, "_CGROUP", tmp_path)
    assert shared_memory.available_memory() == (100 + 3000) << 10
    (tmp_path / "memory.max").write_text("max\n")
    assert shared_memory.available_memory() == 5000 << 10
    (tmp_path / "memory.max").unlink()
    assert shared_memory.available_memory() == 5000 << 10
    (tmp_path / "meminfo").write_text("")
    assert shared_memory.available_memory() is None


def test_shared_memory_without_memfd(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    assert parallel.launch(lambda comm: int(comm.all_reduce(np.array([comm.rank]))[0]), workers=2) == [1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="membarrier is a system call of Linux")
def test_processors_that_need_a_fence():
    def work(comm):
        fence.keeps_store_order = lambda: False
        fenced = type(comm)(comm._slots._memory, comm.rank, comm.size, comm.timeout)
        fenced.send(np.arange(3), 1 - comm.rank)
        total = fenced.all_reduce(np.array([comm.rank + 1]))
        return int(total[0]), fenced.recv(1 - comm.rank).tolist(), fenced._fence.__name__

    assert parallel.launch(work, workers=2) == [(3, [0, 1, 2], "fence")] * 2

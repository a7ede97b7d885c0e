"""Every fault on every backend that can have it: the caller has one error, soon, which tells of all ranks.

A process pool takes the faults one after the other, and must be as good as new after each.
"""

import ctypes
import os
import random
import re
import signal
import sys
import threading
import time
from itertools import repeat
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.kernels.cpu import waiting
from minipar.parallel import WorkerError
from minipar.parallel.ranks.launch import GRACE

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SOON = 1.0  # second from a death or an exception to the caller's error
PATIENCE = 0.6  # seconds: the timeout where a hang is to be found
BACKENDS = pytest.mark.parametrize("backend", ["thread", "process"])


# -- what a rank does --------------------------------------------------------------------------------------------------


class Unpicklable(Exception):
    def __init__(self):
        super().__init__(threading.Lock())


class Refuses(Exception):
    def __reduce__(self):
        raise RuntimeError("no")


class Unloadable(Exception):
    def __reduce__(self):
        return int, ("no number",)


class Another(Exception):
    def __reduce__(self):
        return str, ("no exception",)


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no")


def throw(make):
    def fault(comm):
        raise make()

    return fault


def exit_of(*arguments):
    return lambda comm: sys.exit(*arguments)


EXCEPTIONS = {
    "ValueError": (throw(lambda: ValueError("boom")), "raised ValueError: boom"),
    "unpicklable": (throw(Unpicklable), r"raised .*Unpicklable: <unlocked"),
    "refuses to be pickled": (throw(Refuses), "raised .*Refuses"),
    "cannot be loaded": (throw(Unloadable), "raised .*Unloadable"),
    "becomes something else": (throw(Another), "raised .*Another"),
    "cannot be printed": (throw(Speechless), r"raised .*Speechless: <exception str\(\) failed>"),
    "sys.exit": (exit_of(), "raised SystemExit"),
    "sys.exit of a text": (exit_of("no data"), "raised SystemExit: no data"),
    "KeyboardInterrupt": (throw(KeyboardInterrupt), "raised KeyboardInterrupt"),
    "GeneratorExit": (throw(GeneratorExit), "raised GeneratorExit"),
    "StopIteration": (throw(lambda: StopIteration(3)), "raised StopIteration: 3"),
    "a group": (throw(lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")])), "raised ExceptionGroup: two"),
    "a huge message": (throw(lambda: ValueError("x" * 30_000_000)), "raised ValueError: xxxx"),
    "recursion": (lambda comm: (again := lambda: again())(), "raised RecursionError"),
    "a result that cannot be sent": ("result", "raised TypeError"),
}


def crash(comm):
    ctypes.string_at(0)


def die_while_sending(comm):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()
    comm.send(np.zeros(4 << 20), 0)
    time.sleep(60)


DEATHS = {
    "SIGKILL": (lambda comm: os.kill(os.getpid(), signal.SIGKILL), r"was killed by SIGKILL \(the system does"),
    "SIGTERM": (lambda comm: os.kill(os.getpid(), signal.SIGTERM), "was killed by SIGTERM"),
    "a real-time signal": (lambda comm: os.kill(os.getpid(), signal.SIGRTMIN + 3), "was killed by signal 37"),
    "abort": (lambda comm: os.abort(), "was killed by SIGABRT"),
    "segmentation fault": (crash, "was killed by SIGSEGV"),
    "os._exit(3)": (lambda comm: os._exit(3), "died with exit code 3"),
    "os._exit(0)": (lambda comm: os._exit(0), "died with exit code 0"),
    "while sending": (die_while_sending, "was killed by SIGKILL"),
}


def loop(comm):
    while True:
        pass


def hold_the_lock(comm):
    sum(repeat(1))


def sleep_in_c(comm):
    sleep = ctypes.PyDLL(None).usleep  # a PyDLL keeps the interpreter lock
    while True:
        sleep(900_000)


def wait_for_nobody(comm):
    threading.Event().wait(timeout=8)


def stop(comm):
    os.kill(os.getpid(), signal.SIGSTOP)


HANGS = {
    "a loop": (loop, "in loop"),
    "C code that keeps the lock": (hold_the_lock, "in hold_the_lock"),
    "a sleep in C that keeps the lock": (sleep_in_c, "in sleep_in_c"),
    "an event that never comes": (wait_for_nobody, "in wait_for_nobody"),
    "stopped": (stop, ""),
}


def work(comm, fault, victim=1):
    """Two calls that all make; what follows they cannot."""
    comm.all_reduce(np.ones(3))
    if comm.rank == victim:
        if fault == "result":
            return (number for number in range(3))
        time.sleep(0.05)  # the others are in the next call by then
        fault(comm)
    if fault != "result":
        comm.all_reduce(np.ones((512, 128), np.float32))
        comm.barrier()
    return None


def total(comm):
    return float(comm.all_reduce(np.array([comm.rank + 1.0]))[0])


def failing(run, limit, *arguments):
    """The error, which comes within `limit` seconds: of three attempts the best, for other programs run here too."""
    best = float("inf")
    for _ in range(3):
        started = time.monotonic()
        with pytest.raises(WorkerError) as caught:
            run(work, *arguments)
        best = min(best, time.monotonic() - started)
        if best < limit:
            return caught.value
    raise AssertionError(f"the error came after {best:.2f} s, {limit:.2f} s are allowed")


def threads(workers, timeout):
    return lambda fn, *arguments: parallel.launch(fn, *arguments, workers=workers, timeout=timeout, backend="thread")


# -- exceptions and deaths ---------------------------------------------------------------------------------------------


WAITING = "in all_reduce #2 float32 (512, 128) sum, at test_faults.py:"


def check_told(error, told, others=WAITING):
    assert error.rank == 1
    assert re.match(f"rank 1 {told}", str(error)), str(error)[:500]
    assert [state.rank for state in error.ranks] == [0, 2]
    assert len(str(error)) < 100_000
    if others:
        assert f"The other ranks:\n  ranks 0, 2: {others}" in str(error)


@pytest.mark.parametrize("kind", sorted(EXCEPTIONS.keys() - {"a result that cannot be sent"}))
def test_an_exception_in_a_thread(kind):
    fault, told = EXCEPTIONS[kind]
    check_told(failing(threads(3, 30), SOON, fault), told)


def test_exceptions_in_a_pool():
    with parallel.Pool(3, timeout=30) as pool:
        pids = pool.run(lambda comm: os.getpid())
        for kind, (fault, told) in EXCEPTIONS.items():
            error = failing(pool.run, SOON, fault)
            check_told(error, told, others="" if fault == "result" else WAITING)
            if kind in ("ValueError", "sys.exit", "KeyboardInterrupt", "StopIteration"):
                assert error.cause is not None
            assert pool.run(total) == [6.0] * 3
        assert pool.run(lambda comm: os.getpid()) == pids  # nobody had to be ended


def test_deaths_in_a_pool(wait_until_gone):
    with parallel.Pool(3, timeout=30) as pool:
        for kind, (fault, told) in DEATHS.items():
            pids = pool.run(lambda comm: os.getpid())
            limit = SOON + 0.2 if kind == "while sending" else SOON
            error = failing(pool.run, limit, fault)
            check_told(error, told, others="" if kind == "while sending" else WAITING)
            assert ("in crash" in error.remote_traceback) == (fault is crash)
            after = pool.run(lambda comm: os.getpid())
            assert (after[0], after[2]) == (pids[0], pids[2])  # who has answered stays
            assert wait_until_gone([pids[1]]) == []
            assert pool.run(total) == [6.0] * 3


class EndsItsLoader:
    """Loading it ends rank 1's process."""

    def __reduce__(self):
        return eval, ("__import__('sys').argv[1] == '1' and __import__('os').kill(__import__('os').getpid(), 9)",)


def test_a_death_while_starting():
    with parallel.Pool(3, timeout=30) as pool:
        started = time.monotonic()
        with pytest.raises(WorkerError, match="rank 1 was killed by SIGKILL") as caught:
            pool.run(lambda comm, argument: comm.barrier(), EndsItsLoader())
        assert time.monotonic() - started < 10
        assert [state.rank for state in caught.value.ranks] == [0, 2]
        assert pool.run(total) == [6.0] * 3


# -- hangs -------------------------------------------------------------------------------------------------------------


def check_hang(error, place, stopped=False, named=True):
    """`named`: the rank that waited knows for whom (on MPI it may be one that waits itself)."""
    assert isinstance(error.cause, parallel.CommunicatorTimeout)
    assert error.rank in (0, 2)
    waited = "waited 0.6 s: rank 1 is running user code after all_reduce #1 float64 (3,) sum"
    assert (waited if named else "waited 0.6 s: rank ") in str(error)
    state = next(state for state in error.ranks if state.rank == 1)
    if stopped:
        assert state.doing == "running user code after all_reduce #1 float64 (3,) sum, stopped by a signal"
        return
    assert state.place.endswith(place)
    assert "\n\nStack of rank 1, stuck (most recent call last):\n" in str(error)
    assert f", {place}\n" in state.stack
    assert f"{Path(__file__).name}" in state.stack
    assert "minipar/parallel" not in state.stack


def test_a_thread_that_hangs():
    limit = PATIENCE + GRACE + SOON
    check_hang(failing(threads(3, PATIENCE), limit, wait_for_nobody), "in wait_for_nobody")


def test_hangs_in_a_pool(wait_until_gone):
    with parallel.Pool(3, timeout=PATIENCE) as pool:
        for fault, place in HANGS.values():
            pids = pool.run(lambda comm: os.getpid())
            error = failing(pool.run, PATIENCE + GRACE + SOON, fault)
            check_hang(error, place, stopped=fault is stop)
            assert wait_until_gone([pids[1]]) == []
            assert pool.run(total) == [6.0] * 3


@BACKENDS
def test_a_rank_that_works_on_after_the_others_have_returned(backend):
    def linger(comm):
        comm.barrier()
        if comm.rank == 1:
            time.sleep(5)

    with pytest.raises(WorkerError, match=r"rank 1 neither returned nor made a communicator call for 0.6 s") as caught:
        parallel.launch(linger, workers=3, timeout=PATIENCE, backend=backend)
    assert "Stack of rank 1:\n" in str(caught.value)
    assert "in linger\n    time.sleep(5)" in caught.value.remote_traceback
    assert "  ranks 0, 2: finished after barrier #1" in str(caught.value)


@BACKENDS
def test_the_stuck_among_many_are_told_together(backend):
    def busy(comm):
        comm.barrier()
        if comm.rank % 2:
            time.sleep(4)
        comm.barrier()

    with pytest.raises(WorkerError) as caught:
        parallel.launch(busy, workers=8, timeout=PATIENCE, backend=backend)
    told = str(caught.value)
    assert "waited 0.6 s: ranks 1, 3, 5, 7 are running user code after barrier #1" in told
    assert told.count("time.sleep(4)") == 1
    assert "Stack of ranks 1, 3, 5, 7, stuck (most recent call last):\n" in told
    assert len(told.splitlines()) < 20
    assert [state.rank for state in caught.value.ranks] == [rank for rank in range(8) if rank != caught.value.rank]


@pytest.mark.parametrize("kind", ["ValueError", "unpicklable", "sys.exit", "a huge message"])
def test_an_exception_on_mpi(kind):
    pytest.importorskip("mpi4py", reason='needs MPI: pip install "minipar[mpi]"')
    fault, told = EXCEPTIONS[kind]
    with pytest.raises(WorkerError) as caught:
        parallel.launch(work, fault, workers=3, timeout=30, backend="mpi")
    check_told(caught.value, told)


@pytest.mark.parametrize("kind", ["C code that keeps the lock", "stopped"])
def test_a_hang_on_mpi(kind):
    pytest.importorskip("mpi4py", reason='needs MPI: pip install "minipar[mpi]"')
    fault, place = HANGS[kind]
    with pytest.raises(WorkerError) as caught:
        parallel.launch(work, fault, workers=3, timeout=PATIENCE, backend="mpi")
    check_hang(caught.value, place, stopped=fault is stop, named=False)


# -- a kernel that is being compiled -----------------------------------------------------------------------------------


def compile_for(seconds):
    with waiting.watched.around():
        time.sleep(seconds)


@BACKENDS
def test_compiling_is_no_hang_for_whoever_waits_behind(backend):
    def chain(comm):
        if comm.rank == 3:
            compile_for(3 * PATIENCE)
        else:
            comm.recv(comm.rank + 1)
        if comm.rank:
            comm.send(np.ones(1), comm.rank - 1)
        return comm.rank

    assert parallel.launch(chain, workers=4, timeout=PATIENCE, backend=backend) == [0, 1, 2, 3]


@BACKENDS
def test_compiling_is_no_hang_for_those_who_have_returned(backend):
    def last(comm):
        if comm.rank == 1:
            compile_for(3 * PATIENCE)

    assert parallel.launch(last, workers=2, timeout=PATIENCE, backend=backend) == [None, None]


def test_a_death_while_another_compiles():
    def compile_or_die(comm):
        comm.barrier()
        if comm.rank == 0:
            compile_for(60)
        time.sleep(0.05)
        if comm.rank == 1:
            os._exit(3)
        comm.barrier()

    with parallel.Pool(3, timeout=30) as pool:
        pool.run(total)
        started = time.monotonic()
        with pytest.raises(WorkerError, match="rank 1 died with exit code 3") as caught:
            pool.run(compile_or_die)
        assert time.monotonic() - started < 2 * SOON
        assert "rank 0: compiling a kernel, at test_faults.py:" in str(caught.value)


# -- calls that are under way, and groups ------------------------------------------------------------------------------


@BACKENDS
def test_asynchronous_calls_under_way_end_with_the_failure(backend):
    def begin(comm, kind):
        calls = {
            "collective": lambda: comm.all_reduce(np.ones(5), async_op=True),
            "recv": lambda: comm.irecv(1, tag=3),
            "send": lambda: comm.isend(np.ones(1 << 20), 1),
        }
        comm.barrier()
        if comm.rank == 1:
            time.sleep(0.05)
            raise ValueError("boom")
        work = calls[kind]()
        if kind == "send":  # on a thread it is done at once
            comm.barrier()
        try:
            work.wait()
        finally:
            del work

    for kind in ("collective", "recv", "send"):
        with pytest.raises(WorkerError, match="rank 1 raised ValueError: boom") as caught:
            parallel.launch(begin, kind, workers=3, timeout=30, backend=backend)
        place = caught.value.ranks[0].place
        assert place.endswith(("in begin", "in <lambda>")), place  # in the wait, or already where the call begins


@BACKENDS
def test_an_asynchronous_call_that_a_rank_never_makes(backend):
    def begin(comm):
        comm.barrier()
        if comm.rank == 1:
            time.sleep(3)
        comm.all_reduce(np.ones(5), async_op=True).wait()

    with pytest.raises(WorkerError) as caught:
        parallel.launch(begin, workers=3, timeout=PATIENCE, backend=backend)
    assert isinstance(caught.value.cause, parallel.CommunicatorTimeout)
    assert "waited 0.6 s: rank 1 is running user code after barrier #1" in str(caught.value)
    assert "time.sleep(3)" in str(caught.value)


@BACKENDS
def test_a_failure_in_another_group(backend):
    def two_groups(comm):
        group = comm.split(comm.rank % 2)
        for _ in range(100_000):
            group.barrier()
            if comm.rank == 3:
                raise ValueError("boom")
            time.sleep(0.001)

    with pytest.raises(WorkerError, match="rank 3 raised ValueError: boom") as caught:
        parallel.launch(two_groups, workers=4, timeout=30, backend=backend)
    assert [state.rank for state in caught.value.ranks] == [0, 1, 2]
    assert all("in two_groups" in state.place for state in caught.value.ranks)


def test_a_death_in_another_group():
    def two_groups(comm):
        group = comm.split(comm.rank % 2)
        for number in range(100_000):
            group.all_reduce(np.ones(4))
            if comm.rank == 3 and number == 5:
                os._exit(3)

    with parallel.Pool(4, timeout=30) as pool:
        pool.run(total)
        started = time.monotonic()
        with pytest.raises(WorkerError, match="rank 3 died with exit code 3"):
            pool.run(two_groups)
        assert time.monotonic() - started < 2 * SOON
        assert pool.run(total) == [10.0] * 4


@BACKENDS
def test_groups_that_differ_are_told_by_their_ranks_in_the_world(backend):
    def differ(comm):
        group = comm.split(comm.rank // 2)
        group.all_reduce(np.ones(3 + (comm.rank == 3)))

    with pytest.raises(WorkerError) as caught:
        parallel.launch(differ, workers=4, timeout=30, backend=backend)
    assert isinstance(caught.value.cause, parallel.MismatchError)
    assert re.search(r"rank 2 called all_reduce .*\(3,\).* rank 3 called all_reduce .*\(4,\)", str(caught.value))
    assert "while it was" not in str(caught.value).partition("\n")[0], "the error has said it"


@BACKENDS
def test_a_closed_group_and_a_closed_communicator(backend):
    def close(comm):
        told = []
        group = comm.split(0)
        for closed in (group, comm):
            closed.close()
            for call in (closed.barrier, lambda c=closed: c.send(np.ones(1), 0), lambda c=closed: c.split(0)):
                with pytest.raises(parallel.CommunicatorError, match="is closed") as caught:
                    call()
                told.append(str(caught.value))
            if closed is group:
                comm.barrier()  # the other is as good as before
        return len(told)

    assert parallel.launch(close, workers=2, timeout=10, backend=backend) == [6, 6]


# -- many --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_hundred_random_faults(wait_until_gone):
    """After each the pool works, and at the end nothing is left: no process, no descriptor, no shared memory."""
    draw = random.Random(5)
    faults = [fault for kinds in (EXCEPTIONS, DEATHS, HANGS) for fault, _ in kinds.values()]
    pids = set()
    with parallel.Pool(4, timeout=PATIENCE) as pool:
        pool.run(total)
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(100):
            fault, victim = draw.choice(faults), draw.randrange(4)
            if fault is die_while_sending and victim == 0:
                victim = 1
            with pytest.raises(WorkerError):
                pool.run(work, fault, victim)
            pids.update(pool.run(lambda comm: os.getpid()))
            assert pool.run(total) == [10.0] * 4, number
            assert len(list(Path("/proc/self/fd").iterdir())) == descriptors, number
    assert wait_until_gone(sorted(pids)) == []

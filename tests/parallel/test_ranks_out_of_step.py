"""Ranks that call different things, or come late, or not at all: an error that tells of both, and no hang."""

import os
import re
import signal
import sys
import threading
import time

import cloudpickle
import numpy as np

from minipar import parallel
from minipar.parallel.ranks import processes
from tests.parallel.rank_programs import BACKENDS, failure_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])

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
        assert "ranks 0, 1 called " in str(error.cause)
        assert ", but rank 2 called " in str(error.cause)
        assert words in str(error.cause)


@BACKENDS
def test_a_call_that_another_rank_never_makes(backend):
    def work(comm, call):
        comm.barrier()
        if comm.rank == 0:
            call(comm)

    error = failure_of(work, lambda comm: comm.barrier(), backend=backend, timeout=10)
    words = "rank 0, in barrier #2, waits in vain: rank 1 has finished after barrier #1"
    assert words in str(error.cause)
    if backend == "thread":
        error = failure_of(work, lambda comm: comm.recv(1, tag=2), backend=backend, timeout=10)
        assert "rank 0, in recv from rank 1, tag 2, waits in vain: rank 1 has finished" in str(error)


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
    assert ", but rank 1 called all_reduce #1 float64 (2,) sum" in with_cause.remote_traceback


def test_a_rank_that_does_not_return_after_another_has():
    def work(comm, closes):
        comm.barrier()
        if closes:
            comm.close()
        while comm.rank == 1:
            time.sleep(0.01)

    started = time.monotonic()
    error = failure_of(work, False, workers=3, timeout=0.5)
    assert time.monotonic() - started < 20
    assert (error.rank, error.exitcode) == (1, None)
    words = r"rank 1 neither returned nor made a communicator call for 0\.5 s; "
    told = words + r"rank [02] had returned 0\.[5-9] s before, while it was running user code after"
    assert re.match(told, str(error))
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

"""A rank that raises: one error that says which rank failed, doing what; soon, and with nothing left behind."""

import pickle
import re
import sys
import threading
import time
from itertools import islice

import cloudpickle
import numpy as np

from minipar import parallel
from minipar.parallel.ranks import errors, processes
from tests.parallel.rank_programs import BACKENDS, SOON, failure_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])


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
    assert "cannot pickle 'generator' object; what a function returns must be fit to be sent" in str(error)
    assert "while it was returning its result, of type generator" in str(error)
    assert error.remote_traceback == ""


def test_a_result_that_says_wrongly_how_to_send_it():
    class Hollow:
        def __reduce__(self):
            raise TypeError("I do not know how")

    error = failure_of(lambda comm: Hollow(), workers=1)
    assert "rank 0 raised TypeError: I do not know how, while it was returning its result, of type Hollow" in str(error)
    assert "in __reduce__" in error.remote_traceback


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
    assert error.doing == "loading the function and its arguments"
    assert error.remote_traceback == ""  # it would tell of this package alone

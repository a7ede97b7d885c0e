"""After a failure a pool is usable again: what died or was stuck is replaced, and nothing else."""

import errno
import os
import resource
import signal
import sys
import threading
import time

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import parallel
from minipar.parallel.ranks import processes
from minipar.parallel.ranks.channel import Channel
from minipar.parallel.ranks.output import Screen
from tests.parallel.rank_programs import is_running, pids, total

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def kill(comm):
    if comm.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    comm.barrier()


def fail(comm):
    if comm.rank == 1:
        raise ValueError("what went wrong")
    comm.barrier()


def hang(comm):
    if comm.rank == 1:
        time.sleep(60)
    comm.barrier()


def stop(comm):
    if comm.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    comm.barrier()


def disagree(comm):
    comm.all_reduce(np.zeros(3 + comm.rank))


@pytest.mark.parametrize(
    ("trouble", "words", "replaced"),
    [
        (kill, "rank 1 was killed by SIGKILL", [1]),
        (fail, "rank 1 raised ValueError: what went wrong", []),
        (hang, "waited 1 s", [1]),
        (stop, "waited 1 s", [1]),
        (disagree, "called all_reduce #1", []),
    ],
)
def test_after_a_failure_a_pool_is_usable_again(own_pool, trouble, words, replaced):
    before = pids(own_pool)
    with pytest.raises(parallel.WorkerError, match=words):
        own_pool.run(trouble)
    started = time.monotonic()
    assert own_pool.run(total) == [3.0, 3.0]
    assert time.monotonic() - started < 20
    after = pids(own_pool)
    assert [rank for rank in range(2) if before[rank] != after[rank]] == replaced
    assert not [pid for pid in set(before) - set(after) if is_running(pid)]


def test_a_worker_that_dies_between_tasks_is_replaced(own_pool):
    def die_soon(comm):
        if comm.rank == 0:
            threading.Timer(0.05, os._exit, [3]).start()

    own_pool.run(die_soon)
    time.sleep(0.5)
    assert own_pool.run(total) == [3.0, 3.0]


def test_only_a_worker_that_has_gone_may_miss_its_task(own_pool, monkeypatch):
    def refused(self, *message):
        raise OSError(errno.ETOOMANYREFS, "too many descriptors are on their way")

    own_pool.run(total)
    with monkeypatch.context() as change:
        change.setattr(Channel, "send", refused)
        with pytest.raises(OSError, match="too many descriptors are on their way"):
            own_pool.run(total)
    assert own_pool.run(total) == [3.0, 3.0]


def test_a_result_that_comes_when_too_many_files_are_open(own_pool):
    before = pids(own_pool)
    free = os.dup(0)  # the lowest number: with this limit no file can be opened
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    own_pool.run(lambda comm: None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(parallel.WorkerError, match=r"Too many open files in process \d+ \(see") as caught:
            own_pool.run(lambda comm: np.zeros(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert isinstance(caught.value.cause, OSError)
    assert caught.value.doing == "returning a result that cannot be loaded here"
    assert pids(own_pool) == before


@pytest.mark.parametrize("more", range(5))
def test_too_many_open_files_at_the_start(more):
    """Wherever it stops, nothing is left behind (conftest)."""
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            processes.WorkerProcess(0, 1, minipar.device("cpu"), {}, Screen())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_kernel_being_compiled_is_no_hang(tmp_path, monkeypatch):
    """With an empty cache one rank compiles for longer than the timeout, while three wait for it."""

    def work(comm):
        if comm.rank == 3:
            loss = minipar.nn.functional.cross_entropy(minipar.zeros(2, 3), minipar.zeros(2, dtype=minipar.int64))
            loss.item()
        comm.barrier()
        return comm.doing()

    monkeypatch.setenv("MINIPAR_CACHE", str(tmp_path))
    assert parallel.launch(work, workers=4, timeout=1) == ["running user code after barrier #1"] * 4


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_a_rank_that_waits_for_a_kernel_says_so(backend):
    def work(comm):
        from minipar.kernels.cpu.waiting import watched

        if comm.rank == 0:
            with watched.around(), watched.around():
                during = comm.doing()
                time.sleep(0.8)
            comm.barrier()
            return during, comm.doing()
        return comm.barrier()

    found = parallel.launch(work, timeout=0.3, backend=backend)
    assert found[0] == ("compiling a kernel", "running user code after barrier #1")


@pytest.mark.parametrize(("end", "status"), [("returns", 0), ("raises", 1), ("leaves", 3)])
def test_a_process_that_a_rank_has_forked_does_not_answer_for_it(own_pool, end, status, capfd):
    def fork(comm):
        child = os.fork()
        if child == 0:
            if end == "raises":
                raise ValueError("of the child")
            return sys.exit(3) if end == "leaves" else "child"
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        comm.barrier()
        return status

    before = pids(own_pool)
    assert own_pool.run(fork) == [status] * 2
    assert pids(own_pool) == before
    assert ("ValueError: of the child" in capfd.readouterr().err) == (end == "raises")

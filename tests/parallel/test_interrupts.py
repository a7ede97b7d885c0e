"""Ctrl-C at any moment at which Python may hear of it: nobody waits for ever, and the pool is usable again."""

import functools
import itertools
import os
import signal
import subprocess
import threading
import time

import pytest

from minipar import parallel
from minipar.parallel.ranks.child import has_exited
from minipar.parallel.ranks.processes import WorkerProcess
from tests.parallel.interrupted import at_most, interrupted_at

OURS = ("minipar/parallel", "subprocess.py", "contextlib.py")


def asked(process):
    return has_exited(process)


def asked_as_popen_does(process):
    return process.poll() is not None


@pytest.mark.parametrize(("ask", "is_safe"), [(asked, True), (asked_as_popen_does, False)])
def test_a_child_can_be_waited_for_after_an_interrupt(ask, is_safe):
    """The second row shows that the test sees what `has_exited` is there to avoid."""
    waits_for_ever = []
    for moment in itertools.count():
        process = subprocess.Popen(["sleep", "60"])
        was_interrupted = interrupted_at(moment, functools.partial(ask, process), OURS)
        os.kill(process.pid, signal.SIGKILL)
        try:
            with at_most(5 if is_safe else 0.2):
                process.wait()
        except TimeoutError:
            waits_for_ever.append(moment)
            process._waitpid_lock.release()
            process.wait()
        if not was_interrupted:
            break
    assert moment > 3
    assert (waits_for_ever == []) == is_safe


def test_what_has_exited():
    process = subprocess.Popen(["sh", "-c", "exit 3"])
    assert has_exited(process, within=10)
    assert has_exited(process)  # and still waits to be waited for
    assert process.wait() == 3
    assert has_exited(process)
    with subprocess.Popen(["sleep", "60"]) as other:
        assert not has_exited(other)
        assert not has_exited(other, within=0.02)
        other.kill()
        assert has_exited(other, within=10)


@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_a_pool_is_usable_after_an_interrupt_at_any_moment(step):
    def work(comm, x):
        return comm.rank + x

    with parallel.Pool(workers=2, timeout=41) as pool:
        assert pool.run(work, 1) == [1, 2]
        for moment in itertools.count(0, step):
            was_interrupted = interrupted_at(moment, lambda: pool.run(work, 1), OURS)
            with at_most(30):
                assert pool.run(work, 2) == [2, 3]
            if not was_interrupted:
                break
    assert moment > 200


def test_every_rank_is_interrupted_though_another_has_failed_before(monkeypatch, capsys):
    """The signals are sent one after the other, and the first rank to have its own is quick."""
    send_signal = WorkerProcess.send_signal

    def sent_late(worker, number):
        if worker.rank == 1:
            time.sleep(0.2)
        send_signal(worker, number)

    def wait(comm):
        try:
            comm.recv(1 - comm.rank)
        except BaseException as error:
            print(type(error).__name__)
            raise

    monkeypatch.setattr(WorkerProcess, "send_signal", sent_late)
    with parallel.Pool(workers=2, timeout=42) as pool:
        pool.run(lambda comm: None)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            pool.run(wait)
    assert sorted(capsys.readouterr().out.splitlines()) == ["[rank 0] KeyboardInterrupt", "[rank 1] KeyboardInterrupt"]

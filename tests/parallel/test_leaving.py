"""Ranks leave in good order: threads that they have left running are waited for, and exit handlers for a while."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import pytest

from minipar import parallel
from minipar.parallel.ranks import processes
from tests.parallel.rank_programs import ROOT

cloudpickle.register_pickle_by_value(sys.modules[__name__])
WAITS = "and is waited for, as any program waits for its threads that are no daemons (Ctrl-C ends them)"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(processes, "EXIT_LIMIT", 0.3)


def test_a_thread_left_running_is_waited_for_and_told_of(impatient, capfd, tmp_path):
    """It takes longer than exit handlers may."""

    def write_slowly():
        time.sleep(1.5)
        (tmp_path / "checkpoint").write_text("all of it")
        print("written")

    def work(comm):
        if comm.rank == 1:
            threading.Thread(target=write_slowly, name="writer").start()
        return comm.rank

    assert parallel.launch(work) == [0, 1]
    assert (tmp_path / "checkpoint").read_text() == "all of it"
    told = capfd.readouterr()
    assert told.out == "[rank 1] written\n"
    assert told.err == f"minipar: rank 1 still runs thread 'writer', {WAITS}\n"


def test_threads_that_end_soon_are_not_told_of(capfd):
    """Those of an executor that nobody has shut down wait for work until the program ends."""
    kept = []

    def work(comm):
        kept.append(ThreadPoolExecutor(2))
        return kept[0].submit(int).result()

    with parallel.Pool(1) as pool:
        assert pool.run(work) == [0]
        started = time.monotonic()
    assert time.monotonic() - started < processes.EXIT_LIMIT
    assert capfd.readouterr().err == ""


def test_daemons_are_not_waited_for():
    def work(comm):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

    started = time.monotonic()
    parallel.launch(work)
    assert time.monotonic() - started < 20


def test_exit_handlers_that_hang_delay_the_end_only_so_long(impatient):
    def work(comm):
        atexit.register(time.sleep, 60)
        threading.Thread(target=time.sleep, args=(0.5,)).start()
        return comm.rank

    started = time.monotonic()
    assert parallel.launch(work) == [0, 1]
    assert 0.5 < time.monotonic() - started < 20


def test_a_script_of_several_ranks_ends_when_its_threads_do(tmp_path):
    """As it does alone."""
    script = tmp_path / "train.py"
    script.write_text(
        "import threading, time\nfrom minipar import parallel\ncomm = parallel.init()\n"
        "def write():\n    time.sleep(7)\n    print('written', flush=True)\n"
        "if comm.rank == 0:\n    threading.Thread(target=write, name='writer').start()\n"
    )
    command = [sys.executable, "-m", "minipar", "launch", "-n", "2", str(script)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[rank 0] written\n"
    assert done.stderr == f"minipar: rank 0 still runs thread 'writer', {WAITS}\n"


def test_an_interrupt_ends_the_wait(wait_until_gone):
    code = (
        "from minipar import parallel; import os, threading, time\n"
        "def work(comm):\n    threading.Thread(target=time.sleep, args=(60,)).start()\n    print(os.getpid())\n"
        "parallel.launch(work, workers=1)"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    pid = int(program.stdout.readline().split()[-1])
    time.sleep(0.5)
    program.send_signal(signal.SIGINT)
    _, told = program.communicate(timeout=20)
    assert told.endswith("KeyboardInterrupt\n")
    assert wait_until_gone([pid]) == []

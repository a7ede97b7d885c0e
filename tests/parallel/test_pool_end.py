"""How a pool ends: when it is closed, is garbage, or its program goes; and what Ctrl-C ends."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import cloudpickle
import pytest

from minipar import parallel
from tests.parallel.rank_programs import ROOT, is_running, pids, total
from tests.standard_error import without_compiling

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize("raises", [True, False])
def test_a_signal_handler_closes_the_pool(raises):
    def close(number, frame):
        pool.close()
        if raises:
            raise SystemExit(3)

    with parallel.Pool(workers=2, timeout=35) as pool:
        found = pids(pool)
        before = signal.signal(signal.SIGUSR1, close)
        try:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            started = time.monotonic()
            with pytest.raises(SystemExit if raises else RuntimeError) as caught:
                pool.run(lambda comm: time.sleep(10))
            assert raises or str(caught.value) == "the workers were ended while they ran a task of Pool.run"
            assert time.monotonic() - started < 4
        finally:
            signal.signal(signal.SIGUSR1, before)
        with pytest.raises(RuntimeError, match="run: this pool is closed"):
            pool.run(total)
    assert not [pid for pid in found if is_running(pid)]


# -- the end -----------------------------------------------------------------------------------------------------------


def run_python(code, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_garbage_and_a_block_end_workers():
    pool = parallel.Pool(workers=1, timeout=33)
    (pid,) = pids(pool)
    del pool
    gc.collect()
    assert not is_running(pid)


def test_the_end_of_the_program_ends_workers():
    code = "from minipar import parallel; import os\npool = parallel.Pool()\nprint(*pool.run(lambda comm: os.getpid()))"
    done = run_python(code, check=True)
    assert without_compiling(done.stderr) == ""
    assert not [pid for pid in done.stdout.split() if is_running(pid)]


def test_exit_handlers_of_workers_run_and_are_heard():
    code = (
        "from minipar import parallel; import atexit\n"
        "pool = parallel.Pool(1)\npool.run(lambda comm: atexit.register(print, 'good', 'bye') and None)\npool.close()"
    )
    done = run_python(code, check=True)
    assert (done.stdout, done.stderr) == ("[rank 0] good bye\n", "")


@pytest.mark.parametrize("state", ["idle", "busy", "starting"])
def test_workers_end_with_a_program_that_is_killed(state, wait_until_gone):
    tell = "print(*[w.process.pid for w in pool._crew.present()], flush=True)"
    code = "from minipar import parallel; import os, time\npool = parallel.Pool()\n"
    code += {
        "idle": f"pool.run(len, []) if False else pool.run(lambda comm: None); {tell}; time.sleep(60)",
        "busy": f"{tell}; pool.run(lambda comm: time.sleep(60))",
        "starting": f"{tell}; time.sleep(60)",
    }[state]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    program = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    found = [int(pid) for pid in program.stdout.readline().split()]
    if state == "busy":
        time.sleep(1)
    program.kill()
    program.communicate()
    assert len(found) == 2
    if state == "starting":  # they notice when they have imported NumPy
        wait_until_gone(found)
        wait_until_gone(found)
    assert wait_until_gone(found) == []


def test_no_thread_is_left_behind(pool):
    before = threading.enumerate()
    pool.run(total)
    assert threading.enumerate() == before


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys, time
import numpy as np
from minipar import parallel

pool = parallel.Pool(workers=2)
before = pool.run(lambda comm: os.getpid())

def work(comm):
    try:
        {first}
        comm.barrier()
        if comm.rank == 0:
            print("ready", flush=True)
        {last}
    except KeyboardInterrupt:
        print("cleaned up")
        raise

for attempt in range(2):
    try:
        pool.run(work)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
after = pool.run(lambda comm: float(comm.all_reduce(np.ones(1))[0]) and os.getpid())
print([before[rank] == after[rank] for rank in range(2)])
"""


@pytest.mark.parametrize(
    ("first", "last", "heard", "kept"),
    [
        ("pass", "time.sleep(60)", ["[rank 0] cleaned up", "[rank 1] cleaned up"], [True, True]),
        ("pass", "comm.recv(1 - comm.rank)", ["[rank 0] cleaned up", "[rank 1] cleaned up"], [True, True]),
        (
            "if comm.rank: signal.signal(signal.SIGINT, signal.SIG_IGN)",
            "time.sleep(60)",
            ["[rank 0] cleaned up"],
            [True, False],
        ),
    ],
)
def test_an_interrupt_stops_the_task_and_keeps_the_pool(first, last, heard, kept):
    """As a terminal does it: the signal goes to the caller's whole process group."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = INTERRUPTED.format(first=first, last=last)
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    said = []
    for line in program.stdout:
        said.append(line.rstrip())
        if line == "[rank 0] ready\n":
            time.sleep(0.1)
            started = time.monotonic()
            os.killpg(program.pid, signal.SIGINT)
        elif line == "interrupted\n":
            assert time.monotonic() - started < 2
    assert program.wait() == 0, said
    program.stdout.close()
    assert sorted(said) == sorted(2 * ["[rank 0] ready", *heard, "interrupted"] + [str(kept)])


def test_an_interrupt_between_tasks_does_not_reach_workers(pool):
    before = pids(pool)
    for pid in before:
        os.kill(pid, signal.SIGINT)
    assert pool.run(total) == [3.0, 3.0]
    assert pids(pool) == before


def test_a_terminal_interrupts_the_caller_alone(pool):
    assert pool.run(lambda comm: os.getpgid(0)) == pids(pool)

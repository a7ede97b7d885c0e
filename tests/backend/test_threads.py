"""Threads: one setting for both pools, whose it is, and many Python threads in the kernels at once."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import minipar
from minipar import parallel
from minipar.kernels.cpu import threads


@pytest.fixture(autouse=True)
def _restored():
    count = minipar.get_num_threads()
    with threadpool_limits():
        yield
    threads.set_num_threads(count)


def in_a_new_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_one_setting_for_kernels_numba_and_blas():
    import numba

    available = numba.config.NUMBA_NUM_THREADS
    for count in (1, 2, 1, available + 3):
        minipar.set_num_threads(count)
        assert minipar.get_num_threads() == count
        assert threads.threads_for(10**9, 10**9) == count
        if count > 1:
            assert numba.get_num_threads() == min(count, available)
        assert all(pool["num_threads"] <= count for pool in threadpool_info() if pool["user_api"] == "blas")


def test_work_decides_how_many_threads_pay():
    minipar.set_num_threads(3)
    grain = threads.GRAIN
    assert [threads.threads_for(work, 99) for work in (0, 2 * grain - 1, 2 * grain, 9 * grain)] == [1, 1, 2, 3]
    assert [threads.threads_for(9 * grain, pieces) for pieces in (0, 1, 2)] == [1, 1, 2]


def test_the_setting_is_the_threads_own_and_travels_to_those_that_work_for_it():
    before = in_a_new_thread(minipar.get_num_threads)
    minipar.set_num_threads(before + 1)
    assert in_a_new_thread(minipar.get_num_threads) == before
    seen = minipar.data.DataLoader([0, 1], num_workers=2, collate_fn=lambda batch: minipar.get_num_threads())
    assert list(seen) == [before + 1] * 2


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_ranks_share_the_cores(backend):
    def count(comm):
        import minipar

        return minipar.get_num_threads(), minipar.kernels.cpu.threads.threads_for(10**9, 10**9)

    share = 1 if backend == "thread" else max(1, threads._default() // 2)
    minipar.set_num_threads(max(2, share))
    assert parallel.launch(count, workers=2, backend=backend) == [(share, share)] * 2
    assert minipar.get_num_threads() == max(2, share)


def test_a_caller_who_wants_one_thread_has_workers_of_one_thread():
    def counts(comm):
        import minipar

        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        return {minipar.get_num_threads(), *blas}

    minipar.set_num_threads(1)
    assert parallel.launch(counts, workers=1) == [{1}]


def test_what_is_no_number_of_threads_is_refused():
    for number in (0, -1):
        with pytest.raises(RuntimeError, match=f"at least 1, not {number}"):
            minipar.set_num_threads(number)
        with pytest.raises(ValueError, match=f"at least 1, got {number}"):
            threads.set_num_threads(number)
    for thing in (1.0, "2", None, True, np.float32(1)):
        with pytest.raises(TypeError, match="num must be an int, not"):
            minipar.set_num_threads(thing)


def test_openmps_patience_is_set_for_this_process_alone_and_only_if_the_user_has_not():
    program = (
        "import os; from minipar.kernels.cpu import threads; import numba.np.ufunc.parallel as pool; "
        "launch = pool._launch_threads; "
        "pool._launch_threads = lambda: (print(os.environ.get('GOMP_SPINCOUNT')), launch()); threads.many_may_enter(); "
        "print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    for name, value, lines in (
        ("UNRELATED", "1", [threads.SPINS, "None"]),
        ("GOMP_SPINCOUNT", "7", ["7", "7"]),
        ("OMP_WAIT_POLICY", "passive", ["None", "None"]),
    ):
        environment = {**os.environ, name: value}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == lines


CROWD = """
import threading
import numpy as np, numba
from numba import prange
from minipar.kernels.cpu.compile import compiled
from minipar.kernels.cpu.threads import set_num_threads, threads_for

@compiled(["void(float64[::1], int64[::1], int64)"], parallel=True)
def fill(x, who, threads):
    for t in prange(threads):
        for k in range(t * len(x) // threads, (t + 1) * len(x) // threads):
            x[k] = k
        who[t] = numba.get_thread_id()

def work():
    set_num_threads(4)
    x, who = np.zeros(100_000), np.zeros(4, np.int64)
    for _ in range(100):
        x[:] = 0
        fill(x, who, threads_for(10**9, 4))
        assert (x == np.arange(len(x))).all()

crowd = [threading.Thread(target=work) for _ in range(6)]
for thread in crowd: thread.start()
work()
for thread in crowd: thread.join()
print(numba.threading_layer())
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_many_python_threads_enter_parallel_kernels_at_once(layer, tmp_path):
    script = tmp_path / "crowd.py"
    script.write_text(CROWD)
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "MINIPAR_CACHE": str(tmp_path), "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    used = done.stdout.strip()
    assert used == layer or layer == "default"

"""Workers that stay: what they keep, how they are given their tasks, and whose they are."""

import gc
import math
import os
import sys
import threading
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import parallel
from minipar.backend.dispatch import kernels_in_use
from tests.parallel.rank_programs import is_running, pids, total

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def mappings():
    """How many blocks of shared memory are mapped here."""
    return Path("/proc/self/maps").read_text().count("memfd:minipar")


# -- tasks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_one_function_after_another(backend):
    with parallel.Pool(workers=3, backend=backend) as pool:
        for step in range(3):
            results = pool.run(
                lambda comm, x, *, y: float(comm.all_reduce(np.array([x + comm.rank]))[0]) + y, step, y=1
            )
            assert results == [3 * step + 3 + 1] * 3
        assert repr(pool) == f"<Pool of 3 {'processes' if backend == 'process' else 'threads'}>"
    assert repr(pool).endswith(", closed>")
    with pytest.raises(RuntimeError, match="run: this pool is closed"):
        pool.run(lambda comm: None)
    with pytest.raises(RuntimeError, match="put: this pool is closed"):
        pool.put(1)
    pool.close()


def test_workers_keep_their_process_and_what_functions_leave_there(pool):
    def leave(comm, value):
        sys.left_by_a_test = value
        return os.getpid()

    first = pool.run(leave, 5)
    assert pool.run(lambda comm: (os.getpid(), sys.left_by_a_test)) == [(pid, 5) for pid in first]
    assert os.getpid() not in first


def test_every_communicator_is_new(pool):
    """Messages that nobody took, and the numbers of calls, are gone with the task that they belonged to."""

    def leave_a_message(comm):
        comm.send(np.full(3, comm.rank), 1 - comm.rank)
        comm.barrier()
        return comm

    def look(comm):
        comm.send(np.full(2, 7), 1 - comm.rank)
        return comm.recv(1 - comm.rank).tolist(), comm.doing()

    pool.run(lambda comm: leave_a_message(comm) and None)
    assert pool.run(look) == [([7, 7], "running user code")] * 2


def test_settings_are_those_of_the_caller_at_each_call(pool):
    def drawn(comm=None):
        return minipar.rand(2).array.tolist(), minipar.is_grad_enabled()

    for seed in (1, 2):
        minipar.manual_seed(seed)
        with minipar.no_grad():
            assert pool.run(drawn) == [drawn()] * 2
    assert [grad for _, grad in pool.run(drawn)] == [True, True]


def test_what_a_task_sets_for_its_thread_is_gone_with_it(pool):
    def look(comm=None):
        modes = minipar.is_grad_enabled(), minipar.is_inference_mode_enabled()
        numbers = minipar.rand(1).item(), minipar.get_num_threads()
        return modes, numbers, minipar.get_default_dtype(), kernels_in_use()

    def change(comm):
        minipar.set_default_dtype(minipar.float64)
        minipar.use_kernels("reference").__enter__()
        minipar.inference_mode().__enter__()
        minipar.manual_seed(5)
        minipar.rand(1)
        minipar.set_num_threads(1)
        return look()

    before = pool.run(look)
    assert pool.run(change) != before
    assert pool.run(look) == before
    with minipar.inference_mode():
        assert [modes for modes, *_ in pool.run(look)] == [(False, True)] * 2


def test_threads_can_be_fewer_for_a_task_and_more_again(pool):
    def threads(comm):
        return minipar.get_num_threads()

    share = pool.run(threads)
    before = minipar.get_num_threads()
    try:
        minipar.set_num_threads(1)
        assert pool.run(threads) == [1, 1]
    finally:
        minipar.set_num_threads(before)
    assert pool.run(threads) == share


def test_modules_that_the_caller_has_found_a_way_to_later(pool, tmp_path, monkeypatch):
    (tmp_path / "written_after_the_start.py").write_text("def answer(comm):\n    return 40 + comm.size\n")
    monkeypatch.syspath_prepend(tmp_path)
    from written_after_the_start import answer

    assert pool.run(answer) == [42, 42]


def test_arguments_of_a_rank_are_its_own(pool):
    """Large arrays travel in one shared block, and may be written all the same."""
    large, small = np.zeros(100_000), np.zeros(3)

    def write(comm, large, small):
        large += comm.rank + 1
        small += comm.rank + 1
        comm.barrier()
        return float(large.sum()), float(small.sum())

    assert pool.run(write, large, small) == [(1e5, 3.0), (2e5, 6.0)]
    assert not large.any()


def test_large_results_may_be_written(pool):
    def several(comm):
        return {"a": np.full((300, 500), comm.rank), "b": [np.arange(99_999, dtype=np.int8), "text", np.eye(2)]}

    results = pool.run(several)
    for rank, result in enumerate(results):
        assert result["a"].shape == (300, 500)
        assert (result["a"] == rank).all()
        assert result["a"].ctypes.data % 64 == 0
        np.testing.assert_array_equal(result["b"][0], np.arange(99_999, dtype=np.int8))
        result["a"] += 1
        result["b"][2][0, 0] = 5


def test_results_that_are_kept_hold_no_file_open(pool):
    """500 of them would be too many files."""
    files, blocks, kept = open_files(), mappings(), []
    for _ in range(5):
        kept += pool.run(lambda comm: np.full(100_000, comm.rank))
    assert open_files() == files
    assert mappings() == blocks + 10
    assert [int(result.mean()) for result in kept] == 5 * [0, 1]
    kept.clear()
    assert mappings() == blocks


# -- whose pool it is --------------------------------------------------------------------------------------------------


def test_a_cell_run_again_finds_its_workers():
    pool = parallel.Pool(workers=1, timeout=30)
    first = pids(pool)
    older = pool
    pool = parallel.Pool(workers=1, timeout=30)
    assert pids(pool) == first == pids(older)
    older.close()
    assert pids(pool) == first
    pool = parallel.Pool(workers=1, timeout=30)  # now the one before is garbage
    gc.collect()
    assert pids(pool) == first
    with parallel.Pool(workers=1, timeout=31) as other:
        assert pids(other) != first
    pool.close()
    assert not is_running(first[0])
    with parallel.Pool(workers=1, timeout=30) as pool:
        assert pids(pool) != first


def test_workers_have_the_environment_and_folder_of_the_caller_when_the_pool_is_made(monkeypatch, tmp_path):
    def surroundings(comm):
        return os.environ.get("A_SETTING"), os.getcwd()  # noqa: PTH109 - as the system says it

    def pool():
        return parallel.Pool(workers=1, timeout=37)

    folder = os.getcwd()  # noqa: PTH109
    with pool() as first:
        assert first.run(surroundings) == [(None, folder)]
        monkeypatch.setenv("A_SETTING", "new")
        with pool() as second:
            assert second.run(surroundings) == [("new", folder)]
            assert first.run(surroundings) == [(None, folder)]
            with pytest.raises(parallel.WorkerError):
                first.run(lambda comm: os._exit(1))
            assert first.run(surroundings)[0][0] is None  # the new worker, too
            monkeypatch.chdir(tmp_path)
            with pool() as third:
                assert third.run(surroundings) == [("new", str(tmp_path))]
            monkeypatch.chdir(folder)
            with pool() as again:
                assert pids(again) == pids(second)


def test_each_thread_has_its_own(pool):
    errors, found = [], []

    def use():
        for verb in (lambda: pool.run(total), lambda: pool.put(1), pool.__enter__):
            try:
                verb()
            except RuntimeError as error:
                errors.append(str(error))
        with parallel.Pool(workers=2, timeout=20) as own:
            found.extend(pids(own))

    thread = threading.Thread(target=use, name="other")
    thread.start()
    thread.join()
    assert len(errors) == 3
    assert errors[0] == (
        "run: this pool belongs to thread 'MainThread', and thread 'other' used it: make a pool in each thread that "
        "needs one"
    )
    assert not set(found) & set(pids(pool))


def test_a_task_inside_a_task(pool):
    class Sly:
        def __reduce__(self):
            try:
                pool.run(total)
            except RuntimeError as error:
                return str, (str(error),)

    words = "Pool.run was called while the same workers run a task of Pool.run"
    assert pool.run(lambda comm, argument: argument, Sly()) == [words] * 2


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_ranks_start_no_pool(backend):
    def start(comm):
        try:
            parallel.Pool(backend=backend)
        except RuntimeError as error:
            return str(error)

    assert "Pool was called by a rank of another launch" in parallel.launch(start, workers=1, backend=backend)[0]


def test_a_forked_child_leaves_the_workers_alone(pool):
    before = pids(pool)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            pool.run(total)
        except RuntimeError as error:
            status = 0 if "from which this one was forked" in str(error) else 2
        finally:
            pool.close()
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert pids(pool) == before


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"workers": 0}, ValueError, "workers=0 must be at least 1"),
        ({"backend": "mpi"}, ValueError, "backend='mpi' is unknown: choose one of process, thread"),
        ({"timeout": -1}, ValueError, "timeout=-1 must be a positive"),
        ({"devices": ["cpu"]}, ValueError, r"devices=\['cpu'\] names 1, but workers=2"),
        ({"devices": "cpu"}, TypeError, "devices must be a list with a name for each rank, not 'cpu'"),
        ({"devices": ["cpu", "tpu"]}, ValueError, "device must be 'cpu', 'cuda' or 'cuda:N', not 'tpu'"),
    ],
)
@pytest.mark.parametrize("call", ["Pool", "launch"])
def test_wrong_settings(call, change, kind, words):
    if call == "launch" and change.get("backend") == "mpi":
        return
    make = parallel.Pool if call == "Pool" else lambda **options: parallel.launch(lambda comm: None, **options)
    with pytest.raises(kind, match=words):
        make(**change)


def test_a_timeout_may_be_infinite():
    with parallel.Pool(workers=1, timeout=math.inf) as pool:
        assert pool.run(lambda comm: comm.timeout) == [math.inf]

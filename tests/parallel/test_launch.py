"""Starting ranks from wherever a user may be, and bringing their results back."""

import functools
import math
import os
import subprocess
import sys
import threading
import traceback
import warnings
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import minipar
from minipar import parallel
from minipar.backend.dispatch import kernels_in_use
from minipar.parallel.comm.thread import ThreadCommunicator
from minipar.parallel.ranks import threads as rank_threads
from minipar.parallel.ranks.processes import THREAD_COUNTS, worker_environment

cloudpickle.register_pickle_by_value(sys.modules[__name__])
ROOT = Path(__file__).parents[2]
BACKENDS = pytest.mark.parametrize("backend", ["thread", "process"])


class Pair:
    """Keeps its identity on the way to a worker and back."""

    def __init__(self, left, right):
        self.left, self.right = left, right


@BACKENDS
def test_results_come_by_rank_with_arguments_of_every_kind(backend):
    offset = 10

    def work(comm, scale, *, table):
        return Pair(comm.rank * scale + offset, table)

    table = {"weights": np.arange(4.0)}
    results = parallel.launch(work, 2, workers=3, backend=backend, table=table)
    assert [result.left for result in results] == [10, 12, 14]
    assert all(isinstance(result, Pair) for result in results)
    np.testing.assert_array_equal(results[2].right["weights"], np.arange(4.0))
    assert (results[0].right is table) == (backend == "thread")


@BACKENDS
def test_two_workers_are_the_default_and_a_partial_is_a_function(backend):
    sizes = parallel.launch(functools.partial(lambda unit, comm: (comm.size, unit), "rank"), backend=backend)
    assert sizes == [(2, "rank"), (2, "rank")]


@BACKENDS
@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"workers": 0}, ValueError, "workers=0 must be at least 1"),
        ({"workers": 1.5}, TypeError, "workers=1.5 must be a whole number"),
        ({"backend": "fork"}, ValueError, "backend='fork' is unknown: choose one of process, thread"),
        ({"timeout": 0}, ValueError, "timeout=0 must be a positive"),
        ({"timeout": math.nan}, ValueError, "timeout=nan must be a positive"),
        ({"timeout": "1"}, TypeError, "timeout='1' must be a number of seconds"),
    ],
)
def test_wrong_options(backend, change, kind, words):
    with pytest.raises(kind, match=words):
        parallel.launch(lambda comm: None, **{"backend": backend} | change)


def test_something_that_is_no_function():
    with pytest.raises(TypeError, match="needs a function to run on every rank, not int"):
        parallel.launch(3)


def test_arguments_that_cannot_travel():
    lock = threading.Lock()
    words = "of type lock, cannot be sent to other processes: cannot pickle '_thread.lock' object; create such objects"
    for launch, what in (
        (lambda: parallel.launch(lambda comm, one, two: None, 1, lock), "argument 2"),
        (lambda: parallel.launch(lambda comm, *, held: None, held=lock), "argument 'held'"),
        (lambda: parallel.launch(lambda comm: lock), "variable 'lock' of the function"),
    ):
        with pytest.raises(TypeError, match=f"^launch: {what}, {words}.*backend='thread'") as caught:
            launch()
        assert len(traceback.extract_tb(caught.value.__traceback__)) == 2  # this function, and the one above
        assert caught.value.__cause__ is None


@BACKENDS
def test_launches_do_not_nest(backend):
    def nest(comm):
        try:
            parallel.launch(lambda comm: None, workers=1, backend=backend)
        except RuntimeError as error:
            return str(error)

    assert "launches do not nest" in parallel.launch(nest, workers=1, backend=backend)[0]
    parallel.launch(lambda comm: None, workers=1, backend="thread")  # the caller itself is no rank


@BACKENDS
def test_a_communicator_is_closed_when_its_function_has_returned(backend):
    kept = []

    def keep(comm):
        kept.append(comm)
        comm.close()
        try:
            comm.barrier()
        except parallel.CommunicatorError as error:
            return str(error)

    assert parallel.launch(keep, workers=1, backend=backend) == ["barrier: this communicator is closed"]
    if backend == "thread":
        assert repr(kept[0]) == "<ThreadCommunicator rank 0 of 1, closed>"


def test_cores_are_divided_before_numpy_loads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    for name in THREAD_COUNTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "64")
    assert [worker_environment(2)[name] for name in THREAD_COUNTS] == ["1", "4", "4", "4"]
    assert worker_environment(16)["NUMBA_NUM_THREADS"] == "1"

    before = dict(os.environ)
    seen = parallel.launch(lambda comm: {name: os.environ[name] for name in THREAD_COUNTS}, workers=1)
    assert [seen[0][name] for name in THREAD_COUNTS] == ["1", "8", "8", "8"]
    assert dict(os.environ) == before


@BACKENDS
def test_ranks_start_with_the_callers_settings(backend):
    def work(comm):
        drawn = minipar.rand(3)
        return str(drawn.dtype), drawn.requires_grad, minipar.is_grad_enabled(), kernels_in_use(), drawn.array.tolist()

    before = minipar.get_default_dtype()
    minipar.set_default_dtype(minipar.float64)
    try:
        minipar.manual_seed(7)
        minipar.rand(2)
        with minipar.use_kernels("reference"), minipar.no_grad():
            ranks = parallel.launch(work, backend=backend)
            assert ranks == [work(None)] * 2
    finally:
        minipar.set_default_dtype(before)


def test_kernels_of_thread_ranks_have_one_thread():
    def threads(comm=None):
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2):
        assert threads() == {2}
        assert parallel.launch(threads, backend="thread") == [{1}, {1}]
        assert threads() == {2}


def test_a_thread_that_cannot_start_is_a_rank_that_fails(monkeypatch):
    def refuse(world, rank, timeout):
        if rank == 1:
            raise MemoryError("no more")
        return ThreadCommunicator(world, rank, timeout)

    monkeypatch.setattr(rank_threads, "ThreadCommunicator", refuse)
    with pytest.raises(parallel.WorkerError, match="rank 1 raised MemoryError: no more, while it was starting"):
        parallel.launch(lambda comm: comm.barrier(), workers=3, backend="thread")


def test_a_large_global_is_named():
    huge, small = np.zeros(3 << 20, np.uint8), 1

    def mentions(comm):
        return [huge.nbytes + small for _ in range(1)]

    with pytest.warns(UserWarning, match=r"carries 3.0 MB: huge \(3.0 MB\); pass such data as an argument") as caught:
        assert parallel.launch(mentions, workers=1) == [[huge.nbytes + 1]]
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parallel.launch(lambda comm, huge: huge.nbytes, huge, workers=1) == [huge.nbytes]


def test_a_global_that_merely_has_the_name_of_an_attribute(monkeypatch):
    """`size` is no variable of the function, and need not be fit to travel when the function is large."""
    monkeypatch.setitem(globals(), "size", threading.Lock())
    huge = np.zeros(3 << 20, np.uint8)
    with pytest.warns(UserWarning, match=r"carries 3.0 MB: huge \(3.0 MB\); pass such data as an argument"):
        assert parallel.launch(lambda comm: comm.size + huge.nbytes, workers=1) == [huge.nbytes + 1]


def test_large_results_of_many_ranks():
    results = parallel.launch(lambda comm: np.full(1_000_000, comm.rank), workers=3)
    assert [int(result.sum()) for result in results] == [0, 1_000_000, 2_000_000]


def test_launches_from_several_threads_at_once():
    results = {}

    def start(name):
        results[name] = parallel.launch(lambda comm, name: (name, comm.rank), name, workers=1)

    threads = [threading.Thread(target=start, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"a": [("a", 0)], "b": [("b", 0)]}


def test_importing_minipar_starts_nothing():
    code = "import sys, minipar.parallel; print(sorted({'multiprocessing', 'numba', 'subprocess'} & set(sys.modules)))"
    assert run_python(["-c", code]).stdout.strip() == "[]"


# -- scripts ---------------------------------------------------------------------------------------------------------

UNGUARDED = """
import os
import numpy as np
from minipar import parallel

if os.environ.get("COUNT") == "ran":
    raise SystemExit("the script ran twice")
os.environ["COUNT"] = "ran"
STEP = 3

def shift(x):
    return x + STEP

def work(comm):
    print("rank", comm.rank, "speaks")
    return int(comm.all_reduce(np.array([shift(comm.rank)]))[0])

print(parallel.launch(work), parallel.launch(lambda comm: shift(comm.rank)), "done")
"""


def run_python(arguments, **options):
    options = {"capture_output": True, "text": True, "timeout": 60, "check": True} | options
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}  # lines stay whole all the same
    return subprocess.run([sys.executable, "-W", "error", *arguments], env=environment, **options)


@pytest.mark.parametrize("way", ["script", "stdin", "-c", "interactive"])
def test_a_script_without_a_main_guard(way, tmp_path):
    if way == "script":
        (tmp_path / "train.py").write_text(UNGUARDED)
        done = run_python([str(tmp_path / "train.py")], stdin=subprocess.DEVNULL)
    elif way == "stdin":
        done = run_python(["-"], input=UNGUARDED)
    elif way == "interactive":
        done = run_python(["-i", "-c", UNGUARDED], input="")
    else:
        done = run_python(["-c", UNGUARDED], stdin=subprocess.DEVNULL)
    assert "[7, 7] [3, 4] done" in done.stdout
    assert sorted(line for line in done.stdout.splitlines() if "speaks" in line) == [
        "[rank 0] rank 0 speaks",
        "[rank 1] rank 1 speaks",
    ]


def test_a_worker_finds_modules_that_only_the_caller_can_import(tmp_path, monkeypatch):
    (tmp_path / "beside_the_notebook.py").write_text("def answer(comm):\n    return 40 + comm.size\n")
    monkeypatch.syspath_prepend(tmp_path)
    from beside_the_notebook import answer

    assert parallel.launch(answer, workers=2) == [42, 42]

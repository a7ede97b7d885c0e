"""Workers that stay: what they keep, what they are sent, how they recover, and when they go."""

import errno
import gc
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import parallel
from minipar.parallel.ranks import processes
from minipar.parallel.ranks.channel import Channel
from minipar.parallel.ranks.output import Screen

cloudpickle.register_pickle_by_value(sys.modules[__name__])
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pool():
    """For tests that leave it as it was."""
    with parallel.Pool(workers=2, timeout=20) as pool:
        pool.run(lambda comm: None)  # from here on nothing is to be opened any more
        yield pool


@pytest.fixture
def own_pool():
    """For tests that do not. (Another timeout: pools of equal settings share their workers.)"""
    with parallel.Pool(workers=2, timeout=1) as pool:
        yield pool


def descriptors():
    return list(Path("/proc/self/fd").iterdir())


def pids(pool):
    return pool.run(lambda comm: os.getpid())


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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


# -- what is put -------------------------------------------------------------------------------------------------------


def test_what_is_put_is_loaded_once_and_lies_in_shared_memory(pool):
    table = np.arange(50_000.0)

    def look(comm, arguments):
        (found,) = arguments["tables"]
        return id(found), found["table"].flags.writeable, float(found["table"].sum()), found["name"]

    handle = pool.put({"table": table, "name": "squares"})
    table[:] = 0  # what was put is what it was then
    first = pool.run(look, {"tables": [handle]})
    assert [result[1:] for result in first] == [(False, 1249975000.0, "squares")] * 2
    assert pool.run(look, {"tables": [handle]}) == first
    assert pool.run(lambda comm, other: None, pool.put(3)) == [None, None]
    assert repr(handle) == "<Handle of dict, 0.4 MB>"


def test_what_is_put_goes_with_its_handle(pool):
    def held(comm):
        from minipar.parallel.ranks import handles

        return len(handles.held) + len(handles._packed)

    before = len(descriptors())
    (count,) = set(pool.run(held))
    handle = pool.put(np.zeros(50_000))
    assert pool.run(lambda comm, array: array.size, handle) == [50_000] * 2
    assert len(descriptors()) == before + 1
    assert set(pool.run(held)) == {count + 1}
    del handle
    assert len(descriptors()) == before
    assert set(pool.run(held)) == {count}


def test_a_function_may_close_over_what_was_put(pool):
    handle = pool.put("word")
    assert pool.run(lambda comm: f"{handle}{comm.rank}") == ["word0", "word1"]


def test_new_workers_are_sent_what_was_put(own_pool):
    handle = own_pool.put(np.arange(20_000))
    total = int(np.arange(20_000).sum())
    assert own_pool.run(lambda comm, array: int(array.sum()), handle) == [total] * 2
    with pytest.raises(parallel.WorkerError):
        own_pool.run(lambda comm: os._exit(1))
    assert own_pool.run(lambda comm, array: int(array.sum()), handle) == [total] * 2


def test_a_handle_elsewhere_than_in_its_pool(pool):
    handle = pool.put(3)
    words = "a handle stands for its object only in a call of run of the pool that made it"
    with pytest.raises(TypeError, match=words):
        cloudpickle.dumps(handle)
    with pytest.raises(TypeError, match=words):
        parallel.launch(lambda comm, x: None, handle)
    with pytest.raises(TypeError, match="this lock cannot be sent to other processes"):
        pool.put(threading.Lock())


def test_with_threads_what_is_put_is_itself():
    with parallel.Pool(backend="thread") as pool:
        value = [1]
        assert pool.put(value) is value


# -- failures ----------------------------------------------------------------------------------------------------------


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


def total(comm):
    return float(comm.all_reduce(np.array([comm.rank + 1.0]))[0])


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
    assert not [pid for pid in set(before) - set(after) if alive(pid)]


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
            processes.WorkerProcess(0, 1, minipar.device("cpu"), Screen())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_what_cannot_travel_leaves_the_pool_as_it_was(pool):
    before = pids(pool)
    with pytest.raises(TypeError, match=r"arguments of Pool\.run cannot be sent to other processes"):
        pool.run(lambda comm, lock: None, threading.Lock())
    with pytest.raises(TypeError, match=r"Pool\.run needs a function to run on every rank, not int"):
        pool.run(3)
    with pytest.raises(parallel.WorkerError, match="returning its result, of type generator"):
        pool.run(lambda comm: (n for n in range(3)))
    assert pids(pool) == before


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
    assert not alive(first[0])
    with parallel.Pool(workers=1, timeout=30) as pool:
        assert pids(pool) != first


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


# -- devices -----------------------------------------------------------------------------------------------------------


def test_devices_are_told_to_ranks():
    def place(comm):
        return str(comm.device), os.environ.get("CUDA_VISIBLE_DEVICES")

    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    assert parallel.launch(place, devices=["cpu", "cpu"]) == [("cpu", seen)] * 2
    assert parallel.launch(place, workers=1, devices=[minipar.device("cpu")], backend="thread") == [("cpu", seen)]
    assert parallel.launch(lambda comm: str(comm.split(0).device), workers=1) == ["cpu"]


def test_a_gpu_that_is_not_there_is_an_error_before_anything_starts(monkeypatch):
    monkeypatch.setattr(processes.subprocess, "Popen", None)
    if minipar.cuda.is_available():
        words = "device 'cuda:99' cannot be used: the GPUs here are 0 to"
    else:
        words = "device 'cuda:99' cannot be used: "
    with pytest.raises(RuntimeError, match=words):
        parallel.Pool(devices=["cpu", "cuda:99"])


@pytest.mark.gpu
@pytest.mark.skipif(not minipar.cuda.is_available(), reason="needs a GPU")
def test_cuda_without_a_number_is_the_ranks_own():
    def where(comm):
        return str(comm.device), str(minipar.ones(2, device="cuda").device)

    last = f"cuda:{minipar.cuda.device_count() - 1}"
    assert parallel.launch(where, workers=1, devices=[last]) == [(last, last)]


# -- warnings of large functions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["launch", "Pool.run"])
def test_a_large_function_is_warned_of_where_it_was_given(call, pool):
    huge = np.zeros(3 << 20, np.uint8)

    def mentions(comm):
        return huge.nbytes

    run = pool.run if call == "Pool.run" else parallel.launch
    with pytest.warns(UserWarning, match=rf"given to {call} carries 3.0 MB: huge \(3.0 MB\)") as caught:
        run(mentions)  # here
    assert caught[0].filename == __file__
    assert "# here" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]
    handle = pool.put(huge)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool.run(lambda comm, huge: huge.nbytes, huge)
        pool.run(lambda comm, huge: huge.nbytes, handle)


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
    assert not [pid for pid in found if alive(pid)]


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
    assert not alive(pid)


def test_the_end_of_the_program_ends_workers():
    code = "from minipar import parallel; import os\npool = parallel.Pool()\nprint(*pool.run(lambda comm: os.getpid()))"
    done = run_python(code, check=True)
    assert done.stderr == ""
    assert not [pid for pid in done.stdout.split() if alive(pid)]


def test_exit_handlers_of_workers_run_and_are_heard():
    code = (
        "from minipar import parallel; import atexit\n"
        "pool = parallel.Pool(1)\npool.run(lambda comm: atexit.register(print, 'good', 'bye') and None)\npool.close()"
    )
    done = run_python(code, check=True)
    assert (done.stdout, done.stderr) == ("[rank 0] good bye\n", "")


@pytest.mark.parametrize("state", ["idle", "busy", "starting"])
def test_workers_end_with_a_program_that_is_killed(state, wait_until_gone):
    tell = "print(*[w.process.pid for w in pool._crew._present()], flush=True)"
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
    comm.barrier()
    if comm.rank == 0:
        print("ready", flush=True)
    try:
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
    ("last", "heard", "kept"),
    [
        ("time.sleep(60)", ["[rank 0] cleaned up", "[rank 1] cleaned up"], [True, True]),
        ("comm.recv(1 - comm.rank)", ["[rank 0] cleaned up", "[rank 1] cleaned up"], [True, True]),
        (
            "signal.signal(signal.SIGINT, signal.SIG_IGN) if comm.rank else None; time.sleep(60)",
            ["[rank 0] cleaned up"],
            [True, False],
        ),
    ],
)
def test_an_interrupt_stops_the_task_and_keeps_the_pool(last, heard, kept):
    """As a terminal does it: the signal goes to the caller's whole process group."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = INTERRUPTED.format(last=last)
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


def test_a_timeout_may_be_infinite():
    with parallel.Pool(workers=1, timeout=math.inf) as pool:
        assert pool.run(lambda comm: comm.timeout) == [math.inf]

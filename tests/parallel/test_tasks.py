"""Jobs over workers: results and their order, random numbers, failures, deaths, interrupts; tasks beside the caller."""

import concurrent.futures
import io
import os
import pickle
import signal
import sys
import threading
import time

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import parallel
from minipar.parallel import timeline
from tests.parallel.mpi_programs import needs_mpi, run_job

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SCHEDULES = ("static", "dynamic", "guided")


@pytest.fixture
def own_pool():
    """For tests that do not. (Another timeout: pools of equal settings share their workers.)"""
    with parallel.Pool(workers=2, timeout=5) as pool:
        yield pool


def pids(pool):
    return pool.run(lambda comm: os.getpid())


EXECUTORS = {
    "threads": lambda: concurrent.futures.ThreadPoolExecutor(2),
    "processes": lambda: concurrent.futures.ProcessPoolExecutor(2),
    "ours": lambda: parallel.PoolExecutor(2),
}


@pytest.fixture(scope="module", params=["here", "pool of threads", *EXECUTORS])
def place(request):
    """Who may work but a pool of processes: options of map."""
    if request.param == "here":
        yield {"workers": 0}
    elif request.param == "pool of threads":
        yield {"pool": parallel.Pool(workers=2, backend="thread")}
    else:
        with EXECUTORS[request.param]() as executor:
            for future in [executor.submit(time.sleep, 0.1) for _ in range(2)]:
                future.result()  # both workers have started
            yield {"executor": executor}


def drawn(job):
    minipar.rand(job % 3)  # jobs draw a different number of times
    with minipar.no_grad():
        return job, minipar.rand(2).array.tolist(), np.full(3, job)


def told(results):
    return [(job, numbers, array.tolist()) for job, numbers, array in results]


# -- results -----------------------------------------------------------------------------------------------------------


def test_results_do_not_depend_on_who_works(place, pool):
    minipar.manual_seed(5)
    state = minipar.random.get_rng_state()
    expected = told(parallel.map(drawn, range(7), pool=pool))
    assert [job for job, _, _ in expected] == list(range(7))
    assert len({tuple(numbers) for _, numbers, _ in expected}) == 7
    for schedule, chunksize in [("static", None), ("static", 2), ("dynamic", None), ("dynamic", 3), ("guided", None)]:
        options = {"schedule": schedule, "chunksize": chunksize, **place}
        assert told(parallel.map(drawn, range(7), **options)) == expected
        assert sorted(told([r for _, r in parallel.map_unordered(drawn, range(7), **options)])) == expected
    assert minipar.random.get_rng_state() == state
    minipar.rand(1)
    assert told(parallel.map(drawn, range(7), **place)) != expected


def test_jobs_have_the_settings_of_the_caller_and_leave_theirs_with_nobody(place):
    def careless(job):
        found = minipar.get_default_dtype(), minipar.is_grad_enabled()
        minipar.set_default_dtype(minipar.float32)
        return found

    minipar.set_default_dtype(minipar.float64)
    try:
        with minipar.no_grad():
            found = parallel.map(careless, range(4), schedule="static", **place)
            assert found == [(minipar.float64, False)] * 4
        assert minipar.get_default_dtype() == minipar.float64
    finally:
        minipar.set_default_dtype(minipar.float32)
    if "executor" in place:
        assert place["executor"].submit(minipar.is_grad_enabled).result()


def test_a_seed_set_in_a_job_means_what_it_means_elsewhere(pool):
    def seeded(seed):
        minipar.manual_seed(seed)
        return minipar.rand(3).array.tolist()

    assert parallel.map(seeded, [3, 4, 3], pool=pool) == [seeded(3), seeded(4), seeded(3)]


def test_results_as_they_come(pool):
    began = time.monotonic()
    found = list(parallel.map_unordered(lambda seconds: time.sleep(seconds) or seconds, [0.3, 0, 0], pool=pool))
    assert found == [(1, 0), (2, 0), (0, 0.3)]
    assert time.monotonic() - began < 2


def test_workers_of_its_own():
    assert parallel.map(lambda job: (job, parallel.init().size), range(3), workers=2) == [(0, 1), (1, 1), (2, 1)]


def test_no_jobs(place):
    assert parallel.map(len, [], **place) == []


def test_handles_stand_in_jobs_and_in_functions(pool):
    numbers = pool.put(np.arange(100_000))
    assert parallel.map(lambda job: int(job["x"][job["i"]]), [{"x": numbers, "i": i} for i in (7, 9)], pool=pool) == [
        7,
        9,
    ]
    assert parallel.map(lambda i: int(numbers[i]), [7, 9, 11], pool=pool) == [7, 9, 11]


def test_a_job_is_a_process_alone(pool):
    def alone(job):
        comm = parallel.init()
        x = np.full(2, float(job))
        return comm.rank, comm.size, comm.all_reduce(x).tolist()

    assert parallel.map(alone, [1, 2, 3], pool=pool) == [(0, 1, [job] * 2) for job in (1, 2, 3)]
    assert pool.run(lambda comm: comm.all_reduce(np.ones(1)).tolist()) == [[2.0]] * 2


def test_jobs_do_not_nest(pool):
    with pytest.raises(parallel.JobError, match="map was called by a rank of another launch"):
        parallel.map(lambda job: parallel.map(len, ["x"]), [0], pool=pool)
    assert parallel.map(lambda job: parallel.map(len, ["x"], workers=0), [0], pool=pool) == [[1]]


def test_what_jobs_print_is_shown(pool, capfd):
    parallel.map(lambda job: print("job", job), [5], pool=pool)
    assert capfd.readouterr().out == "[rank 0] job 5\n"


# -- schedules ---------------------------------------------------------------------------------------------------------

UNEQUAL = [0.24, 0.04, 0.04, 0.04, 0.04, 0.08]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("chunksize", [None, 2])
def test_jobs_go_where_the_schedule_says(own_pool, schedule, chunksize):
    """Costs are such that no two workers become idle at nearly the same time while it matters."""
    pids(own_pool)
    expected = parallel.simulate_schedule(UNEQUAL, 2, schedule, chunksize)
    for _ in range(3):  # another program may have had this core
        with timeline.record() as recording:
            parallel.map(time.sleep, UNEQUAL, pool=own_pool, schedule=schedule, chunksize=chunksize)
        measured = parallel.Assignment.measured(recording, 2)
        if measured.jobs_of == expected.jobs_of:
            break
    assert measured.jobs_of == expected.jobs_of
    assert measured.makespan >= expected.makespan
    assert [span.number for span in measured.spans] == list(range(6))


def test_an_executor_runs_a_static_share_on_one_worker():
    with concurrent.futures.ThreadPoolExecutor(2) as executor, timeline.record() as recording:
        parallel.map(time.sleep, [0.1, 0, 0, 0.1, 0], executor=executor, schedule="static")
    assert sorted(parallel.Assignment.measured(recording, 2).jobs_of) == [[0, 1, 2], [3, 4]]


# -- failures ----------------------------------------------------------------------------------------------------------


def odd_fails(job):
    if job % 2:
        raise ValueError(f"{job} is odd")
    return job


def test_a_failure_tells_of_its_job(place):
    with pytest.raises(parallel.JobError, match=r"(?s)job 1, 3, raised ValueError: 3 is odd.*in odd_fails") as caught:
        parallel.map(odd_fails, [2, 3, 4], schedule="static", **place)
    error = caught.value
    assert (error.index, error.job, error.attempts, error.exitcode) == (1, "3", 1, None)
    assert isinstance(error.cause, ValueError)
    assert error.__cause__ is error.cause
    assert "in odd_fails" in error.remote_traceback
    assert "minipar" not in error.remote_traceback.partition("in odd_fails")[0].replace("minipar/tests", "")
    assert error.results.items() <= {0: 2, 2: 4}.items()
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.index) == (str(error), 1)


def test_failures_among_the_results(place):
    results = parallel.map(odd_fails, range(5), on_error="return", **place)
    assert results[::2] == [0, 2, 4]
    assert [(error.index, str(error.cause)) for error in results[1::2]] == [(1, "1 is odd"), (3, "3 is odd")]


def test_long_arguments_are_told_in_short(pool):
    (error,) = parallel.map(
        lambda job: 1 / 0, [{"lr": 0.1, "x": np.zeros(10_000), "s": "y" * 999}], pool=pool, on_error="return"
    )
    assert error.job.startswith("{'lr': 0.1, 's': 'yyy")
    assert len(error.job) < 200


def fails_at_first(path):
    with path.open("a") as file:
        file.write("x")
    number = minipar.rand(1).item()
    if path.stat().st_size < 3:
        raise OSError("not yet")
    return number


def test_jobs_are_tried_again_with_the_same_random_numbers(place, tmp_path):
    minipar.manual_seed(1)
    expected = parallel.map(lambda job: minipar.rand(1).item(), range(2), workers=0)
    paths = [tmp_path / name for name in "ab"]
    assert parallel.map(fails_at_first, paths, retries=2, **place) == expected
    assert [path.stat().st_size for path in paths] == [3, 3]
    with pytest.raises(parallel.JobError, match=r"not yet \(2 attempts\)"):
        parallel.map(fails_at_first, [tmp_path / "c"], retries=1, **place)


@pytest.mark.parametrize(
    ("schedule", "end", "how", "exitcode"),
    [
        ("static", lambda: os._exit(3), "died with exit code 3", 3),
        ("guided", lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL", -9),
    ],
)
def test_a_worker_that_dies_fails_one_job(own_pool, schedule, end, how, exitcode):
    before = pids(own_pool)

    def job(number):
        if number == 1:
            end()
        return number, os.getpid()

    results = parallel.map(job, range(6), pool=own_pool, on_error="return", schedule=schedule)
    assert (results[1].exitcode, results[1].index) == (exitcode, 1)
    assert how in str(results[1])
    assert [result[0] for result in results[:1] + results[2:]] == [0, 2, 3, 4, 5]
    assert len(set(before) & set(pids(own_pool))) == 1


def test_a_job_whose_worker_died_is_tried_on_the_one_in_its_place(own_pool, tmp_path):
    def job(number):
        file = tmp_path / str(number)
        if not file.exists():
            file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return minipar.rand(1).item()

    expected = parallel.map(lambda number: minipar.rand(1).item(), range(2), workers=0)
    assert parallel.map(job, range(2), pool=own_pool, retries=1) == expected


def test_both_workers_die_at_once(own_pool):
    results = parallel.map(lambda job: os._exit(job), [3, 4], pool=own_pool, on_error="return")
    assert [result.exitcode for result in results] == [3, 4]
    assert own_pool.run(lambda comm: comm.rank) == [0, 1]


def test_a_failure_ends_what_runs_and_keeps_the_pool(own_pool):
    before = pids(own_pool)

    def job(seconds):
        time.sleep(seconds)
        raise ValueError("boom")

    began = time.monotonic()
    with pytest.raises(parallel.JobError, match=r"job 1, 0\.1, raised ValueError: boom"):
        parallel.map(job, [30, 0.1], pool=own_pool)
    assert time.monotonic() - began < 5
    assert pids(own_pool) == before  # the sleeping one has had its KeyboardInterrupt


def test_an_iterator_left_early_ends_what_runs(own_pool):
    for number, _ in parallel.map_unordered(time.sleep, [30, 0, 30], pool=own_pool):
        assert number == 1
        with pytest.raises(RuntimeError, match=r"Pool\.run was called while the same workers run a task of map"):
            own_pool.run(lambda comm: None)
        break
    assert own_pool.run(lambda comm: comm.rank) == [0, 1]


def test_interrupt(own_pool):
    pids(own_pool)
    threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        parallel.map(time.sleep, [30, 30, 30], pool=own_pool)
    assert time.monotonic() - began < 5
    assert parallel.map(lambda job: job, [1, 2, 3], pool=own_pool) == [1, 2, 3]


def test_results_that_cannot_be_sent_fail_their_job_alone(pool):
    def job(number):
        return threading.Lock() if number == 1 else number

    with concurrent.futures.ProcessPoolExecutor(1) as executor:
        for options in ({"pool": pool}, {"executor": executor, "chunksize": 3}):
            results = parallel.map(job, range(3), on_error="return", **options)
            assert results[::2] == [0, 2]
            assert "cannot pickle" in str(results[1])
            assert "while its worker was returning its result" in str(results[1])


def raises_at_home():
    raise ValueError("not here")


class Homesick:
    def __reduce__(self):
        return raises_at_home, ()


def test_results_that_cannot_be_loaded_fail_their_job_alone(pool):
    with concurrent.futures.ProcessPoolExecutor(1) as executor:
        for options in ({"pool": pool}, {"executor": executor, "chunksize": 3}):
            results = parallel.map(lambda n: Homesick() if n == 1 else n, range(3), on_error="return", **options)
            assert results[::2] == [0, 2]
            assert "returning a result that cannot be loaded here" in str(results[1])


def test_arguments_that_cannot_be_sent(own_pool):
    with pytest.raises(TypeError, match="job 1 of map: argument 'job', of type lock, cannot be sent"):
        parallel.map(lambda job: job, [1, threading.Lock()], pool=own_pool)
    assert own_pool.run(lambda comm: comm.rank) == [0, 1]


def test_an_executor_that_breaks_tells_so():
    with concurrent.futures.ProcessPoolExecutor(1) as executor:
        results = parallel.map(lambda job: os._exit(3), range(2), executor=executor, on_error="return", retries=1)
        assert ["BrokenProcessPool" in str(result) for result in results] == [True, True]


def test_a_closed_pool_is_refused(own_pool):
    finished = parallel.map_unordered(time.sleep, [0, 30], pool=own_pool)
    next(finished)
    own_pool.close()
    with pytest.raises(RuntimeError, match="ended while they ran"):
        next(finished)
    with pytest.raises(RuntimeError, match="map: this pool is closed"):
        parallel.map(len, ["x"], pool=own_pool)


# -- the bar -----------------------------------------------------------------------------------------------------------


def test_a_bar_is_drawn_if_asked_for(pool, capsys):
    parallel.map(lambda job: job, range(3), pool=pool, progress=True)
    assert "3/3" in capsys.readouterr().err
    parallel.map(lambda job: job, range(3), pool=pool)
    assert capsys.readouterr().err == ""


def test_lines_of_workers_and_the_bar_do_not_share_a_line(pool, monkeypatch):
    terminal = io.StringIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, terminal)
    parallel.map(lambda job: print("job", job, "done"), range(4), pool=pool, progress=True)
    lines = terminal.getvalue().splitlines()
    assert sorted(line[9:] for line in lines if line.startswith("[rank ")) == [f"job {job} done" for job in range(4)]
    assert "4/4" in lines[-1]


# -- executors of others -----------------------------------------------------------------------------------------------


ON_MPI = """
from mpi4py.futures import MPIPoolExecutor
import numpy as np
import minipar
from minipar import parallel

def job(x):                                      # of the script itself: it travels by value
    if x == 3:
        raise ValueError("three")
    return x, parallel.init().size, minipar.rand(1).item()

if __name__ == "__main__":
    expected = parallel.map(job, range(3), workers=0)
    with MPIPoolExecutor() as executor:
        for schedule in ("static", "dynamic", "guided"):
            found = parallel.map(job, range(3), executor=executor, schedule=schedule, workers=2)
            assert found == expected, (found, expected)
        try:
            parallel.map(job, range(5), executor=executor)
        except parallel.JobError as error:
            print("as told:", error.index, error.cause)
        print("equal", expected[2][:2])
"""


@needs_mpi
def test_over_the_processes_of_an_mpi_job(tmp_path):
    ended = run_job(tmp_path, 3, ON_MPI, module="mpi4py.futures")
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.lines() == ["as told: 3 three", "equal (2, 1)"]


# -- beside the caller -------------------------------------------------------------------------------------------------


def test_tasks_run_beside_the_caller():
    with parallel.PoolExecutor() as beside:
        future = beside.submit(lambda a, *, b: (time.sleep(0.2), os.getpid(), a + b), 1, b=2)
        assert isinstance(future, concurrent.futures.Future)
        assert not future.done()
        _, pid, total = future.result(timeout=20)
        assert (total, pid != os.getpid()) == (3, True)
        assert [f.result() for f in concurrent.futures.as_completed([beside.submit(os.getpid)])] == [pid]


def test_arguments_are_those_of_the_moment():
    with parallel.PoolExecutor() as beside:
        weights = np.zeros(200_000)
        layer = minipar.nn.Linear(3, 3)
        kept = layer.weight.detach().clone()
        futures = [beside.submit(lambda w, l: (time.sleep(0.1), w.sum(), l), weights, layer) for _ in range(2)]
        weights += 1
        with minipar.no_grad():
            layer.weight.zero_()
        for future in futures:
            _, total, received = future.result(timeout=20)
            assert total == 0
            assert (received.weight == kept).all()
        assert beside.submit(lambda w: w.__iadd__(1).sum(), weights).result() == 400_000


def test_tasks_have_the_settings_of_the_caller():
    def seen():
        return minipar.is_grad_enabled(), minipar.rand(2).array.tolist()

    minipar.manual_seed(7)
    with parallel.PoolExecutor() as beside, minipar.no_grad():
        found = beside.submit(seen)
        assert found.result() == seen()


def test_a_task_that_fails_and_one_that_dies():
    with parallel.PoolExecutor() as beside:
        with pytest.raises(parallel.WorkerError, match="raised ZeroDivisionError") as caught:
            beside.submit(lambda: 1 / 0).result(timeout=20)
        assert isinstance(caught.value.cause, ZeroDivisionError)
        with pytest.raises(parallel.WorkerError, match="died with exit code 3"):
            beside.submit(os._exit, 3).result(timeout=20)
        assert beside.submit(len, "abc").result(timeout=20) == 3
        with pytest.raises(TypeError, match="cannot be sent"):
            beside.submit(len, threading.Lock())

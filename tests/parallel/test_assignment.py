"""Schedules of jobs: what OpenMP says of them, computed; that jobs follow them is for test_tasks.py."""

import itertools
import math

import pytest

from minipar import parallel
from minipar.parallel import timeline
from minipar.parallel.tasks.assignment import Counter, chunks

SCHEDULES = ("static", "dynamic", "guided")


def sizes(*given):
    return [len(chunk) for chunk in chunks(*given)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((10, 4, "static", None), [3, 3, 2, 2]),
        ((2, 4, "static", None), [1, 1, 0, 0]),
        ((10, 4, "static", 3), [3, 3, 3, 1]),
        ((5, 2, "dynamic", None), [1] * 5),
        ((5, 2, "dynamic", 2), [2, 2, 1]),
        ((16, 2, "guided", None), [8, 4, 2, 1, 1]),
        ((10, 3, "guided", None), [4, 2, 2, 1, 1]),
        ((16, 2, "guided", 3), [8, 4, 3, 1]),  # none below the chunksize but the last
        ((0, 3, "guided", None), []),
        ((0, 3, "dynamic", None), []),
        ((0, 2, "static", None), [0, 0]),
    ],
)
def test_chunks_by_hand(given, expected):
    assert sizes(*given) == expected


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_chunks_hold_every_job_once_in_order(schedule, chunksize):
    for jobs, workers in itertools.product(range(20), range(1, 6)):
        assert [job for chunk in chunks(jobs, workers, schedule, chunksize) for job in chunk] == list(range(jobs))


def test_static_chunks_go_round():
    run = parallel.simulate_schedule([1] * 7, 2, "static", 2)
    assert run.jobs_of == [[0, 1, 4, 5], [2, 3, 6]]
    assert run.worker_of == [0, 0, 1, 1, 0, 0, 1]


def test_makespans_by_hand():
    costs = [8, 1, 1, 1, 1, 1, 1, 2]
    assert parallel.simulate_schedule(costs, 2, "static").makespan == 11
    assert parallel.simulate_schedule(costs, 2, "static", 1).makespan == 11
    dynamic = parallel.simulate_schedule(costs, 2, "dynamic")
    assert dynamic.makespan == 8
    assert dynamic.busy == [8, 8]
    guided = parallel.simulate_schedule(costs, 2, "guided")  # the first takes four jobs at once
    assert guided.jobs_of == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert guided.makespan == 11


def test_many_workers_take_as_long_as_the_longest_job():
    for schedule in SCHEDULES:
        assert parallel.simulate_schedule([2, 5, 3], 9, schedule).makespan == 5


def test_dynamic_keeps_the_bound_of_graham():
    generator = itertools.cycle([3, 1, 4, 1, 5, 9, 2, 6, 5])
    for workers in range(1, 6):
        costs = [next(generator) for _ in range(17)]
        least = max(max(costs), math.ceil(sum(costs) / workers))
        assert least <= parallel.simulate_schedule(costs, workers).makespan <= (2 - 1 / workers) * least


def test_a_job_given_back_goes_to_whoever_asks_next():
    counter = Counter(2, 2, "static", None)
    assert (counter.next(0), counter.next(0)) == (0, None)
    counter.give_again(0)
    assert (counter.next(1), counter.next(1), counter.next(1)) == (0, 1, None)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("static", [[0, 1, 2], [3, 4]]), ("dynamic", [[0], [1], [2], [3], [4]]), ("guided", [[0, 1, 2], [3], [4]])],
)
def test_an_executor_takes_all_at_once(schedule, expected):
    counter = Counter(5, 2, schedule, None)
    assert counter.take_all() == expected
    assert counter.take_all() == []
    counter.give_again(3)
    assert counter.take_all() == [[3]]


def test_a_simulation_is_a_recording_too():
    run = parallel.simulate_schedule([0.5, 0.25], 2)
    events = [event for event in timeline.chrome_trace([run.spans])["traceEvents"] if event["ph"] == "X"]
    assert [(event["name"], event["pid"], event["dur"]) for event in events] == [("job 0", 0, 5e5), ("job 1", 1, 2.5e5)]
    assert parallel.Assignment.measured(run.spans, 2) == run


def test_no_jobs_take_no_time():
    run = parallel.simulate_schedule([], 2)
    assert (run.makespan, run.jobs_of, run.busy) == (0, [[], []], [0, 0])

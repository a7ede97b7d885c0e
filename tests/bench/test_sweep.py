"""The sweep: its shapes, its statistics, and its worker, without a race."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import minipar
from minipar.bench.racer import ContenderError
from minipar.bench.sweep import command, worker
from minipar.bench.sweep.cases import FAMILIES, MOST_NUMBERS, cases
from minipar.bench.sweep.command import Outcome, Sweep
from minipar.bench.workloads import ordinary_step, prepare


def test_there_are_more_than_two_hundred_shapes_and_always_the_same():
    everything = cases()
    assert len(everything) == sum(count for count, _ in FAMILIES.values()) >= 200
    assert list(everything) == list(cases())
    assert {name.split()[0] for name in everything} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_each_family_trains(family):
    """The one with the smallest batch."""
    sized = {name: case for name, case in cases().items() if name.split()[0] == family}
    batches = {name: case.batch(np.random.default_rng(0))[0] for name, case in sized.items()}
    assert max(x.size for x in batches.values()) <= MOST_NUMBERS
    smallest = min(sized, key=lambda name: batches[name].size)
    step = ordinary_step(prepare(minipar, sized[smallest]))
    assert [math.isfinite(step().item()) for _ in range(2)] == [True, True]


def test_the_worker_builds_times_and_survives_a_failure():
    some = dict(list(cases().items())[:1])
    (name,) = some
    said = []
    orders = ["0.0\n", f"{name}\n", "0.0\n"]
    assert worker.serve(minipar, some, orders, said.append) == 0
    assert said[0] == {"version": minipar.__version__}
    assert "AssertionError" in said[1]["error"]  # no case was named yet
    assert len(said[2]["losses"]) == worker.LOSSES
    assert len(said[3]) >= 2


class Scripted:
    """A racer that answers with these losses and times; an exception is raised instead."""

    def __init__(self, losses, *times):
        self.losses, self.times = losses, list(times)

    def ask(self, order):
        if order != str(command.BLOCK_SECONDS):
            return {"losses": self.losses}
        found = self.times.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def test_the_best_blocks_are_compared():
    ours = Scripted([1.0], [4.0, 4.0, 1.0], [2.0, 2.0, 9.0], [3.0], [3.0])
    theirs = Scripted([1.0], [8.0], [6.0], [7.0], [5.0, 5.0, 0.5])
    outcome = command._one("case", ours, theirs)
    assert outcome == Outcome(2.0, 5.0, 1.0, 0.5)
    assert (outcome.ratio, outcome.fastest_ratio) == (2.5, 0.5)


def test_what_goes_wrong_is_said():
    assert "wrong: losses [1.0], torch's [1.1]" in command._one("case", Scripted([1.0]), Scripted([1.1])).error
    broken = Scripted([1.0], ContenderError("ValueError: too wide"))
    assert command._one("case", broken, Scripted([1.0])).error == "ValueError: too wide"


def test_statistics_and_the_slowest():
    outcomes = {
        "Linear a": Outcome(1.0, 2.0, 1.0, 2.0),
        "Linear b": Outcome(1.0, 0.5, 1.0, 0.5),
        "Conv2d c": Outcome(1.0, 8.0, 1.0, 8.0),
        "Conv2d d": Outcome(error="it broke"),
    }
    sweep = Sweep({"date": "today"}, outcomes)
    assert sweep.failed
    assert list(sweep.measured) == ["Linear b", "Linear a", "Conv2d c"]
    assert list(sweep.cliffs()) == ["Linear b"]
    assert sweep.summary() == ("3 cases: geometric mean of the ratios 2.00, median 2.00, least 0.50; 1 below 0.8")
    assert sweep.families() == [["Conv2d", "1", "8.00", "8.00", "8.00"], ["Linear", "2", "1.00", "0.50", "2.00"]]
    heads, (counts,) = sweep.distribution()
    assert dict(zip(heads, counts))["under 0.8"] == "1"
    assert dict(zip(heads, counts))["4 and more"] == "1"
    page = sweep.markdown()
    assert "| Linear b | 1 s | 500 ms | 0.50 | (0.50) |" in page
    assert "- Conv2d d: it broke" in page
    assert "it broke" in command.report(sweep)
    assert json.loads(json.dumps(sweep.data()))["cases"]["Linear a"]["ratio"] == 2.0


def test_a_sweep_that_found_nothing_says_so():
    assert Sweep({}, {"a": Outcome(error="x")}).summary() == "no case was measured"

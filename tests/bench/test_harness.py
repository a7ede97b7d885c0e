"""The race over real processes: scripted contenders that fail in every way, and a short real run."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from minipar.backend.dispatch import serving
from minipar.bench import harness, racer, worker
from minipar.bench.contenders import CONTENDERS, Contender, Prepared
from minipar.bench.racer import Racer

# A well-behaved contender whose steps take 1 ms; tests break it.
SCRIPT = """
import json, sys, time
print(json.dumps({"losses": LOSSES, "version": "1.0", "threads": "1"}), flush=True)
for line in sys.stdin:
    print(json.dumps([1e-3] * int(line)), flush=True)
"""
GOOD = SCRIPT.replace("LOSSES", "[1.0, 0.5]")


@pytest.fixture
def scripted(monkeypatch):
    """Race contenders that are given as the text of their process; returns (rows, racers)."""
    monkeypatch.setattr(harness, "PATIENCE", 0.0)
    monkeypatch.setattr(harness, "ENOUGH", 2)

    def run(scripts: dict[str, str], seconds: float = 0.1, independent: str = ""):
        racers: list[Racer] = []

        def start(contender: Contender, workload: str) -> Racer:
            racers.append(Racer(contender, workload, [sys.executable, "-c", scripts[contender.name]]))
            return racers[-1]

        contenders = [Contender(name, lambda _: None, independent=name == independent) for name in scripts]
        return harness.race("W1", contenders, seconds, start), racers

    return run


def test_contenders_take_turns_and_leave(scripted):
    rows, racers = scripted({"a": GOOD, "b": GOOD})
    assert [row.error for row in rows] == ["", ""]
    assert len(rows[0].blocks) == len(rows[1].blocks) >= 1
    assert rows[0].median == rows[1].minimum == 1e-3
    assert (rows[0].version, rows[0].losses) == ("1.0", [1.0, 0.5])
    assert [r.process.returncode for r in racers] == [0, 0]


def test_block_length_follows_the_speed_of_a_step(scripted):
    """Three steps to find out, then blocks of 0.2 s: twenty steps of 10 ms."""
    picky = GOOD.replace(
        "for line in sys.stdin:", "for n, line in enumerate(sys.stdin):\n    assert int(line) == (20 if n else 3)"
    )
    rows, _ = scripted({"a": picky.replace("1e-3", "1e-2")})
    assert rows[0].error == ""


def test_a_crash_at_the_start_is_named_and_the_others_run(scripted):
    rows, _ = scripted({"a": GOOD, "bad": "import sys; sys.exit('no such library')", "b": GOOD})
    assert rows[1].error == "ended with exit code 1: no such library"
    assert not rows[1].blocks
    assert rows[0].blocks
    assert rows[2].blocks
    assert rows[0].error == rows[2].error == ""


def test_a_crash_in_the_middle_keeps_what_was_measured(scripted):
    dies = GOOD.replace(
        "for line in sys.stdin:", "for n, line in enumerate(sys.stdin):\n    n < 2 or __import__('os').abort()"
    )
    rows, _ = scripted({"bad": dies, "a": GOOD}, seconds=0.5)
    assert rows[0].error.startswith("was ended by SIGABRT")
    assert len(rows[0].blocks) == 1
    assert len(rows[1].blocks) >= 2
    assert rows[1].error == ""


def test_an_exception_arrives_as_its_message(scripted):
    rows, _ = scripted({"a": 'print(\'{"error": "ValueError: too wide"}\', flush=True)'})
    assert rows[0].error == "ValueError: too wide"


def test_silence_ends_after_the_limit(scripted, monkeypatch):
    monkeypatch.setattr(racer, "START_LIMIT", 0.5)
    rows, racers = scripted({"a": "import time; time.sleep(60)"})
    assert rows[0].error == "gave no answer within 0.5 s"
    assert racers[0].process.returncode is not None


def test_a_wrong_loss_is_an_error_of_that_row(scripted):
    wrong = SCRIPT.replace("LOSSES", "[1.0, 0.501]")
    rows, _ = scripted({"fast": wrong, "peer": GOOD, "plain": GOOD}, independent="peer")
    assert rows[0].error == "wrong: the loss of step 2 is 0.501, peer's 0.5"
    assert rows[1].error == rows[2].error == ""


def test_without_an_independent_contender_the_last_one_judges(scripted):
    rows, _ = scripted({"fast": SCRIPT.replace("LOSSES", "[2.0, 0.5]"), "plain": GOOD})
    assert "plain's 1" in rows[0].error
    assert rows[1].error == ""


def test_an_interrupt_leaves_no_process(scripted, monkeypatch):
    started: list[Racer] = []

    def interrupted(one: Racer, steps: int) -> None:
        started.append(one)
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scripted({"a": GOOD.replace("for line in sys.stdin:", "while True:\n    line = sys.stdin.readline() or '1'")})
    assert started[0].process.returncode is not None


def test_those_who_take_long_are_asked_less_often(scripted, monkeypatch):
    """Two blocks do for steps of more than half a second, while the others go on."""
    monkeypatch.setattr(harness, "ENOUGH", 7)
    rows, _ = scripted({"long": GOOD.replace("1e-3", "0.7"), "a": GOOD}, seconds=0.5)
    blocks = [harness.Block(0.7, 0.7, 0.0), harness.Block(0.1, 0.1, 0.0)]
    assert [harness._has_enough(harness.Row("", blocks=[block] * 2)) for block in blocks] == [True, False]
    assert [harness._has_enough(harness.Row("", blocks=[block] * 7)) for block in blocks] == [True, True]
    assert len(rows[0].blocks) <= len(rows[1].blocks)


def test_all_get_ready_at_once():
    """Whoever is asked first would wait for the second in vain if that were started after it."""
    order = []

    class Recorder(Racer):
        def __init__(self, contender, workload):
            order.append(f"start {contender.name}")
            super().__init__(contender, workload, [sys.executable, "-c", GOOD])

        def greet(self):
            order.append("greet")
            return super().greet()

    harness.race("W1", [Contender(name, lambda _: None) for name in "ab"], 0.0, Recorder)
    assert order == ["start a", "start b", "greet", "greet"]


def test_every_contender_has_the_same_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    for contender in CONTENDERS.values():
        assert racer.environment(contender)["OMP_NUM_THREADS"] == "2"
        assert racer.environment(contender)["NUMBA_NUM_THREADS"] == "2"


class Loss:
    def item(self) -> float:
        return 0.25


def test_the_worker_answers_orders_and_reports_exceptions():
    steps, said = [], []

    def prepare(workload: str) -> Prepared:
        return Prepared(lambda: steps.append(workload) or Loss(), "2.0", "1")

    assert worker.serve(prepare, "W1", ["4\n"], said.append) == 0
    assert said[0] == {"losses": [0.25] * worker.FIRST_LOSSES, "version": "2.0", "threads": "1"}
    assert len(said[1]) == 4
    assert len(steps) == worker.FIRST_LOSSES + worker.WARM_UP + 4

    said.clear()
    assert worker.serve(lambda workload: 1 / 0, "W1", [], said.append) == 1
    assert said == [{"error": "ZeroDivisionError: division by zero"}]


def test_a_call_of_many_steps_is_divided_among_them(monkeypatch):
    ticks = iter(range(0, 1000, 10))
    monkeypatch.setattr(worker, "perf_counter", lambda: next(ticks))
    calls, said = [], []
    fit = Prepared(lambda: calls.append(1), "2.0", "1", steps_per_call=5, losses=(1.0, 0.5))
    assert worker.serve(lambda workload: fit, "W1", ["12\n"], said.append) == 0
    assert said[0]["losses"] == [1.0, 0.5]
    assert said[1] == [2.0] * 3  # 10 seconds a call of five steps; three calls for twelve steps


def test_a_long_warm_up_ends_after_one_step(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(worker, "perf_counter", lambda: next(ticks))
    calls = []
    assert worker.timed(lambda: calls.append(1), 1) == [1]
    assert len(calls) == 2


def test_losses_are_numbers_or_tensors():
    assert worker.number(Loss()) == 0.25
    assert worker.number(1) == 1.0


def test_the_reference_contender_runs_the_plain_kernels(monkeypatch):
    from minipar.bench.peers import own

    served = []

    def build(library, workload):
        return lambda: served.append(serving("max_pool2d_forward", np.ones(1, np.float32)))

    monkeypatch.setattr(own, "build", build)
    CONTENDERS["reference"].prepare("W3").step()
    assert served == ["reference.pool2d"]


def test_minipar_races_its_own_plain_form():
    rows = harness.race("W1", [CONTENDERS["minipar"], CONTENDERS["reference"]], 0.5)
    assert [row.error for row in rows] == ["", ""]
    assert all(row.blocks and row.median > 0 for row in rows)
    assert rows[0].losses[0] > rows[0].losses[-1]
    assert "BLAS" in rows[0].threads

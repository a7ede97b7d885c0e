"""`minipar bench --threads`: minipar beside itself with one thread."""

import pytest

from minipar.bench import threads
from minipar.bench.summary import Block, Row


def row(seconds, foreign=0.0, **more):
    return Row("minipar", blocks=[Block.of([seconds] * 3, foreign)], **more)


@pytest.fixture
def raced(monkeypatch):
    """Rows by workload, (all threads, one), instead of races."""
    rows = {}

    def race(name, contenders, seconds):
        many, one = contenders
        assert many.name == one.name == "minipar"
        assert one.environment["NUMBA_NUM_THREADS"] == "1"
        assert "NUMBA_NUM_THREADS" not in many.environment
        return rows[name]

    monkeypatch.setattr(threads, "race", race)
    return rows


def test_what_is_slower_with_all_threads_is_named(raced):
    raced.update(W1=(row(1e-3), row(1e-3)), W2a=(row(1.1e-3), row(1e-3)), W3=(row(1e-3), row(2e-3)))
    found = threads.measure(["W1", "W2a", "W3"])
    assert [line[0] for line in found.lines] == ["W1", "W2a", "W3"]
    assert [line[3] for line in found.lines] == ["1.00", "0.91", "2.00"]
    assert found.verdicts[0].endswith("slower: W2a, NOT met")
    assert not found.failed


def test_without_quiet_there_is_no_verdict(raced):
    raced["W1"] = row(1e-3, foreign=0.9), row(1e-3)
    found = threads.measure(["W1"])
    assert found.lines[0][3:] == ["", "no quiet block"]
    assert found.verdicts[0].endswith("not known, for lack of quiet")


def test_a_failure_is_said(raced):
    raced["W1"] = Row("minipar", error="ended"), row(1e-3)
    found = threads.measure(["W1"])
    assert found.failed
    assert "ended" in found.lines[0][4]

"""Foreign CPU time."""

from __future__ import annotations

import os
import sys
from time import perf_counter

import pytest

from minipar.bench import cpu_clock
from minipar.bench.cpu_clock import Reading, foreign_share, reading, wait_for_quiet


def test_foreign_is_what_everybody_used_less_ones_own():
    before, after = Reading(10.0, 500.0, 3.0), Reading(12.0, 503.5, 4.5)
    assert foreign_share(before, after) == pytest.approx(1.0)


def test_ticks_that_do_not_match_never_make_it_negative():
    assert foreign_share(Reading(0.0, 0.0, 0.0), Reading(1.0, 0.99, 1.0)) == 0.0


def test_unknown_stays_unknown():
    assert foreign_share(None, Reading(1.0, 1.0, 1.0)) is None
    assert foreign_share(Reading(1.0, 1.0, 1.0), None) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_the_clocks_see_this_process_work():
    before = reading(os.getpid())
    deadline = perf_counter() + 0.3
    while perf_counter() < deadline:
        sum(range(1000))
    after = reading(os.getpid())
    assert after.own > before.own
    assert after.everybody - before.everybody >= 0.5 * (after.own - before.own)
    assert after.wall - before.wall >= 0.3


def test_a_process_that_is_gone_has_no_reading():
    assert reading(2**22 + 1) is None  # above Linux's largest process id


def test_waiting_ends_with_patience_at_the_latest(monkeypatch):
    busy = iter(range(10**6))
    monkeypatch.setattr(cpu_clock, "reading", lambda pid: Reading(perf_counter(), next(busy), 0.0))
    start = perf_counter()
    wait_for_quiet(os.getpid(), patience=0.2, look=0.05)
    assert 0.2 <= perf_counter() - start < 5


def test_waiting_ends_at_once_when_quiet_or_unknown(monkeypatch):
    for answer in (None, Reading(0.0, 0.0, 0.0)):
        looks = iter([answer, Reading(1.0, 0.1, 0.0)])
        monkeypatch.setattr(cpu_clock, "reading", lambda pid, looks=looks: next(looks))  # a third look would raise
        wait_for_quiet(os.getpid(), patience=60.0, look=0.01)

"""The limit of a workload: counted arithmetic and traffic, at rates that are measured."""

from __future__ import annotations

import pytest

from minipar.bench import limits
from minipar.bench.workloads import WORKLOADS

# GFLOP of a step, counted by hand
GFLOP = {
    "W2b": 0.02933,
    "W2c": 2.448,
    "W3": 4.026,
    "W3s": 4.026,
    "W4a": 0.00481,
    "W4b": 1.880,
    "W5": 0.1347,
    "W6": 0.151,
}


@pytest.mark.parametrize("name", GFLOP)
def test_arithmetic_is_counted(name):
    assert limits.flops(WORKLOADS[name]) / 1e9 == pytest.approx(GFLOP[name], rel=2e-3)


def test_the_gradient_of_the_batch_is_not_counted():
    """W1: 32 rows of one input and one output, twice."""
    assert limits.flops(WORKLOADS["W1"]) == 2 * 32 * 2


def test_traffic_is_counted():
    """W1: 2 parameters, 9 passes of Adam and backward; 64 numbers of the batch; 32 outputs, written and read."""
    assert limits.traffic(WORKLOADS["W1"]) == 4 * (2 * 9 + 64 + 2 * 32)


def test_the_limit_adds_both_and_takes_the_rate_of_the_size():
    rates = limits.Rates(1e9, "BLAS", {100: 1e3, 1000: 1e2})
    assert rates.copy_rate(50) == 1e3
    assert rates.copy_rate(101) == 1e2
    assert rates.copy_rate(5000) == 1e2
    assert rates.limit(WORKLOADS["W1"]) == pytest.approx(128 / 1e9 + 584 / 1e2)
    assert "1 GFLOP/s (BLAS)" in rates.text()


def test_rates_are_taken_quickly(monkeypatch):
    monkeypatch.setattr(limits, "COPIED", (2**16, 2**20))
    rates = limits.measure(2, seconds=0.01)
    assert rates.product > 1e8
    assert set(rates.copy) == {2**16, 2**20}
    assert min(rates.copy.values()) > 1e7

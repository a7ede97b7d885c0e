"""detect_anomaly names the operation, and the line of this file, that made the NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minipar
from minipar import tape
from minipar.autograd import detect_anomaly, set_detect_anomaly


def test_a_nan_gradient_is_traced_to_its_line():
    x = minipar.tensor([1.0, 0.0], requires_grad=True)
    with detect_anomaly():
        root = x.sqrt()  # the guilty line
        y = (root * 0).sum()
        with pytest.raises(RuntimeError) as caught:
            y.backward()
    message = str(caught.value)
    assert "Sqrt made a NaN gradient of its input 0" in message
    assert "root = x.sqrt()  # the guilty line" in message
    assert "test_anomaly.py" in message
    assert "test_a_nan_gradient_is_traced_to_its_line" in message


def test_a_nan_of_the_forward_pass_is_traced_to_the_first_operation():
    x = minipar.tensor([1.0, -1.0], requires_grad=True)
    with detect_anomaly():
        y = x.log()
        z = (y * 2).sum()
        with pytest.raises(RuntimeError, match=r"Log made a NaN in the forward pass(.|\n)*y = x\.log\(\)"):
            z.backward()


def test_a_nan_that_a_condition_hides_is_no_mistake():
    x = minipar.tensor([1.0, -1.0], requires_grad=True)
    with detect_anomaly():
        minipar.where(x > 0, x.log(), 0.0).sum().backward()
    assert x.grad.tolist() == [1.0, -0.0]


def test_a_nan_that_came_in_is_found_where_it_enters_a_gradient():
    x = minipar.tensor([1.0, math.nan], requires_grad=True)
    with detect_anomaly():
        y = (x + 1).sum()
        y.backward()
        z = (x * x).sum()
        with pytest.raises(RuntimeError, match=r"Mul made a NaN gradient of its input 0(.|\n)*z = \(x \* x\)"):
            z.backward()


def test_memory_written_through_numpy_is_noticed():
    array = np.ones(3)
    w = minipar.from_numpy(array)
    x = minipar.ones(3, dtype=minipar.float64, requires_grad=True)
    with detect_anomaly():
        y = x * w
        array[0] = 5.0
        with pytest.raises(RuntimeError, match=r"Mul needs a tensor(.|\n)*through NumPy(.|\n)*y = x \* w"):
            y.sum().backward()


def test_check_nan_can_be_off():
    x = minipar.tensor([0.0], requires_grad=True)
    with detect_anomaly(check_nan=False):
        (x.sqrt() * 0).sum().backward()
    assert math.isnan(x.grad.item())


def test_outside_nothing_is_watched_and_modes_nest():
    assert not minipar.is_anomaly_enabled()
    with detect_anomaly(), detect_anomaly():
        assert minipar.is_anomaly_enabled()
    assert not minipar.is_anomaly_enabled()
    assert tape.mode.watch is None
    set_detect_anomaly(True)
    assert minipar.is_anomaly_enabled()
    set_detect_anomaly(False)
    assert tape.mode.watch is None
    with set_detect_anomaly(True):
        assert minipar.is_anomaly_enabled()
    assert not minipar.is_anomaly_enabled()


def test_operations_recorded_before_have_no_line():
    x = minipar.tensor([0.0], requires_grad=True)
    y = (x.sqrt() * 0).sum()
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"Sqrt made a NaN gradient.*outside of detect_anomaly"):
        y.backward()

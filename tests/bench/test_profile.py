"""Where a step's time goes."""

from __future__ import annotations

from time import sleep

import numpy as np

from minipar.backend import dispatch
from minipar.bench import profile
from minipar.bench.profile import Anatomy, Profile


def test_kernels_are_clocked_and_then_as_before():
    before = dispatch.kernel("matmul", np.ones(1, np.float32))
    with profile.clocked() as clocks:
        a = np.ones((2, 3), np.float32)
        np.testing.assert_array_equal(dispatch.kernel("matmul", a)(a, a.T), before(a, a.T))
        assert [name for name, _ in clocks] == ["matmul"]
    assert dispatch.kernel("matmul", np.ones(1, np.float32)) is before


def test_a_clock_measures_what_it_surrounds():
    clocks = []
    profile._clocked("pause", sleep, clocks)(0.02)
    assert clocks[0][0] == "pause"
    assert clocks[0][1] >= 0.02


def test_a_profile_of_a_real_step():
    found = profile.measure(["W2a"], seconds=0.05).anatomies["W2a"]
    assert set(found.parts) == {"forward", "backward", "update"}
    assert found.in_kernels > 0
    assert found.kernels["adam_step"][1] >= 1
    assert all(seconds > 0 for seconds in found.parts.values())


def test_shares_are_of_the_step():
    anatomy = Anatomy(2.0, {"forward": 0.5, "backward": 1.0, "update": 0.5}, {"a": (0.2, 3), "b": (1.0, 1)})
    page = Profile({"W1": anatomy}, {"date": "today"})
    assert page.lines() == [["W1", "2 s", "25%", "50%", "25%", "60%", "40%", "b 50% (1×), a 10% (3×)"]]
    assert "| W1 | 2 s |" in page.markdown()
    assert page.data()["workloads"]["W1"]["kernels"]["a"] == [0.2, 3]
    assert "W1" in page.text()

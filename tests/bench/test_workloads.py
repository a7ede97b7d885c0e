"""The same model text must mean the same training in minipar and in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
from minipar.bench.workloads import WORKLOADS, build, initial_weights

PARAMETERS = {
    "W1": 2,
    "W2a": 261,
    "W2b": 55_050,
    "W2c": 1_863_690,
    "W3": 83_466,
    "W3s": 83_466,
    "W4a": 1_706 + 32,  # PyTorch's RNN has two biases
    "W4b": 84_746 + 256,
    "W5": 209_968,
    "W6": 49_984,
}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason='pip install "minipar[oracle]"')


@pytest.mark.parametrize("name", WORKLOADS)
def test_sizes_are_those_of_the_table(name):
    model = WORKLOADS[name].model(minipar)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", WORKLOADS)
def test_first_losses_equal_pytorchs(name, torch):
    ours, theirs = build(minipar, name), build(torch, name)
    for _ in range(2):
        assert ours().item() == pytest.approx(theirs().item(), rel=1e-5)


def test_both_forms_of_the_cnn_are_one_network():
    module, sequential = build(minipar, "W3"), build(minipar, "W3s")
    assert [module().item() for _ in range(2)] == pytest.approx([sequential().item() for _ in range(2)], rel=1e-5)


def test_initial_weights_follow_their_fan_in_and_leave_norms_alone():
    state = initial_weights(WORKLOADS["W6"].model(minipar), np.random.default_rng(0))
    assert np.all(state["norm1.weight"] == 1)
    assert np.all(state["norm2.bias"] == 0)
    for key, bound in (("linear1.weight", 1 / 8), ("linear1.bias", 1 / 8), ("linear2.weight", 1 / 16)):
        values = np.abs(state[key])
        assert 0.9 * bound < values.max() <= bound

"""The same model text must mean the same training in minipar and in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
from minipar.bench.encoder_layer import TransformerEncoderLayer
from minipar.bench.workloads import WORKLOADS, build, initial_weights

PARAMETERS = {
    "W1": 2,
    "W2a": 261,
    "W2b": 55_050,
    "W2c": 1_863_690,
    "W3": 83_466,
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


def test_the_encoder_layer_is_pytorchs(torch):
    rng = np.random.default_rng(0)
    theirs = torch.nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True).double()
    ours = TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    state = {k: rng.standard_normal(tuple(v.shape)) for k, v in theirs.state_dict().items()}
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    ours.load_state_dict({k: minipar.from_numpy(v) for k, v in state.items()})
    x, g = rng.standard_normal((2, 2, 5, 12))
    found = []
    for library, layer in ((minipar, ours), (torch, theirs)):
        input = library.from_numpy(x.copy()).requires_grad_()
        output = layer(input)
        (output * library.from_numpy(g)).sum().backward()
        found.append([output.detach(), input.grad, *(p.grad for p in layer.parameters())])
    for mine, other in zip(*found):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-9, atol=1e-10)


def test_the_encoder_layer_refuses_what_it_does_not_do():
    with pytest.raises(NotImplementedError, match="dropout"):
        TransformerEncoderLayer(12, 3, 20, batch_first=True)
    with pytest.raises(ValueError, match="nhead must divide"):
        TransformerEncoderLayer(12, 5, 20, dropout=0.0, batch_first=True)


def test_initial_weights_follow_their_fan_in_and_leave_norms_alone():
    state = initial_weights(minipar, WORKLOADS["W6"].model(minipar), np.random.default_rng(0))
    assert np.all(state["norm1.weight"].numpy() == 1)
    assert np.all(state["norm2.bias"].numpy() == 0)
    for key, bound in (("linear1.weight", 1 / 8), ("linear1.bias", 1 / 8), ("linear2.weight", 1 / 16)):
        values = np.abs(state[key].numpy())
        assert 0.9 * bound < values.max() <= bound

"""Fifty steps of training beside PyTorch, from the same state_dict in float64: the loss curves and what was learned.

Each model is written once, in a file of its own: `build(T)` makes it and `train(T, model, steps)` yields its losses,
where T is minipar or torch. The issue asks for curves that agree to 1e-5; they agree to rounding, so the bound here is
closer; `pytest -rP tests/training` prints the worst difference of each. The kernels are those that a user gets.
"""

import numpy as np
import pytest

import minipar
from tests.training import autoencoder, cnn, encoder_decoder, gan, lstm, mlp, rnn, transformer

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

MODELS = [mlp, cnn, rnn, lstm, transformer, autoencoder, gan, encoder_decoder]
STEPS = 50
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__.rsplit(".", 1)[1])


def pair(model):
    """The model in PyTorch, and in minipar with PyTorch's initial state."""
    torch.manual_seed(0)
    theirs, ours = model.build(torch).double(), model.build(minipar).double()
    assert ours.load_state_dict(arrays(theirs)) == ([], [])
    return theirs, ours


def arrays(module):
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def curve(T, model, module):
    return np.array(list(model.train(T, module, STEPS)))


@each_model
def test_fifty_steps(model):
    theirs, ours = pair(model)
    before = arrays(theirs)
    expected, got = curve(torch, model, theirs), curve(minipar, model, ours)

    worst = np.max(np.abs(got - expected) / np.abs(expected))
    print(f"{model.__name__}: {expected[0]:.4f} -> {expected[-1]:.4f}, worst relative difference {worst:.1e}")
    assert worst < 1e-9
    for (name, p), q in zip(arrays(ours).items(), arrays(theirs).values()):
        assert p.dtype == q.dtype
        np.testing.assert_allclose(p, q, rtol=1e-7, atol=1e-9, err_msg=name)
        assert not np.array_equal(q, before[name]), f"{name} never changed: nothing was compared"


@each_model
def test_a_wrong_gradient_is_noticed(model):
    theirs, ours = pair(model)
    next(ours.parameters()).register_hook(lambda gradient: gradient + 1e-6)
    expected, got = curve(torch, model, theirs), curve(minipar, model, ours)
    assert np.max(np.abs(got - expected) / np.abs(expected)) > 1e-9

"""The states of recurrent layers: whose memory they are, and what changes of them do; infinities on the way back."""

import numpy as np
import pytest

import minipar
from minipar import nn

MAKE = {
    "rnn": lambda **options: nn.RNN(3, 4, **options),
    "relu": lambda **options: nn.RNN(3, 4, nonlinearity="relu", **options),
    "lstm": lambda **options: nn.LSTM(3, 4, **options),
    "projected": lambda **options: nn.LSTM(3, 4, proj_size=2, **options),
    "gru": lambda **options: nn.GRU(3, 4, **options),
}


def states_of(last):
    return last if isinstance(last, tuple) else (last,)


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("given", [False, True])
def test_last_states_are_memory_of_their_own(name, given):
    """Whoever overwrites them changes neither the output, nor the initial states, nor the gradient, nor the next run"""
    layer, x = MAKE[name](), minipar.randn(5, 2, 3)
    output, last = layer(x)
    hx = None
    if given:
        hx = tuple([minipar.zeros(*s.shape) for s in states_of(last)])
        hx = hx if len(hx) > 1 else hx[0]
    wanted = minipar.autograd.grad(output.sum(), layer.weight_hh_l0, retain_graph=True)[0]
    before = output.detach().numpy().copy()
    again, last = layer(x, hx)
    with minipar.no_grad():
        for state in states_of(last):
            state += 100
    for state in states_of(hx) if given else ():
        assert not state.detach().numpy().any()
    assert np.array_equal(again.detach().numpy(), before)
    assert np.array_equal(layer(x, hx)[0].detach().numpy(), before)
    found = minipar.autograd.grad(again.sum(), layer.weight_hh_l0)[0]
    assert np.array_equal(found.detach().numpy(), wanted.detach().numpy())


@pytest.mark.parametrize("name", MAKE)
def test_states_get_gradients_in_their_own_shape(name):
    minipar.manual_seed(6)  # not all of relu's are dead
    layer, x = MAKE[name](batch_first=True), minipar.randn(2, 5, 3)
    _, last = layer(x)
    hx = tuple([minipar.randn(*s.shape, requires_grad=True) for s in states_of(last)])
    _, last = layer(x, hx if len(hx) > 1 else hx[0])
    sum([s.sum() for s in states_of(last)]).backward()
    for state in hx:
        assert state.grad.shape == state.shape
        assert state.grad.detach().numpy().any()


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.filterwarnings("error")
def test_infinities_arise_in_silence(name):
    layer = MAKE[name]()
    x = minipar.full((2, 2, 3), 1e38, requires_grad=True)
    output, last = layer(x)
    grads = [minipar.full(y.shape, 3e38) for y in (output, *states_of(last))]
    minipar.autograd.backward([output, *states_of(last)], grads)
    assert layer.weight_ih_l0.grad is not None


def test_weights_that_a_parametrization_computes():
    layer, twin = nn.RNN(3, 4), nn.RNN(3, 4)
    twin.load_state_dict(layer.state_dict())
    nn.utils.weight_norm(twin, "weight_hh_l0")
    x = minipar.randn(5, 2, 3)
    assert np.allclose(twin(x)[0].detach().numpy(), layer(x)[0].detach().numpy(), atol=1e-6)
    twin(x)[0].sum().backward()
    assert all(p.grad is not None for p in twin.parameters())

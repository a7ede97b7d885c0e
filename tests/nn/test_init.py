"""Initial values: the distributions of torch.nn.init (bounds and moments), and the same numbers from the same seed."""

import math

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.nn import init


def drawn(fill, *shape, dtype=minipar.float32):
    minipar.manual_seed(3)
    return fill(minipar.zeros(*shape, dtype=dtype)).numpy()


def assert_uniform(values, bound):
    """All within ±bound, close to both ends, with the variance bound²/3 (five standard errors)."""
    n = values.size
    assert np.abs(values).max() <= bound * (1 + 1e-6)
    assert values.max() > bound * (1 - 20 / n)
    assert values.min() < -bound * (1 - 20 / n)
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * n)
    assert values.var() == pytest.approx(bound**2 / 3, rel=5 * math.sqrt(0.8 / n))


@pytest.mark.parametrize("dtype", [minipar.float32, minipar.float64])
def test_uniform(dtype):
    values = drawn(lambda t: init.uniform_(t, -3, 3), 50, 200, dtype=dtype)
    assert values.dtype == dtype
    assert_uniform(values, 3)
    assert 2 <= drawn(lambda t: init.uniform_(t, 2, 5), 1000).min() < 2.1


@pytest.mark.parametrize("dtype", [minipar.float32, minipar.float64])
def test_normal(dtype):
    values = drawn(lambda t: init.normal_(t, 2, 3), 100, 100, dtype=dtype)
    assert values.dtype == dtype
    standard = (values.astype(np.float64) - 2) / 3
    assert abs(standard.mean()) < 0.05
    assert standard.var() == pytest.approx(1, abs=0.07)
    assert (standard**3).mean() == pytest.approx(0, abs=0.12)
    assert (standard**4).mean() == pytest.approx(3, abs=0.5)


def test_constants():
    assert (drawn(lambda t: init.constant_(t, 2.5), 3, 2) == 2.5).all()
    assert (drawn(init.ones_, 3, 2) == 1).all()
    assert (drawn(lambda t: init.zeros_(init.ones_(t)), 3, 2) == 0).all()


@pytest.mark.parametrize("shape", [(40, 300), (30, 20, 3, 5)])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize(("slope", "nonlinearity"), [(0, "leaky_relu"), (math.sqrt(5), "leaky_relu"), (0, "relu")])
def test_kaiming_uniform(shape, mode, slope, nonlinearity):
    window = math.prod(shape[2:])
    fan = (shape[1] if mode == "fan_in" else shape[0]) * window
    values = drawn(lambda t: init.kaiming_uniform_(t, slope, mode, nonlinearity), *shape)
    assert_uniform(values, math.sqrt(2 / (1 + slope**2)) * math.sqrt(3 / fan))


def test_xavier_uniform():
    assert_uniform(drawn(lambda t: init.xavier_uniform_(t, 2.0), 40, 300), 2 * math.sqrt(6 / 340))


def test_gains_are_pytorchs():
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    for name in ("linear", "conv1d", "conv2d", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


def test_errors():
    weight = minipar.zeros(3, 2)
    with pytest.raises(ValueError, match="shape \\(3,\\)"):
        init.xavier_uniform_(minipar.zeros(3))
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', not 'fan'"):
        init.kaiming_uniform_(weight, mode="fan")
    with pytest.raises(ValueError, match="not 'gelu2'"):
        init.calculate_gain("gelu2")


def test_init_works_on_parameters_in_a_buffer_and_with_a_generator():
    layer = nn.Linear(3, 4)
    (buffer,) = nn.parameter.flatten(layer.parameters())
    assert init.ones_(layer.weight) is layer.weight
    assert layer.weight.in_buffer()
    assert buffer.data.sum() == pytest.approx(12 + layer.bias.array.sum(), rel=1e-5)
    draws = [init.normal_(minipar.zeros(5), generator=minipar.Generator().manual_seed(4)).tolist() for _ in range(2)]
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda: nn.Linear(50, 200), 50),
        (lambda: nn.Conv2d(8, 60, (3, 4), groups=2), 48),
        (lambda: nn.RNN(30, 50, 2, bidirectional=True), 50),
    ],
    ids=["linear", "conv", "rnn"],
)
def test_layers_start_uniform(make, fan_in):
    minipar.manual_seed(0)
    layer = make()
    for p in layer.parameters():
        assert_uniform(p.detach().numpy(), 1 / math.sqrt(fan_in))


def test_embedding_starts_normal_with_a_zero_row():
    minipar.manual_seed(0)
    weight = nn.Embedding(200, 50, padding_idx=-1).weight.detach().numpy()
    assert (weight[199] == 0).all()
    assert weight[:199].mean() == pytest.approx(0, abs=0.05)
    assert weight[:199].std() == pytest.approx(1, abs=0.04)


def test_same_seed_same_layer_next_layer_other():
    def weights(seed):
        minipar.manual_seed(seed)
        return [nn.Linear(4, 4).weight.tolist() for _ in range(2)]

    assert weights(1) == weights(1)
    assert weights(1)[0] != weights(1)[1]
    assert weights(1)[0] != weights(2)[0]


def test_linear_without_inputs():
    layer = nn.Linear(1, 3)
    assert layer(minipar.zeros(2, 1)).shape == (2, 3)

"""A rank that holds a part of the elements drops what one process would drop there."""

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.backend.random import default_generator, part_of_elements, sharded_samples
from minipar.nn import functional as F
from minipar.ops import dropout as ops
from minipar.parallel.part_dropout import PartDropout
from minipar.parallel.shares import share

LAYERS = {
    "Dropout": (nn.Dropout(0.4), (5, 7, 6, 3)),
    "of sequences": (nn.Dropout(0.4, batch_dim=1), (7, 5, 6)),
    "of no samples": (nn.Dropout(0.4, batch_dim=None), (5, 6)),
    "Dropout1d": (nn.Dropout1d(0.4), (5, 7, 6)),
    "Dropout1d of one": (nn.Dropout1d(0.4), (7, 6)),
    "Dropout2d": (nn.Dropout2d(0.4), (5, 7, 6, 3)),
    "Dropout3d": (nn.Dropout3d(0.4), (2, 7, 3, 6, 3)),
    "AlphaDropout": (nn.AlphaDropout(0.4), (5, 7, 6)),
    "FeatureAlphaDropout": (nn.FeatureAlphaDropout(0.4), (5, 7, 6)),
    "all": (nn.Dropout(1.0), (5, 6)),
    "none": (nn.Dropout(0.0), (5, 6)),
}


def run(layer, x, g):
    """(output, gradient, draws made) from seed 5."""
    minipar.manual_seed(5)
    x = minipar.tensor(x, requires_grad=True)
    y = layer(x)
    y.backward(minipar.tensor(g))
    return y.detach().numpy(), x.grad.numpy(), default_generator().get_state()


@pytest.mark.parametrize("ranks", [1, 2, 4, 9])
@pytest.mark.parametrize("name", LAYERS)
def test_parts_drop_what_the_whole_drops(name, ranks, monkeypatch):
    monkeypatch.setattr(ops, "AT_ONCE", 60)  # so that several pieces are drawn
    layer, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        x, g = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
        whole = run(layer, x, g)
        for dim in range(-len(shape), 0):
            parts = []
            for rank in range(ranks):
                where = [slice(None)] * len(shape)
                where[dim] = own = share(shape[dim], rank, ranks)
                part = PartDropout(layer, dim, own.start, shape[dim])
                parts.append(run(part, x[tuple(where)].copy(), g[tuple(where)].copy()))
            assert {state for _, _, state in parts} == {whole[2]}
            np.testing.assert_array_equal(np.concatenate([y for y, _, _ in parts], dim), whole[0])
            np.testing.assert_array_equal(np.concatenate([dx for _, dx, _ in parts], dim), whole[1])


def test_a_part_of_the_features_of_a_part_of_the_batch():
    x = minipar.ones(6, 8)
    minipar.manual_seed(1)
    whole = nn.Dropout(0.5)(x)
    minipar.manual_seed(1)
    with sharded_samples(2, 3, 6):
        part = PartDropout(nn.Dropout(0.5), -1, 5, 8)(x[2:5, 5:])
    assert minipar.equal(part, whole[2:5, 5:])


def test_attention_of_some_heads():
    q = minipar.randn(2, 5, 4, 3)
    minipar.manual_seed(1)
    whole = F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
    minipar.manual_seed(1)
    with part_of_elements(-3, 3, 5):
        part = F.scaled_dot_product_attention(q[:, 3:], q[:, 3:], q[:, 3:], dropout_p=0.5)
    np.testing.assert_allclose(part.numpy(), whole[:, 3:].numpy(), rtol=1e-6)


def test_eval_mode_draws_nothing():
    state = default_generator().get_state()
    x = minipar.ones(2, 3)
    assert PartDropout(nn.Dropout(0.5), -1, 1, 5).eval()(x) is x
    assert default_generator().get_state() == state


def test_one_dropped_channel_is_dropped_in_every_row():
    layer = PartDropout(nn.Dropout2d(0.5), -2, 1, 5)
    y = layer(minipar.ones(2, 30, 2, 3))
    assert minipar.equal(y, y[:, :, :1, :1].expand(2, 30, 2, 3))
    assert 0 < int((y == 0).sum()) < y.numel()


def test_it_acts_in_place_where_its_layer_does():
    x = minipar.ones(3, 4)
    y = PartDropout(nn.Dropout(0.5, inplace=True), -1, 0, 9)(x)
    assert y is x
    assert set(np.unique(x.numpy())) == {0.0, 2.0}


def test_settings_end_where_they_began():
    with pytest.raises(KeyError), part_of_elements(-1, 0, 3):
        raise KeyError
    minipar.manual_seed(1)
    assert nn.Dropout(0.5)(minipar.ones(2, 7)).shape == (2, 7)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((nn.ReLU(), -1, 0, 3), TypeError, "one of Dropout, .* not ReLU"),
        ((nn.Dropout(), 1, 0, 3), ValueError, "dim must be negative .* not 1"),
        ((nn.Dropout(), -1, 4, 3), ValueError, "within its whole: start=4, total=3"),
        ((nn.Dropout(), -1, -1, 3), ValueError, "within its whole: start=-1"),
    ],
)
def test_what_is_no_part_is_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        PartDropout(*arguments)


@pytest.mark.parametrize("shape", [(2, 3), ()])
def test_an_input_that_does_not_fit_is_refused(shape):
    with pytest.raises(RuntimeError, match="cannot be the part from 1 on of 3"):
        PartDropout(nn.Dropout(), -1, 1, 3)(minipar.ones(shape))

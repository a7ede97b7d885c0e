"""Dropout: what it leaves, that it is drawn for global samples, and that its gradients follow what was drawn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minipar as torch
from minipar import nn, optim, parallel
from minipar.backend.random import sharded_samples, uniform_for_samples
from minipar.nn import functional as F

CHANNELWISE = {F.dropout1d: (3, 4, 50), F.dropout2d: (3, 4, 5, 6), F.dropout3d: (3, 4, 2, 3, 5)}
EVERY = [F.dropout, F.alpha_dropout, F.feature_alpha_dropout, *CHANNELWISE]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_and_the_size_of_the_rest(p):
    torch.manual_seed(0)
    y = F.dropout(torch.full((200, 100), 3.0), p).numpy()
    kept = y != 0
    np.testing.assert_allclose(y[kept], 3 / (1 - p), rtol=1e-6)
    assert abs(kept.mean() - (1 - p)) < 0.01


@pytest.mark.parametrize("function", CHANNELWISE, ids=lambda f: f.__name__)
def test_whole_channels_are_dropped(function):
    y = function(torch.ones(40, *CHANNELWISE[function][1:])).numpy().reshape(40, 4, -1)
    assert (y == y[:, :, :1]).all()
    assert set(np.unique(y)) == {0.0, 2.0}
    assert 0.3 < (y[..., 0] == 0).mean() < 0.7


def test_a_single_sample_has_channels_first():
    for function, shape in ((F.dropout1d, (200, 5)), (F.dropout3d, (200, 2, 2, 2))):
        y = function(torch.ones(shape)).numpy().reshape(200, -1)
        assert (y == y[:, :1]).all()
        assert 0.3 < (y[:, 0] == 0).mean() < 0.7


@pytest.mark.parametrize("function", [F.alpha_dropout, F.feature_alpha_dropout])
def test_alpha_dropout_keeps_mean_and_variance(function):
    torch.manual_seed(1)
    y = function(torch.randn(300, 300), 0.3, training=True).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.02
    a, floor = (0.7 * (1 + 0.3 * 1.7580993408473766**2)) ** -0.5, -1.7580993408473766
    zeros = function(torch.zeros(300, 300), 0.3, training=True).numpy()
    np.testing.assert_allclose(np.unique(zeros), [a * floor * 0.7, -a * floor * 0.3], rtol=1e-6)


@pytest.mark.parametrize("function", EVERY, ids=lambda f: f.__name__)
def test_edges(function):
    x = torch.randn(CHANNELWISE.get(function, (3, 4)))
    assert function(x, 0.5, training=False) is x
    assert function(x, 0.0, training=True) is x
    assert not function(x, 1.0, training=True).numpy().any()
    empty = x[:0]
    assert function(empty, 0.5, training=True).shape == empty.shape
    assert function(x, 1, training=True, inplace=True) is x
    assert not x.numpy().any()


@pytest.mark.parametrize("function", EVERY, ids=lambda f: f.__name__)
def test_gradients_follow_what_was_drawn(function):
    shape = (2, 3, *CHANNELWISE.get(function, (3, 3))[2:])
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def drawn(x):
        torch.manual_seed(5)
        return function(x * x, 0.4, training=True)

    assert torch.autograd.gradcheck(drawn, (x,))
    assert torch.autograd.gradgradcheck(drawn, (x,))


def test_in_place_changes_the_input_and_its_gradient():
    x = torch.ones(50, requires_grad=True)
    y = x * 3
    assert F.dropout(y, inplace=True) is y
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_float32_and_float64_drop_the_same():
    masks = []
    for dtype in (torch.float16, torch.float32, torch.float64):
        torch.manual_seed(2)
        y = F.dropout(torch.ones(9, 9, dtype=dtype))
        assert y.dtype == dtype
        masks.append(y.numpy() != 0)
    assert (masks[0] == masks[1]).all()
    assert (masks[1] == masks[2]).all()


def test_images_of_unexpected_rank_are_warned_of():
    with pytest.warns(UserWarning, match="3-D input"):
        y = F.dropout2d(torch.ones(30, 4, 5))
    assert (y == y[:, :, :1]).all()
    with pytest.warns(UserWarning, match="2-D input"):
        F.dropout2d(torch.ones(3, 4))
    with pytest.warns(UserWarning, match="3-D input"):
        F.dropout3d(torch.ones(3, 4, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F.dropout2d(torch.ones(2, 3, 4, 4))
        F.dropout3d(torch.ones(3, 4, 4, 4))


def test_layers_act_in_training_only():
    for layer in (nn.Dropout(), nn.AlphaDropout(), nn.FeatureAlphaDropout(), nn.Dropout1d()):
        x = torch.ones(10, 20, 3)
        assert (layer(x) != x).any()
        assert layer.eval()(x) is x


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("per_sample", [1, 2])
def test_a_shard_draws_its_rows_of_the_whole(axis, per_sample):
    shape = [2, 3, 4]
    shape[axis] = 7 * per_sample
    torch.manual_seed(0)
    whole = uniform_for_samples(shape, axis)
    for start, count in ((0, 3), (3, 2), (5, 2)):
        shape[axis] = count * per_sample
        torch.manual_seed(0)
        with sharded_samples(start, count, 7):
            part = uniform_for_samples(shape, axis)
        rows = range(start * per_sample, (start + count) * per_sample)
        np.testing.assert_array_equal(part, whole.take(rows, axis))


def test_what_belongs_to_no_sample_is_the_same_on_every_shard():
    drawn = []
    for start in (0, 1):
        torch.manual_seed(0)
        with sharded_samples(start, 1, 3):
            drawn.append(uniform_for_samples((1, 5), None))
    np.testing.assert_array_equal(*drawn)


def test_a_shard_refuses_an_axis_that_does_not_hold_it():
    with sharded_samples(0, 4, 8), pytest.raises(RuntimeError, match=r"axis 0 of shape \(6, 2\).*4 samples.*batch_dim"):
        F.dropout(torch.ones(6, 2))
    F.dropout(torch.ones(6, 2))
    with pytest.raises(ValueError, match="within its batch"), sharded_samples(2, 3, 4):
        pass


def test_shards_nest():
    with sharded_samples(1, 1, 4):
        with sharded_samples(0, 2, 4):
            assert uniform_for_samples((2, 3)).shape == (2, 3)
        with sharded_samples(0, 2, 4), pytest.raises(RuntimeError, match="2 samples"):
            uniform_for_samples((3, 3))
        assert uniform_for_samples((3, 3)).shape == (3, 3)


class Dropping(nn.Module):
    """Dropout of rows, of channels, and along the second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 12), nn.Linear(12, 3)
        self.channels, self.rows = nn.Dropout1d(0.3), nn.Dropout(0.4)
        self.sequence_first = nn.Dropout(0.2, batch_dim=1)

    def forward(self, x):
        h = self.rows(self.first(x).tanh())
        h = self.channels(h.reshape(-1, 4, 3)).reshape(-1, 12)
        steps = self.sequence_first(h.reshape(-1, 3, 4).transpose(0, 1))
        return self.second(steps.transpose(0, 1).reshape(-1, 12))


def train(comm, by_hand: bool):
    """(losses, parameters) after 8 steps, of which some have fewer rows than there are workers."""
    torch.manual_seed(3)
    dp = parallel.DataParallel(Dropping().double(), comm)
    optimizer = optim.SGD(dp.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(8):
        x, y = torch.randn(7 if step % 3 else 1, 5, dtype=torch.float64), torch.randint(3, (7 if step % 3 else 1,))
        if not by_hand:
            losses.append(dp.train_step(lambda net, a, b: F.cross_entropy(net(a), b), optimizer, x, y))
            continue
        optimizer.zero_grad()
        a, b = dp.shard(x, y)
        losses.append(dp.backward(F.cross_entropy(dp(a), b) if len(a) else None))
        optimizer.step()
    return losses, [p.array.copy() for p in dp.parameters()]


@pytest.mark.parametrize("function", EVERY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("nothing", [{"training": False}, {"p": 0.0, "training": True}], ids=str)
def test_in_place_on_a_leaf_is_an_error_only_where_something_is_dropped(function, nothing):
    x = torch.ones(CHANNELWISE.get(function, (2, 3)), requires_grad=True)
    assert (function(x, inplace=True, **nothing) == 1).all()
    with pytest.raises(RuntimeError, match="in place"):
        function(x, training=True, inplace=True)


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("by_hand", [False, True])
def test_dropout_under_data_parallel_is_dropout_in_one_process(workers, by_hand):
    alone = parallel.launch(train, False, workers=1, backend="thread")[0]
    for losses, parameters in parallel.launch(train, by_hand, workers=workers, backend="thread"):
        np.testing.assert_allclose(losses, alone[0], rtol=1e-11)
        for p, q in zip(parameters, alone[1]):
            np.testing.assert_allclose(p, q, rtol=1e-10, atol=1e-12)

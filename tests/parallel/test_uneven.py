"""Shares by measured speed: how they are cut, when they move, and that a slow rank no longer holds up the others.

Where nothing else is said, seconds are told, not measured: these tests are the same every time.
"""

import sys
import time
from dataclasses import replace
from functools import cache

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.uneven import MeasuredShares, RecordedShares, by_largest_remainder

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # ranks need not import pytest


@given(st.integers(0, 500), st.lists(st.floats(0.01, 100.0), min_size=1, max_size=9))
def test_shares_add_up_and_are_within_one_of_what_is_due(total, weights):
    counts = by_largest_remainder(total, weights)
    assert sum(counts) == total
    assert all(abs(count - total * w / sum(weights)) < 1 + 1e-9 for count, w in zip(counts, weights))


class _Alone:
    """A communicator of which this rank hears what it is told here."""

    def __init__(self, told):
        self.told = told

    def all_gather(self, _):
        return np.array(self.told, np.float64)


def _after(told, before, every=1, gain=0.1):
    shares = MeasuredShares(_Alone(told), 0, len(before), every, gain)
    shares._weights = list(before)
    shares.measured(1.0, 1)
    return shares.cut(100)


def test_shares_follow_speed():
    assert _after([(0, 1.0, 50), (1, 3.0, 50)], [1, 1]) == [75, 25]


def test_shares_stay_where_moving_gains_little():
    assert _after([(0, 1.0, 50), (1, 1.1, 50)], [1, 1]) == [50, 50]
    assert _after([(0, 1.0, 50), (1, 1.1, 50)], [1, 1], gain=0.01) == [52, 48]


def test_a_data_rank_is_as_slow_as_its_slowest_member():
    assert _after([(0, 1.0, 50), (0, 3.0, 50), (1, 1.0, 50), (1, 1.0, 50)], [1, 1]) == [25, 75]


def test_who_had_nothing_is_measured_again():
    assert _after([(0, 1.0, 50), (1, 0.0, 0)], [1, 0.001]) == [50, 50]


def _followed(speeds, steps=15, samples=120):
    """What each data rank is dealt, step by step, where `speeds(step)` are their seconds a sample."""
    ranks = _Alone([])
    shares, dealt, seconds = MeasuredShares(ranks, 0, 2), [], np.zeros((2, 2))
    for step in range(steps):
        dealt.append(shares.cut(samples))
        counts = np.array(dealt[-1])
        seconds += np.stack([counts * speeds(step), counts], axis=1)
        ranks.told = [(0, *seconds[0]), (1, *seconds[1])]
        asked = len(shares.record) % 5 == 4
        shares.measured(*seconds[0])
        if asked:
            seconds[:] = 0
    return dealt


def test_shares_follow_a_rank_that_becomes_slow_and_fast_again():
    dealt = _followed(lambda step: (1.0, 3.0 if 5 <= step < 15 else 1.0), steps=25)
    assert dealt == [[60, 60]] * 10 + [[90, 30]] * 10 + [[60, 60]] * 5  # known five steps after it has happened


def test_shares_move_in_part_where_speed_changes_between_two_measurements():
    dealt = _followed(lambda step: (1.0, 3.0 if step >= 8 else 1.0))
    assert dealt[9] == [60, 60]
    assert dealt[10] == [77, 43]  # seconds a sample: 1, and (3·1 + 2·3)/5
    assert _followed(lambda step: (1.0, 3.0 if step >= 8 else 1.0), steps=16)[15] == [90, 30]


@pytest.mark.parametrize("turn", [1, 5, 10])
@pytest.mark.parametrize("slower", [1.0, 3.0])
def test_shares_stay_while_speed_goes_up_and_down_by_less_than_moving_gains(turn, slower):
    dealt = _followed(lambda step: (1.0, slower * (1.1 if step // turn % 2 else 1.0)), steps=60)
    assert dealt[5:] == [dealt[5]] * 55
    assert (dealt[5] == dealt[0]) == (slower == 1.0)


def test_shares_go_back_and_forth_where_speed_does_so_by_more():
    dealt = _followed(lambda step: (1.0, 1.4) if step // 5 % 2 else (1.4, 1.0), steps=20)
    assert dealt == [[60, 60]] * 5 + [[50, 70]] * 5 + [[70, 50]] * 5 + [[50, 70]] * 5


def _model():
    minipar.manual_seed(3)
    layers = [nn.Linear(6, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 4)]
    return nn.Sequential(*layers).double()


class _Slow(nn.Module):
    """Takes as long a sample as it is told."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds * len(x))
        return x


def _train(comm, slow, shares, steps):
    x, y = minipar.tensor(np.random.default_rng(0).normal(size=(40, 6))), minipar.arange(40) % 4
    model = nn.Sequential(_Slow(slow[comm.rank]), *_model())
    net = parallel.parallelize(model, parallel.Mesh(comm, data=comm.size), shares=shares)
    step = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    minipar.manual_seed(7)
    losses = [net.train_step(F.cross_entropy, step, x, y) for _ in range(steps)]
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    return losses, state, net.shares.record if shares != "equal" else None


def test_a_slow_rank_gets_less_and_the_result_stays():
    slow = [0.002, 0.006]  # seconds a sample: one is three times slower (examples/heterogeneous_descent.py: the gain)
    equal = parallel.launch(_train, [0.0, 0.0], "equal", 8, workers=2, backend="thread")
    uneven = parallel.launch(_train, slow, "measured", 8, workers=2, backend="thread")
    weights = uneven[0][2][-1]
    assert weights[0] / weights[1] > 1.5
    np.testing.assert_allclose(uneven[0][0], equal[0][0], rtol=1e-12)
    for name, array in equal[0][1].items():
        np.testing.assert_allclose(uneven[1][1][name], array, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_recorded_shares_give_the_same_bits_again(backend):
    slow, steps = [0.001, 0.004], 12  # measured twice: the first time ranks may be loading kernels, all for as long
    first = parallel.launch(_train, slow, "measured", steps, workers=2, backend=backend)
    again = parallel.launch(_train, [0.0, 0.0], first[0][2], steps, workers=2, backend=backend)
    assert len({tuple(weights) for weights in first[0][2]}) > 1  # shares have moved
    assert again[0][0] == first[0][0]
    assert all(np.array_equal(again[0][1][name], first[0][1][name]) for name in first[0][1])


@pytest.mark.parametrize("shares", ["fast", [], [[1.0]], [[1.0, 2.0], [1.0]]])
def test_shares_that_are_none_are_refused(shares):
    def make(comm):
        with pytest.raises(
            ValueError, match="shares must be 'equal', 'measured', or for each step a list of 2 weights"
        ):
            parallel.parallelize(_model(), parallel.Mesh(comm, data=2), shares=shares)

    parallel.launch(make, workers=2, backend="thread")


def test_a_record_that_ends_goes_on_with_its_last_shares():
    shares = RecordedShares([[1, 3], [1, 1]])
    dealt = []
    for _ in range(3):
        assert shares.cut(8) == shares.cut(8)  # an evaluation in between changes nothing
        dealt.append(shares.cut(8))
        shares.measured(1.0, 8)
    assert dealt == [[2, 6], [4, 4], [4, 4]]


# -- together with what else splits a batch ----------------------------------------------------------------------------

LAYOUTS = [
    "data=2,microbatches=4",
    "data=3,zero=2,microbatches=2",
    "data=2,tensor=2,microbatches=3",
    "data=2,pipeline=2,microbatches=3",
    "data=2,pipeline=2,microbatches=4,schedule=zb-h1",
    "data=2,pipeline=2,microbatches=2,schedule=interleaved,chunks=2",
]
SIZES, STEPS = (13, 4), 17


def _batches():
    draw = np.random.default_rng(0)
    return [(minipar.tensor(draw.normal(size=(n, 6))), minipar.tensor(draw.integers(0, 4, n))) for n in SIZES]


def _steps(net, train_step):
    """(losses, outputs in eval mode every five steps) of training on batches of two sizes."""
    minipar.manual_seed(7)
    losses, outputs, batches = [], [], _batches()
    for number in range(STEPS):
        losses.append(train_step(*batches[number % 2]))
        if number % 5 == 0:
            net.eval()
            outputs.append(net(batches[0][0]).detach().numpy())
            net.train()
    return losses, outputs


@cache
def _in_one_process():
    whole = _model()
    step = optim.SGD(whole.parameters(), lr=0.1, momentum=0.9)

    def train_step(x, y):
        step.zero_grad()
        loss = F.cross_entropy(whole(x), y)
        loss.backward()
        step.step()
        return loss.item()

    losses, outputs = _steps(whole, train_step)
    return losses, outputs, {name: tensor.numpy() for name, tensor in whole.state_dict().items()}


def _split(comm, layout, shares):
    """What one process has, and how the larger batch was dealt out before every step; with the shares' record."""
    net = replace(parallel.Layout.parse(layout), shares=shares).parallelize(_model(), comm)
    step, dealt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9), []
    first_of_1 = net.mesh.data.rank == 1 and net.mesh.pipeline.rank == 0
    measured = net.shares.measured

    def told(_, samples):
        """Between steps 5 and 10, one rank takes eight times as long as all others."""
        dealt.append(net.shares.cut(SIZES[0]))
        measured(samples * (8.0 if first_of_1 and 5 < len(dealt) <= 10 else 1.0), samples)

    net.shares.measured = told
    losses, outputs = _steps(net, lambda x, y: net.train_step(F.cross_entropy, step, x, y))
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    return losses, outputs, state, dealt, net.shares.record


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shares_that_move_change_nothing_in_the_result(layout):
    ranks = parallel.Layout.parse(layout).ranks
    runs = parallel.launch(_split, layout, "measured", workers=ranks, backend="thread")
    losses, outputs, state = _in_one_process()
    for run in runs:
        np.testing.assert_allclose(run[0], losses, rtol=1e-10)
        np.testing.assert_allclose(run[1], outputs, rtol=1e-10, atol=1e-12)
        for name, array in state.items():
            np.testing.assert_allclose(run[2][name], array, rtol=1e-10, atol=1e-12)
    dealt = runs[0][3]
    assert all(run[3] == dealt for run in runs)
    equal, (slow, *_) = dealt[0], dealt[10:]
    assert dealt == [equal] * 10 + [slow] * 5 + [equal] * 2
    assert slow[1] <= 2 < equal[1]
    again = parallel.launch(_split, layout, runs[0][4], workers=ranks, backend="thread")
    assert again[0][0] == runs[0][0]
    assert all(np.array_equal(again[0][2][name], runs[0][2][name]) for name in state)

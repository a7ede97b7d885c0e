"""Shares by measured speed: how they are cut, when they move, and that a slow rank no longer holds up the others."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.uneven import MeasuredShares, RecordedShares, by_largest_remainder


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


def _model():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 4)).double()


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


def test_recorded_shares_give_the_same_bits_again():
    slow = [0.0002, 0.0008]
    first = parallel.launch(_train, slow, "measured", 8, workers=2, backend="thread")
    again = parallel.launch(_train, [0.0, 0.0], first[0][2], 8, workers=2, backend="thread")
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

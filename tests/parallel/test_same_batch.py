"""Ranks that are to pass one batch and pass several are told, with the first step."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.functional import own_part
from minipar.parallel.same_batch import fingerprint

DATA = np.random.default_rng(4)
X, Y = minipar.tensor(DATA.normal(size=(8, 6))), minipar.tensor(DATA.integers(0, 4, 8))
IMAGES = minipar.tensor(DATA.random((2, 1, 8, 5)))


def mlp():
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()


def refused(comm, layout, batch_of, says, sharded=False, model=mlp, loss_fn=F.cross_entropy):
    """Every rank raises, and has neither stepped nor kept a gradient; then it trains with what is right."""
    net = parallel.Layout.parse(layout).parallelize(model(), comm)
    step = optim.SGD(net.parameters(), lr=0.1)
    before = {name: p.numpy() for name, p in net.state_dict().items()}
    with pytest.raises(ValueError, match=says):
        net.train_step(loss_fn, step, *batch_of(comm), sharded=sharded)
    assert all(p.grad is None for p in net.parameters())
    for name, p in net.state_dict().items():
        np.testing.assert_array_equal(p.numpy(), before[name])


@pytest.mark.parametrize(
    "layout", ["data=2", "tensor=2", "pipeline=2,microbatches=2", "data=2,zero=2", "data=2,virtual_shards=2"]
)
@pytest.mark.parametrize("what", ["input", "targets"])
def test_ranks_that_pass_samples_of_their_own(layout, what):
    def batch_of(comm):
        rows = slice(4 * comm.rank, 4 * comm.rank + 4)
        return (X[rows], Y[:4]) if what == "input" else (X[:4], Y[rows])

    says = "rank 1 passes another batch than rank 0: .*sharded=True"
    parallel.launch(refused, layout, batch_of, says, workers=2, backend="thread")


def test_ranks_that_pass_their_own_rows_of_images():
    def model():
        return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()

    def batch_of(comm):
        return own_part(IMAGES, comm, -2), Y[:2] % 2

    says = r"rank 1 passes another batch than rank 0: .*\(whole images, too\)"
    parallel.launch(refused, "space=2", batch_of, says, model=model, workers=2, backend="thread")


def test_ranks_that_share_samples_of_their_own():
    def batch_of(comm):
        rows = slice(2 * comm.rank, 2 * comm.rank + 2)  # right by data rank alone
        return X[rows], Y[rows]

    says = "rank 1 passes another batch than rank 0: ranks with one number in mesh.data"
    parallel.launch(refused, "data=2,tensor=2", batch_of, says, sharded=True, workers=4, backend="thread")


def test_what_is_right_passes():
    def train(comm, layout, sharded):
        net = parallel.Layout.parse(layout).parallelize(mlp(), comm)
        rows = slice(4 * net.mesh.data.rank, 4 * net.mesh.data.rank + 4) if sharded else slice(None)
        noise = 1.0 + 1e-12 * comm.rank  # as another host would compute it
        return net.loss_and_gradients(F.cross_entropy, X[rows] * noise, Y[rows], sharded=sharded)

    for layout, sharded in (("data=2,tensor=2", True), ("data=2,pipeline=2", False)):
        losses = parallel.launch(train, layout, sharded, workers=4, backend="thread")
        assert losses == [losses[0]] * 4


def test_fingerprints():
    assert fingerprint([X, Y]) == fingerprint([X.clone(), Y.clone()])
    assert fingerprint([minipar.empty(0, 3)]) == fingerprint([minipar.zeros(5)]) == 0.0
    assert abs(fingerprint([X]) - fingerprint([X * (1 + 1e-9)])) < 1e-8
    assert np.isnan(fingerprint([X * float("nan")]))
    seen = [fingerprint([minipar.tensor(DATA.random((5, 30)))]) for _ in range(200)]
    assert np.diff(np.sort(seen)).min() > 1e-7
    assert np.ptp(seen) > 0.1
    assert -1 <= min(seen) <= max(seen) <= 1

"""The parameter server: staleness 0 is one process's run, no bound is ever exceeded, and nobody hangs."""

import math
import os
import threading
import time

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F

ROWS = 13  # not the same for every worker


def _model():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3)).double()


def _batches(steps=8):
    draw = np.random.default_rng(0)
    made = [(draw.normal(size=(ROWS, 5)), draw.integers(0, 3, ROWS)) for _ in range(steps)]
    return [(minipar.tensor(x), minipar.tensor(y)) for x, y in made]


def _state(model):
    return np.concatenate([p.numpy().reshape(-1) for p in model.state_dict().values()])


def mean_loss(net, x, y):
    return F.cross_entropy(net(x), y)


def weighted_loss(net, x, y):
    return F.cross_entropy(net(x), y, minipar.tensor([0.2, 1.0, 3.0], dtype=x.dtype), ignore_index=2)


def summed_loss(net, x, y):
    return F.cross_entropy(net(x), y, reduction="sum")


def pair_loss(net, x, y):
    losses = F.cross_entropy(net(x), y, reduction="none")
    return losses.sum(), len(y)


def _optimizer(parameters):
    return optim.Adam(parameters, lr=0.05)


def _serve(comm, loss_fn, staleness, make_optimizer=_optimizer, seconds=(), steps=None):
    """(parameters in the end, leads, seconds of this rank, its losses); worker r sleeps `seconds[r]` a step."""
    model = _model()
    shared = parallel.ParameterServer(model, comm, staleness)
    minipar.manual_seed(7)
    start, losses = time.perf_counter(), []
    if comm.rank == 0:
        shared.serve(make_optimizer(model.parameters()))
    else:
        batches = _batches()
        for x, y in batches[: steps[comm.rank]] if steps else batches:
            time.sleep(seconds[comm.rank] if seconds else 0)
            losses.append(shared.train_step(loss_fn, x, y))
    spent = time.perf_counter() - start
    if comm.rank:
        shared.finish()
    return _state(model), shared.leads, spent, losses


def _alone(loss_fn):
    model = _model()
    optimizer = _optimizer(model.parameters())
    minipar.manual_seed(7)
    for x, y in _batches():
        optimizer.zero_grad()
        made = loss_fn(model, x, y)
        (made[0] / made[1] if isinstance(made, tuple) else made).backward()
        optimizer.step()
    return _state(model)


@pytest.mark.parametrize("loss_fn", [mean_loss, weighted_loss, summed_loss, pair_loss])
@pytest.mark.parametrize("workers", [2, 3, 4])
def test_staleness_0_is_one_process(loss_fn, workers):
    ranks = parallel.launch(_serve, loss_fn, 0, workers=workers, backend="thread")
    for state, _, _, _ in ranks:
        np.testing.assert_allclose(state, _alone(loss_fn), rtol=1e-10, atol=1e-12)
    assert set(ranks[0][1]) == {0}


def test_staleness_0_is_the_same_bits_every_time_on_processes_too():
    slow = (0, 0.002, 0, 0.001)
    first = parallel.launch(_serve, mean_loss, 0, _optimizer, slow, workers=4, backend="thread")[0]
    again = parallel.launch(_serve, mean_loss, 0, workers=4, backend="process")
    assert all(np.array_equal(state, first[0]) for state, _, _, _ in again)


@pytest.mark.parametrize("staleness", [1, 2, 4])
def test_the_bound_is_reached_and_never_exceeded(staleness):
    ranks = parallel.launch(_serve, mean_loss, staleness, _optimizer, (0, 0.03, 0, 0), workers=4, backend="thread")
    assert max(ranks[0][1]) == staleness
    assert len(ranks[0][1]) == 3 * len(_batches()), "every push has an answer"
    assert all(np.array_equal(state, ranks[0][0]) for state, _, _, _ in ranks)


def test_a_fast_worker_waits_for_a_slow_one_at_the_bound_alone():
    slow = (0, 0.05, 0)
    fast, steps = 2, len(_batches())
    seconds = {}
    for staleness in (0, steps // 2, math.inf):
        ranks = parallel.launch(_serve, mean_loss, staleness, _optimizer, slow, workers=3, backend="thread")
        seconds[staleness] = ranks[fast][2]
    assert seconds[0] >= 0.05 * steps
    assert 0.05 * (steps - steps // 2 - 1) <= seconds[steps // 2] < 0.05 * (steps - 1)
    assert seconds[math.inf] < 0.05 * (steps // 2)


def test_stale_gradients_still_train():
    ranks = parallel.launch(_serve, mean_loss, 3, _optimizer, (0, 0.005, 0), workers=3, backend="thread")
    for _, _, _, losses in ranks[1:]:
        assert len(losses) == len(_batches())
        assert np.all(np.isfinite(losses))
    assert not np.allclose(ranks[0][0], _alone(mean_loss), rtol=1e-6), "this run is expected to differ"


def test_half_of_the_gradients_make_half_a_step():
    """Worker 1 is answered, at staleness 1, by half a step, with its gradient alone."""
    answered = threading.Event()

    def train(comm):
        model = nn.Linear(1, 1, bias=False).double()
        model.weight.data = minipar.zeros(1, 1, dtype=minipar.float64)
        shared = parallel.ParameterServer(model, comm, staleness=1)
        if comm.rank == 0:
            shared.serve(optim.SGD(model.parameters(), lr=1.0))
            return None
        if comm.rank == 2:
            answered.wait(10)
        shared.train_step(lambda net, x: (net(x).sum(), len(x)), minipar.ones(6, 1).double())
        seen = model.weight.item()
        answered.set()
        shared.finish()
        return seen, model.weight.item()

    _, first, second = parallel.launch(train, workers=3, backend="thread")
    assert first == (-0.5, -1.0)
    assert second == (-1.0, -1.0)


def test_a_worker_may_end_before_the_others():
    ranks = parallel.launch(_serve, mean_loss, 0, _optimizer, (), {1: 2, 2: 8, 3: 5}, workers=4, backend="thread")
    assert [len(losses) for _, _, _, losses in ranks] == [0, 2, 8, 5]
    assert all(np.array_equal(state, ranks[0][0]) for state, _, _, _ in ranks)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dying", "staleness"), [(0, 0), (1, math.inf)])
def test_a_rank_that_dies_ends_all(dying, staleness):
    def train(comm):
        model = _model()
        shared = parallel.ParameterServer(model, comm, staleness)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        if comm.rank == dying == 0:
            optimizer.step = lambda: os._exit(3)
        if comm.rank == 0:
            shared.serve(optimizer)
        for i, (x, y) in enumerate(_batches() * 100):
            if i == 3 and comm.rank == dying:
                os._exit(3)
            shared.train_step(mean_loss, x, y)
            time.sleep(0.01)

    start = time.perf_counter()
    with pytest.raises(parallel.WorkerError, match=f"rank {dying} .*died|rank {dying} exited"):
        parallel.launch(train, workers=3, backend="process", timeout=30)
    assert time.perf_counter() - start < 20


def test_workers_of_which_nothing_is_heard_are_named():
    def train(comm):
        shared = parallel.ParameterServer(_model(), comm)
        if comm.rank == 0:
            shared.serve(optim.SGD(shared.module.parameters(), lr=0.1))
        else:
            time.sleep(1.0)

    with pytest.raises(parallel.WorkerError, match=r"has heard nothing of its workers, ranks 1, 2, for 0\.3 s"):
        parallel.launch(train, workers=3, backend="thread", timeout=0.3)


def test_roles_are_not_mixed():
    def train(comm):
        shared = parallel.ParameterServer(_model(), comm)
        x, y = _batches()[0]
        if comm.rank:
            with pytest.raises(RuntimeError, match="rank 1 is a worker: serve"):
                shared.serve(None)
            with pytest.raises(ValueError, match="a batch of 0 rows for 1 workers"):
                shared.train_step(mean_loss, x[:0], y[:0])
            shared.finish()
        else:
            with pytest.raises(RuntimeError, match="rank 0 serves"):
                shared.train_step(mean_loss, x, y)
            with pytest.raises(RuntimeError, match="rank 0 serves"):
                shared.finish()
            shared.serve(None)

    parallel.launch(train, workers=2, backend="thread")


def test_bad_arguments_are_refused():
    def make(comm):
        with pytest.raises(ValueError, match="at least 2 ranks" if comm.size == 1 else "staleness=-1 must be"):
            parallel.ParameterServer(_model(), comm, staleness=-1)

    parallel.launch(make, workers=1, backend="thread")
    parallel.launch(make, workers=2, backend="thread")

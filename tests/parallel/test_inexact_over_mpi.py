"""What gives up exactness gives up the same over MPI as over processes: the same bits, and ranks that are as equal."""

import sys

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.inexact.compression import TopKExchange
from minipar.parallel.shares import share

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # ranks need not import pytest

STEPS = 10


def _model():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3))


def _batches(rows):
    draw = np.random.default_rng(0)
    for _ in range(STEPS):
        x, y = draw.normal(size=(rows, 5)).astype(np.float32), draw.integers(0, 3, rows)
        yield minipar.tensor(x), minipar.tensor(y)


def _state(model):
    return np.concatenate([p.numpy().reshape(-1) for p in model.state_dict().values()])


def _mean_loss(net, x, y):
    return F.cross_entropy(net(x), y)


def compressed(comm, compress):
    """Parameters after every step, of batches that are dealt out unevenly; and what top-k has not sent."""
    net = parallel.parallelize(_model(), parallel.Mesh(comm, data=comm.size), compress=compress, bucket=200)
    step, seen = optim.SGD(net.parameters(), lr=0.3, momentum=0.9), []
    minipar.manual_seed(7)
    for x, y in _batches(13):
        net.train_step(F.cross_entropy, step, x, y)
        seen.append(_state(net))
    exchange = net._exchange
    kept = list(exchange.residuals.values()) if isinstance(exchange, TopKExchange) else [np.zeros(1, np.float32)]
    return np.array(seen), np.concatenate([array.reshape(-1) for array in kept])


def averaged(comm, period, warmup_steps):
    """Local SGD: parameters after every step."""
    model, seen = _model(), []
    step = optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    averager = parallel.PeriodicModelAverager(period, warmup_steps, process_group=comm)
    minipar.manual_seed(comm.rank)
    for x, y in _batches(12):
        rows = share(12, comm.rank, comm.size)
        step.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        step.step()
        averager.average_parameters(model.parameters())
        seen.append(_state(model))
    return np.array(seen), np.zeros(0)


def served(comm, staleness):
    """A parameter server and one worker, whose every step waits for an answer whatever the staleness."""
    model = _model()
    shared, losses = parallel.ParameterServer(model, comm, staleness), []
    minipar.manual_seed(7)
    if comm.rank == 0:
        shared.serve(optim.Adam(model.parameters(), lr=0.05))
    else:
        losses = [shared.train_step(_mean_loss, x, y) for x, y in _batches(13)]
        shared.finish()
    return _state(model)[None], np.array(shared.leads or losses)


RUNS = {
    "no compression": (compressed, None),
    "fp16": (compressed, "fp16"),
    "topk": (compressed, "topk:0.1"),
    "all of topk": (compressed, "topk:1"),
    "average of every step": (averaged, 1, 0),
    "local SGD": (averaged, 4, 0),
    "local SGD after a warm-up": (averaged, 3, 5),
    "server": (served, 0),
    "server, stale": (served, 2),
}


def _all(comm):
    return {name: fn(comm, *args) for name, (fn, *args) in RUNS.items()}


@pytest.fixture(scope="module")
def ranks():
    """By name of a run and backend: what two ranks have."""
    pytest.importorskip("mpi4py", reason='needs MPI: pip install "minipar[mpi]"')
    of_ranks = {
        backend: parallel.launch(_all, workers=2, backend=backend, timeout=60) for backend in ("process", "mpi")
    }
    return {name: {backend: [made[name] for made in of_ranks[backend]] for backend in of_ranks} for name in RUNS}


@pytest.mark.parametrize("name", RUNS)
def test_mpi_gives_the_bits_of_processes(ranks, name):
    for over_mpi, over_processes in zip(ranks[name]["mpi"], ranks[name]["process"], strict=True):
        for got, expected in zip(over_mpi, over_processes, strict=True):
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["fp16", "topk"])
def test_compression_stays_near_and_ranks_equal(ranks, name):
    (first, kept), (second, other_kept) = ranks[name]["mpi"]
    exact = ranks["no compression"]["mpi"][0][0]
    assert np.array_equal(first, second)
    assert 0 < np.abs(first - exact).max() < (1e-3 if name == "fp16" else 0.5)
    if name == "topk":
        assert kept.any()
        assert other_kept.any()
        assert not np.array_equal(kept, other_kept), "what is too small waits on the rank that has it"


def test_all_of_topk_is_exact(ranks):
    assert np.array_equal(ranks["all of topk"]["mpi"][0][0], ranks["no compression"]["mpi"][0][0])


@pytest.mark.parametrize(
    ("name", "together"),
    [
        ("average of every step", list(range(STEPS))),
        ("local SGD", [0, 4, 8]),
        ("local SGD after a warm-up", [5, 8]),
    ],
)
def test_models_are_averaged_when_they_should_be(ranks, name, together):
    (first, _), (second, _) = ranks[name]["mpi"]
    assert [step for step in range(STEPS) if np.array_equal(first[step], second[step])] == together


@pytest.mark.parametrize("name", ["server", "server, stale"])
def test_a_server_with_one_worker_is_one_process(ranks, name):
    model = _model()
    step = optim.Adam(model.parameters(), lr=0.05)
    minipar.manual_seed(7)
    losses = []
    for x, y in _batches(13):
        step.zero_grad()
        loss = _mean_loss(model, x, y)
        loss.backward()
        step.step()
        losses.append(loss.item())
    (server, leads), (worker, told) = ranks[name]["mpi"]
    assert np.array_equal(server, worker)
    np.testing.assert_allclose(server[0], _state(model), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(told, losses, rtol=1e-5)
    assert leads.tolist() == [0] * STEPS

"""Local SGD: where the mean of models is data parallelism, when it is taken, and that it brings the ranks together."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.shares import share

ROWS = 24  # equal shares for 2, 3 and 4 ranks


def _model():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def _batches(steps):
    draw = np.random.default_rng(0)
    for _ in range(steps):
        yield minipar.tensor(draw.normal(size=(ROWS, 5))), minipar.tensor(draw.integers(0, 3, ROWS))


def _state(model):
    return np.concatenate([p.numpy().reshape(-1) for p in model.state_dict().values()])


def _local(comm, options, period, warmup_steps=0, steps=12):
    """The parameters after every step."""
    model, seen = _model(), []
    optimizer = optim.SGD(model.parameters(), **options)
    averager = parallel.PeriodicModelAverager(period, warmup_steps, process_group=comm)
    for x, y in _batches(steps):
        rows = share(ROWS, comm.rank, comm.size)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
        averager.average_parameters(model.parameters())
        seen.append(_state(model))
    return np.array(seen)


def _exact(comm, options, steps=12):
    net = parallel.parallelize(_model(), parallel.Mesh(comm, data=comm.size))
    optimizer = optim.SGD(net.parameters(), **options)
    for x, y in _batches(steps):
        net.train_step(F.cross_entropy, optimizer, x, y)
    return _state(net)


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("options", [{"lr": 0.3}, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}], ids=str)
def test_a_mean_after_every_step_is_data_parallelism(workers, options):
    exact = parallel.launch(_exact, options, workers=workers, backend="thread")[0]
    for seen in parallel.launch(_local, options, 1, workers=workers, backend="thread"):
        np.testing.assert_allclose(seen[-1], exact, rtol=1e-12, atol=1e-13)


def test_a_longer_period_is_further_away():
    exact = parallel.launch(_exact, {"lr": 0.3}, workers=2, backend="thread")[0]
    distances = []
    for period in (1, 2, 4):
        seen = parallel.launch(_local, {"lr": 0.3}, period, period - 1, workers=2, backend="thread")[0]
        distances.append(np.abs(seen[-1] - exact).max())
    assert distances[0] < 1e-12 < distances[1] < distances[2]


@pytest.mark.parametrize(
    ("period", "warmup_steps", "together"), [(4, 0, [0, 4, 8]), (3, 5, [5, 8, 11]), (1, 10, [10, 11])]
)
def test_means_are_taken_every_period_after_the_warm_up(period, warmup_steps, together):
    first, second = parallel.launch(_local, {"lr": 0.3}, period, warmup_steps, workers=2, backend="thread")
    assert [step for step in range(12) if np.array_equal(first[step], second[step])] == together


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_the_same_mean_everywhere(backend):
    def meet(comm):
        parameters = [nn.Parameter(minipar.full((2,), 1.0 + comm.rank)), nn.Parameter(minipar.tensor(comm.rank / 3))]
        parallel.average_parameters(iter(parameters), comm)
        return [p.tolist() for p in parameters]

    first, second = parallel.launch(meet, workers=2, backend=backend)
    assert first == second
    assert first[0] == [1.5, 1.5]


def test_a_change_in_place_is_noted():
    def meet(comm):
        weight = nn.Parameter(minipar.ones(2))
        loss = (weight * weight).sum()
        parallel.average_parameters([weight], comm)
        with pytest.raises(RuntimeError, match="average"):
            loss.backward()

    parallel.launch(meet, workers=2, backend="thread")


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="period=0: it takes at least 1 step"):
        parallel.PeriodicModelAverager(0)
    with pytest.raises(ValueError, match="warmup_steps=-1 must not be negative"):
        parallel.PeriodicModelAverager(1, -1)
    with pytest.raises(TypeError, match="process_group must be a Communicator or None, not int"):
        parallel.average_parameters([], 3)

"""Models and schedules that are rare, and must train, infer and be saved as the others."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.pipeline import Backward, Forward, Schedule, check


class Scale(nn.Module):
    """Its parameter is a number: an array without axes."""

    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(minipar.tensor(1.5, dtype=minipar.float64))

    def forward(self, x):
        return x * self.by


def scaled():
    minipar.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), Scale(), nn.Tanh(), nn.Linear(4, 2)).double()


X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.random.default_rng(1).normal(size=(5, 2))


def steps_and_states(net, optimizer, count):
    x, y = minipar.tensor(X), minipar.tensor(Y)
    losses = [net.train_step(F.mse_loss, optimizer, x, y) for _ in range(count)]
    return losses, net.state_dict(), net.optimizer_state_dict(optimizer)


def saved(comm, **options):
    """After two steps; what is saved is plain arrays."""
    net = parallel.parallelize(scaled(), parallel.Mesh(comm, data=comm.size), **options)
    return arrays(steps_and_states(net, optim.Adam(net.parameters(), lr=0.1), 2))


def loaded(comm, model, state, **options):
    """Two more steps, from there."""
    net = parallel.parallelize(scaled(), parallel.Mesh(comm, data=comm.size), **options)
    optimizer = optim.Adam(net.parameters(), lr=0.5)
    net.load_state_dict(tensors(model))
    net.load_optimizer_state_dict(optimizer, tensors(state))
    return arrays(steps_and_states(net, optimizer, 2))


def arrays(found):
    if isinstance(found, minipar.Tensor):
        return np.array(found.numpy())
    if isinstance(found, dict):
        return {key: arrays(value) for key, value in found.items()}
    return type(found)(map(arrays, found)) if isinstance(found, list | tuple) else found


def tensors(found):
    if isinstance(found, np.ndarray):
        return minipar.tensor(found)
    if isinstance(found, dict):
        return {key: tensors(value) for key, value in found.items()}
    return list(map(tensors, found)) if isinstance(found, list) else found


def close(found, expected):
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            close(found[key], value)
    elif isinstance(expected, np.ndarray):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
    elif isinstance(expected, list | tuple):
        for a, b in zip(found, expected, strict=True):
            close(a, b)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12)
    else:
        assert found == expected


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_a_parameter_that_is_a_number_is_sharded_and_saved_as_one(zero):
    alone = parallel.launch(saved, workers=1, backend="thread")[0]
    sharded = parallel.launch(saved, zero=zero, workers=3, backend="thread")
    for of_rank in sharded:
        close(of_rank, alone)
    _, model, state = alone
    on = parallel.launch(loaded, model, state, workers=1, backend="thread")[0]
    for of_rank in parallel.launch(loaded, model, state, zero=zero, workers=2, backend="thread"):
        close(of_rank, on)
    _, model, state = sharded[0]
    close(parallel.launch(loaded, model, state, workers=1, backend="thread")[0], on)


def test_outputs_stand_in_the_order_of_samples_whatever_the_schedule():
    def work(comm):
        schedule = check(Schedule.of([[Forward(0, 1), Forward(0, 0), Backward(0, 0), Backward(0, 1)]], "last first"))
        net = parallel.parallelize(scaled(), parallel.Mesh(comm), schedule=schedule)
        return net(minipar.tensor(X)).numpy()

    (outputs,) = parallel.launch(work, workers=1, backend="thread")
    with minipar.no_grad():
        np.testing.assert_allclose(outputs, scaled()(minipar.tensor(X)).numpy(), rtol=1e-12)


def test_names_in_an_optimizer_are_those_of_all_and_stay_each_ranks_own():
    def work(comm):
        net = parallel.parallelize(scaled(), parallel.Mesh(comm, pipeline=2))
        optimizer = optim.Adam(net.named_parameters(), lr=0.1)
        net.train_step(F.mse_loss, optimizer, minipar.tensor(X), minipar.tensor(Y))
        saved = comm.broadcast_object(net.optimizer_state_dict(optimizer), root=0)
        other = optim.Adam(net.named_parameters(), lr=0.2)
        net.load_optimizer_state_dict(other, saved)
        assert other.param_groups[0]["lr"] == 0.1
        assert other.param_groups[0]["param_names"] == [name for name, _ in net.named_parameters()]
        return saved["param_groups"][0]

    names = [name for name, _ in scaled().named_parameters()]
    for group in parallel.launch(work, workers=2, backend="thread"):
        assert (group["params"], group["param_names"]) == (list(range(5)), names)

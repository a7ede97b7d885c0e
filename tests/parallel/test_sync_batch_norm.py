"""SyncBatchNorm against the batch norm of one process that sees the whole batch."""

from __future__ import annotations

import numpy as np
import pytest

import minipar as torch
from minipar import nn, optim, parallel
from minipar.backend.random import sharded_samples
from minipar.nn import functional as F
from minipar.parallel import SyncBatchNorm
from minipar.parallel.equality import TOLERANCE, compare_gradients, compare_parameters, first_difference
from minipar.parallel.shares import share

BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
STATE = ("running_mean", "running_var", "num_batches_tracked")


def in_a_group(comm, members):
    """The ranks 1 … members in a communicator of their own, in which rank 0 is not the global one; None elsewhere."""
    return comm.split(0 if 1 <= comm.rank <= members else None)


def compare(comm, members, shape, dtype, options, evaluate):
    group = in_a_group(comm, members)
    if group is None:
        return None
    torch.manual_seed(0)
    # The mean is large beside the deviation: a variance as E x² − (E x)² would lose every digit in float32.
    x, g = (torch.randn(*shape) * 0.5 + 300).to(dtype), torch.randn(*shape).to(dtype)
    serial = BATCH_NORMS[len(shape)](shape[1], **options).to(dtype)
    split = SyncBatchNorm(shape[1], process_group=group, **options).to(dtype)
    for p in serial.parameters():
        nn.init.normal_(p)
    split.load_state_dict(serial.state_dict())
    rows = share(shape[0], group.rank, group.size)
    errors = {}
    for step in range(3):
        if evaluate and step == 2:
            serial.eval(), split.eval()
        whole, part = x.clone().requires_grad_(), x[rows].clone().requires_grad_()
        y, own = serial(whole), split(part)
        y.backward(g)
        own.backward(g[rows])
        errors[f"y {step}"] = distance(own, y.detach()[rows])
        errors[f"dx {step}"] = distance(part.grad, whole.grad[rows])
    for (name, p), q in zip(serial.named_parameters(), split.parameters()):
        errors[name] = np.abs(group.all_reduce(q.grad.numpy().copy()) / p.grad.numpy() - 1).max()
    for name in STATE if options.get("track_running_stats", True) else ():
        errors[name] = distance(getattr(split, name), getattr(serial, name))
    return errors


def distance(a, b):
    return np.abs(a.detach().numpy() - b.detach().numpy()).max(initial=0)


OPTIONS = {
    "default": {},
    "average": {"momentum": None},
    "untracked": {"track_running_stats": False},
    "bare": {"affine": False, "eps": 1e-3},
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("members", "shape", "option", "evaluate"),
    [
        (2, (7, 3, 5, 4), "default", False),
        (3, (7, 3), "average", True),
        (4, (5, 2, 6), "untracked", True),
        (3, (6, 2, 3, 2, 2), "bare", False),
        (4, (3, 2, 4, 4), "default", True),  # rank 3 has no samples
        (3, (2, 2), "default", False),  # one sample each, and none
    ],
)
def test_ranks_together_are_one_batch_norm(members, shape, option, evaluate, dtype):
    args = (members, shape, getattr(torch, dtype), OPTIONS[option], evaluate)
    results = parallel.launch(compare, *args, workers=members + 1, backend="thread")
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for errors in results[1:]:
        assert {name: error for name, error in errors.items() if not error <= tolerance * 100 ** (name[0] == "d")} == {}


def cnn(norm):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        norm(4),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(4, 3, 2), norm(3)),
        nn.Flatten(),
        nn.Linear(12, 2),
    )


def train(comm, dtype):
    torch.manual_seed(5)
    net = SyncBatchNorm.convert_sync_batchnorm(cnn(nn.BatchNorm2d), comm).to(getattr(torch, dtype))
    start = {name: p.array.copy() for name, p in net.named_parameters()}
    dp = parallel.DataParallel(net, comm)
    optimizer = optim.SGD(dp.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(20):
        x, y = torch.randn(7, 2, 5, 5).to(net[0].weight.dtype), torch.randint(0, 2, (7,))
        losses.append(dp.train_step(lambda net, a, b: F.cross_entropy(net(a), b), optimizer, x, y))
        if step == 0:
            first = {name: p.grad.array.copy() for name, p in net.named_parameters()}
    return losses, start, first, {name: v.numpy() for name, v in net.state_dict().items()}


# The biases before a norm have a gradient of zero, and stay where they started.
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("workers", "backend"), [(2, "thread"), (3, "thread"), (4, "thread"), (2, "process")])
def test_training_is_that_of_one_process(workers, backend, dtype):
    alone_losses, start, alone_first, alone = parallel.launch(train, dtype, workers=1, backend="thread")[0]
    tolerance = TOLERANCE[np.dtype(dtype)]
    for losses, _, first, state in parallel.launch(train, dtype, workers=workers, backend=backend):
        np.testing.assert_allclose(losses, alone_losses, rtol=tolerance)
        assert first_difference(compare_gradients(first, alone_first), tolerance) is None
        moved = {name: value for name, value in state.items() if name in start}
        assert first_difference(
            compare_parameters(moved, {n: alone[n] for n in start}, start, lr=0.05), tolerance
        ) is None  # fmt: skip
        for name in state.keys() - start.keys():
            np.testing.assert_allclose(state[name], alone[name], rtol=10 * tolerance, err_msg=name)


def test_what_is_converted_keeps_its_state():
    net = cnn(nn.BatchNorm2d)
    names, parameters = list(net.state_dict()), list(net.parameters())
    made = SyncBatchNorm.convert_sync_batchnorm(net.eval())
    assert made is net
    assert [type(made[1]), type(made[3][1])] == [SyncBatchNorm] * 2
    assert list(made.state_dict()) == names
    assert all(p is q for p, q in zip(made.parameters(), parameters))
    assert not made[1].training
    alone = nn.BatchNorm1d(3, eps=1e-2, momentum=0.3)
    converted = SyncBatchNorm.convert_sync_batchnorm(alone)
    assert converted.weight is alone.weight
    assert converted.running_var is alone.running_var
    assert (converted.eps, converted.momentum) == (1e-2, 0.3)
    bare = SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm1d(3, bias=False, track_running_stats=False))
    assert bare.bias is None
    assert bare.running_mean is None
    assert SyncBatchNorm.convert_sync_batchnorm(converted) is converted


def test_one_rank_alone_is_a_plain_batch_norm():
    x = torch.randn(4, 3)
    assert torch.equal(SyncBatchNorm(3)(x), nn.BatchNorm1d(3)(x))


def micro_batch(comm):
    with sharded_samples(2 * comm.rank, 2, 8):  # rows 4 … 7 are nobody's
        SyncBatchNorm(2, process_group=comm)(torch.ones(2, 2))


def refuse(comm, call, error, says):
    with pytest.raises(error, match=says):
        call(comm)
    comm.barrier()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda c: SyncBatchNorm(2, process_group=c)(torch.ones(1 - c.rank, 2)), ValueError, "more than 1 value"),
        (lambda c: SyncBatchNorm(3, process_group=c)(torch.ones(4, 2)), ValueError, r"expected 3 channels.*\(4, 2\)"),
        (lambda c: SyncBatchNorm(3, process_group=c)(torch.ones(3)), ValueError, r"SyncBatchNorm: .*\(3,\)"),
        (micro_batch, RuntimeError, "part of the batch.*GroupNorm"),
    ],
)
def test_refused(call, error, says):
    parallel.launch(refuse, call, error, says, workers=2, backend="thread")


def test_both_axes_of_a_mesh_hold_a_batch():
    """Two ranks with the same samples (their rows, say) do not make up for samples that nobody has."""

    def run(comm, samples):
        with sharded_samples(0, samples, 4):
            return SyncBatchNorm(2, process_group=comm)(torch.randn(samples, 2, 3)).shape

    assert parallel.launch(run, 4, workers=2, backend="thread") == [(4, 2, 3)] * 2
    with pytest.raises(parallel.WorkerError, match="part of the batch"):
        parallel.launch(run, 2, workers=2, backend="thread")

"""What one does with a split model is the same where ranks are processes or an MPI job, not threads: four things in
turn, on four ranks, beside one process. (On threads each has a file of its own; training, test_equivalence.)
"""

import sys

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.functional import own_part
from tests.parallel.mpi_programs import needs_mpi

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # ranks need not import pytest

DATA = np.random.default_rng(2)
X, Y = DATA.normal(size=(7, 1, 9, 6)), DATA.integers(0, 5, 7)
HALF = 2  # steps
SHARDED = "data=2,pipeline=2,microbatches=2"
OWN_ROWS = "data=2,space=2"
STRATEGIES = [
    "data=4",
    "data=4,zero=3",
    "data=2,zero=2,tensor=2",
    "data=4,virtual_shards=4",
    "pipeline=4,microbatches=3,schedule=gpipe",
    "pipeline=4,microbatches=3,schedule=zb-h1",
    "data=2,pipeline=2,microbatches=2,schedule=interleaved,chunks=2",
    "tensor=4",
    "tensor=2,pipeline=2",
    "space=4",
    OWN_ROWS,
    "pipeline=2,space=2,microbatches=2",
]


def model():
    minipar.manual_seed(3)
    rows = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()]
    return nn.Sequential(*rows, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 5)).double()


def adam(parameters):
    return optim.Adam(parameters, lr=0.01, eps=1e-4)


def batch():
    return minipar.tensor(X), minipar.tensor(Y)


def steps(train_step, first=0, count=HALF):
    """Losses of steps that draw the same random numbers wherever they are taken."""
    losses = []
    for number in range(first, first + count):
        minipar.manual_seed(number)
        losses.append(train_step())
    return losses


def found(losses, net):
    return losses, {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()}


def trained(net, *tensors, **how):
    optimizer = adam(net.parameters())
    return found(steps(lambda: net.train_step(F.cross_entropy, optimizer, *tensors, **how)), net)


# -- what ranks do -----------------------------------------------------------------------------------------------------


def checkpoint(comm, file):
    """Two ranks train by features and save a file; the other two load it, and go on by layers."""
    pair = comm.split(comm.rank // 2)
    layout = parallel.Layout.parse("tensor=2" if comm.rank < 2 else "pipeline=2,microbatches=3")
    net = layout.parallelize(model(), pair)
    optimizer, (x, y) = adam(net.parameters()), batch()

    def train_step():
        return net.train_step(F.cross_entropy, optimizer, x, y)

    if comm.rank < 2:
        losses = steps(train_step)
        saved = {"model": net.state_dict(), "optimizer": net.optimizer_state_dict(optimizer)}
        if comm.rank == 0:
            minipar.save(saved, file)
        comm.barrier()
    else:
        comm.barrier()
        saved = minipar.load(file)
        net.load_state_dict(saved["model"])
        net.load_optimizer_state_dict(optimizer, saved["optimizer"])
        losses = steps(train_step, first=HALF)
    return found(losses, net)


def output(comm, layout):
    return parallel.Layout.parse(layout).parallelize(model(), comm).eval()(batch()[0]).numpy()


def own_rows(comm):
    net = parallel.Layout.parse(OWN_ROWS).parallelize(model(), comm)
    x, y = batch()
    return trained(net, own_part(x, net.mesh.space, -2), y, own_rows=True)


def sharded(comm):
    """The first data rank has two samples, the other five."""
    net = parallel.Layout.parse(SHARDED).parallelize(model(), comm)
    mine = slice(None, 2) if net.mesh.data.rank == 0 else slice(2, None)
    return trained(net, *(tensor[mine] for tensor in batch()), sharded=True)


def in_turn(comm, file):
    outputs = {layout: output(comm, layout) for layout in STRATEGIES}
    return checkpoint(comm, file), outputs, own_rows(comm), sharded(comm)


# -- beside one process ------------------------------------------------------------------------------------------------


def in_one_process():
    """After the first half, and after both."""
    whole, (x, y) = model(), batch()
    optimizer = adam(whole.parameters())

    def train_step():
        optimizer.zero_grad()
        loss = F.cross_entropy(whole(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return found(steps(train_step), whole), found(steps(train_step, first=HALF), whole)


def assert_same(run, expected, what):
    np.testing.assert_allclose(run[0], expected[0], rtol=1e-10, err_msg=what)
    assert run[1].keys() == expected[1].keys()
    for name, array in expected[1].items():
        np.testing.assert_allclose(run[1][name], array, rtol=1e-10, atol=1e-12, err_msg=f"{what}: {name}")


@pytest.mark.parametrize("backend", ["process", pytest.param("mpi", marks=needs_mpi)])
def test_checkpoints_outputs_own_rows_and_sharded_batches(backend, tmp_path):
    half, both = in_one_process()
    whole = model().eval()(batch()[0]).detach().numpy()
    ranks = parallel.launch(in_turn, tmp_path / "half.safetensors", workers=4, backend=backend, timeout=60)
    for rank, (of_checkpoint, outputs, of_own_rows, of_shards) in enumerate(ranks):
        assert_same(of_checkpoint, half if rank < 2 else both, f"checkpoint, rank {rank}")
        for layout, made in outputs.items():
            np.testing.assert_allclose(made, whole, rtol=1e-10, atol=1e-13, err_msg=f"net(x), {layout}, rank {rank}")
        assert_same(of_own_rows, half, f"own_rows, rank {rank}")
        assert_same(of_shards, half, f"sharded, rank {rank}")
    loaded = minipar.load(tmp_path / "half.safetensors")["model"]
    assert all(np.array_equal(loaded[name].numpy(), array) for name, array in ranks[0][0][1].items())

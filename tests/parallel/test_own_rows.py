"""`own_rows`: each rank has its rows of every image alone, and trains as one process that has them whole."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.functional import own_part

DATA = np.random.default_rng(5)
IMAGES = minipar.tensor(DATA.normal(size=(5, 2, 11, 6)))
PIXELS = minipar.tensor(DATA.normal(size=(5, 3, 11, 6)))
CLASSES = minipar.tensor(DATA.integers(0, 4, 5))


def of_pixels():
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1))


def of_images():
    return nn.Sequential(nn.Conv2d(2, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 3, 4))


TASKS = {"rows come out": (of_pixels, F.mse_loss, PIXELS), "classes": (of_images, F.cross_entropy, CLASSES)}


def trained(comm, task, layout, own_rows):
    """Losses, the output, the state; and the output of own rows is own rows of the output."""
    model, loss_fn, targets = TASKS[task]
    minipar.manual_seed(1)
    net = parallel.Layout.parse(layout).parallelize(model().double(), comm)
    space = net.mesh.space
    step = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = IMAGES, targets
    if own_rows:
        x = own_part(x, space, -2)
        y = own_part(y, space, -2) if y.ndim > 2 else y
    losses = [net.train_step(loss_fn, step, x, y, own_rows=own_rows) for _ in range(4)]
    net.eval()
    output = net(IMAGES).numpy()
    if own_rows:
        whole = minipar.tensor(output)
        mine = own_part(whole, space, -2) if whole.ndim > 2 else whole
        np.testing.assert_array_equal(net(x, own_rows=True).numpy(), mine.numpy())
    return losses, output, {name: tensor.numpy() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("layout", ["space=2", "space=3", "data=2,space=2", "pipeline=2,space=2,schedule=gpipe"])
def test_it_trains_as_with_whole_images(task, layout):
    workers = parallel.Layout.parse(layout).ranks
    ((losses, output, state),) = parallel.launch(trained, task, "data=1", False, workers=1, backend="thread")
    for of_rank in parallel.launch(trained, task, layout, True, workers=workers, backend="thread"):
        np.testing.assert_allclose(of_rank[0], losses, rtol=1e-12)
        np.testing.assert_allclose(of_rank[1], output, rtol=1e-10, atol=1e-12)
        for name, array in state.items():
            np.testing.assert_allclose(of_rank[2][name], array, rtol=1e-10, atol=1e-13)


def refused(comm, layout, batch_of, says):
    net = parallel.Layout.parse(layout).parallelize(of_pixels().double(), comm)
    step = optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=says):
        net.train_step(F.mse_loss, step, *batch_of(net.mesh), own_rows=True)
    assert all(p.grad is None for p in net.parameters())


def test_other_rows_than_ones_share_are_refused_on_all_ranks():
    def batch_of(mesh):
        rows = slice(0, 7) if mesh.space.rank == 0 else slice(7, None)
        return IMAGES[:, :, rows], PIXELS[:, :, rows]

    says = r"own_rows: ranks \[0, 1\] must pass images of \[6, 5\] rows, not \[7, 4\]"
    parallel.launch(refused, "space=2", batch_of, says, workers=2, backend="thread")
    parallel.launch(refused, "space=2,data=2", batch_of, says, workers=4, backend="thread")


def test_the_samples_must_be_the_same():
    def batch_of(mesh):
        rows = own_part(IMAGES, mesh.space, -2)
        return rows + mesh.data.rank, own_part(PIXELS, mesh.space, -2)

    says = r"rank 2 passes another batch than rank 0: ranks with one number in mesh\.space must pass the same samples"
    parallel.launch(refused, "data=2,space=2", batch_of, says, workers=4, backend="thread")


def test_what_has_no_rows_is_refused_on_all_ranks():
    def linear(comm):
        net = parallel.parallelize(nn.Linear(6, 4).double(), parallel.Mesh(comm, space=2))
        step = optim.SGD(net.parameters(), lr=0.1)
        x = minipar.ones(3, 6, dtype=minipar.float64)
        with pytest.raises(ValueError, match=r"own_rows: what is split by rows are images .* passes a tensor without"):
            net.train_step(F.mse_loss, step, x, x[:, :4], own_rows=True)

    parallel.launch(linear, workers=2, backend="thread")

    def batch_of(mesh):
        rows = own_part(IMAGES, mesh.space, -2)
        return rows, own_part(PIXELS, mesh.space, -2), minipar.ones(5)

    parallel.launch(refused, "space=2", batch_of, "rank 0 passes a tensor without rows", workers=2, backend="thread")


def test_a_step_that_forgets_it_is_refused_though_others_were_right():
    def forget(comm):
        net = parallel.parallelize(of_pixels().double(), parallel.Mesh(comm, space=2))
        step = optim.SGD(net.parameters(), lr=0.1)
        x, y = (own_part(tensor[:, :, :10], comm, -2) for tensor in (IMAGES, PIXELS))
        net.train_step(F.mse_loss, step, x, y, own_rows=True)
        with pytest.raises(ValueError, match=r"rank 1 passes another batch than rank 0: .*own_rows=True"):
            net.train_step(F.mse_loss, step, x, y)

    parallel.launch(forget, workers=2, backend="thread")

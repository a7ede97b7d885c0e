"""The mesh: who is where, who talks to whom; and collectives with a gradient against what one process computes."""

from functools import partial

import numpy as np
import pytest

import minipar
from minipar import parallel
from minipar.parallel import functional as pf
from minipar.parallel.parts import Part, mark, part_of
from minipar.parallel.shares import share, shares


def on_ranks(fn, size):
    return parallel.launch(fn, workers=size, backend="thread")


def test_axes_lie_from_the_slowest_to_the_fastest():
    def where(comm):
        mesh = parallel.Mesh(comm, data=2, pipeline=-1, space=1, tensor=2)
        members = {axis: getattr(mesh, axis).all_gather_object(comm.rank) for axis in ("data", "pipeline", "tensor")}
        return mesh.coordinates, members, mesh.replicas.all_gather_object(comm.rank), repr(mesh)

    for rank, (coordinates, members, replicas, shown) in enumerate(on_ranks(where, 8)):
        d, p, t = coordinates["data"], coordinates["pipeline"], coordinates["tensor"]
        assert rank == 4 * d + 2 * p + t
        assert coordinates["space"] == 0
        assert members == {
            "data": [4 * i + 2 * p + t for i in range(2)],
            "pipeline": [4 * d + 2 * i + t for i in range(2)],
            "tensor": [4 * d + 2 * p + i for i in range(2)],
        }
        assert replicas == members["data"]
        assert shown == "Mesh(data=2, pipeline=2, tensor=2)"


def test_replicas_are_along_data_and_space():
    def where(comm):
        return parallel.Mesh(comm, data=2, space=2, tensor=2).replicas.all_gather_object(comm.rank)

    assert on_ranks(where, 8) == [[r % 2, 2 + r % 2, 4 + r % 2, 6 + r % 2] for r in range(8)]


@pytest.mark.parametrize(
    ("sizes", "error", "says"),
    [
        ({"data": 3}, ValueError, "data=3 does not fit 2 ranks"),
        ({"tensor": 1}, ValueError, "must multiply to 2"),
        ({"data": -1, "tensor": -1}, ValueError, "only one axis may be -1, got data and tensor"),
        ({"data": 0}, ValueError, "data must be 1 or more"),
        ({"data": 2.0}, TypeError, "data must be an int, not float"),
        ({"data": -1, "tensor": 3}, ValueError, "tensor=3"),
    ],
)
def test_a_mesh_that_does_not_fit_is_refused(sizes, error, says):
    def make(comm):
        with pytest.raises(error, match=says):
            parallel.Mesh(comm, **sizes)

    on_ranks(make, 2)


SIZE = 3


def _whole(rank, x):  # every rank holds the same x
    return x


def _apart(rank, x):  # every rank holds its own
    return x * (rank + 1)


def _part(rank, x):
    return x[:, share(x.shape[1], rank, SIZE)]


def _same(rank, y):  # what ranks go on to compute, all the same
    return (y * y).sum()


def _own(rank, y):  # … each something of its own
    return (y * (rank + 2)).sum()


# name, what a rank holds of x, its loss, and is the loss of all the sum of theirs (or the same on every rank)?
CASES = {
    "copy_to_ranks": (_whole, _own, True),
    "reduce_from_ranks": (_apart, _same, False),
    "scatter_to_ranks": (_whole, _own, True),
    "gather_from_ranks": (_part, _same, False),
    "all_gather": (_part, _own, True),
    "reduce_scatter": (_apart, _own, True),
    "all_reduce": (_apart, _own, True),
}


def _value(name, held):
    """What each rank gets of what the ranks hold, by NumPy."""
    total = np.sum([np.broadcast_to(h, h.shape) for h in held], axis=0) if "gather" not in name else None
    if name in ("gather_from_ranks", "all_gather"):
        return [np.concatenate(held, axis=1)] * SIZE
    if name in ("reduce_from_ranks", "all_reduce"):
        return [total] * SIZE
    if name == "reduce_scatter":
        return [_part(rank, total) for rank in range(SIZE)]
    if name == "scatter_to_ranks":
        return [_part(rank, held[rank]) for rank in range(SIZE)]
    return held


@pytest.mark.parametrize("name", CASES)
def test_a_collective_and_its_gradient(name):
    holds, loss, summed = CASES[name]
    x = np.random.default_rng(0).normal(size=(2, 7))
    dim = () if "reduce_from" in name or name in ("copy_to_ranks", "all_reduce") else (1,)

    def run(comm):
        held = minipar.tensor(np.ascontiguousarray(holds(comm.rank, x)), requires_grad=True)
        made = getattr(pf, name)(held, comm, *dim)
        loss(comm.rank, made).backward()
        return made.detach().numpy(), held.grad.numpy()

    def loss_of_all(held):
        made = _value(name, held)
        losses = [float(loss(rank, made[rank])) for rank in range(SIZE)]
        return sum(losses) if summed else losses[0]

    held = [np.array(holds(rank, x)) for rank in range(SIZE)]
    results = on_ranks(run, SIZE)
    for rank, (made, grad) in enumerate(results):
        np.testing.assert_allclose(made, _value(name, held)[rank], rtol=1e-14)
        if name in ("copy_to_ranks", "scatter_to_ranks"):  # x is one: its gradient is that of all ranks' x at once
            moved = [(place, list(range(SIZE))) for place in np.ndindex(x.shape)]
        else:
            moved = [(place, [rank]) for place in np.ndindex(held[rank].shape)]
        for place, ranks in moved:
            up, down = [h.copy() for h in held], [h.copy() for h in held]
            for r in ranks:
                up[r][place] += 1e-5
                down[r][place] -= 1e-5
            slope = (loss_of_all(up) - loss_of_all(down)) / 2e-5
            assert grad[place] == pytest.approx(slope, rel=1e-7, abs=1e-9)


def test_shares_add_up_and_differ_by_one():
    for total in range(9):
        for size in range(1, 5):
            cut = [share(total, rank, size) for rank in range(size)]
            assert [c.stop - c.start for c in cut] == shares(total, size)
            assert [i for c in cut for i in range(total)[c]] == list(range(total))
            assert max(shares(total, size)) - min(shares(total, size)) <= 1


def test_a_part_knows_its_place():
    whole = np.arange(12.0).reshape(3, 4)
    part = Part(1, (3, 0), 4)
    assert part.of(whole).tolist() == whole[:, [3, 0]].tolist()
    assert part.whole_shape((3, 2)) == (3, 4)
    target = np.zeros((3, 4))
    part.put(part.of(whole), target)
    assert target.tolist() == (whole * [1, 0, 0, 1]).tolist()
    parameter = mark(minipar.nn.Parameter(minipar.ones(3, 2)), part)
    assert part_of(parameter) is part
    assert part_of(minipar.nn.Parameter(minipar.ones(1))) is None


@pytest.mark.parametrize("name", CASES)
def test_one_rank_alone_needs_no_communication(name):
    x = minipar.ones(2, 2)
    dim = () if "reduce_from" in name or name in ("copy_to_ranks", "all_reduce") else (1,)
    assert on_ranks(partial(_alone, name=name, x=x, dim=dim), 1) == [True]


def _alone(comm, name, x, dim):
    return getattr(pf, name)(x, comm, *dim) is x


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_a_mesh_that_is_closed_leaves_the_ranks_as_they_were(backend):
    def meshes(comm):
        open_before = len(comm._family)
        with parallel.Mesh(comm, data=2) as mesh:
            total = mesh.data.all_reduce(np.ones(1)).item()
        with pytest.raises(parallel.CommunicatorError, match="all_reduce: this communicator is closed"):
            mesh.data.all_reduce(np.ones(1))
        return total, len(comm._family) - open_before, comm.all_reduce(np.ones(1)).item()

    assert parallel.launch(meshes, workers=2, backend=backend) == [(2, 0, 2)] * 2


def test_an_error_inside_a_mesh_is_not_kept_waiting_by_its_closing():
    def one_fails(comm):
        with parallel.Mesh(comm, data=2) as mesh:
            waits = mesh.data.all_reduce(np.ones(1), async_op=True) if comm.rank else None
            if comm.rank == 0:
                raise KeyError("mine")
            waits.wait()

    with pytest.raises(parallel.WorkerError, match="rank 0 raised KeyError"):
        parallel.launch(one_fails, workers=2, backend="thread", timeout=60)

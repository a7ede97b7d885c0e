"""Every call on CuPy arrays, and what each rank must get: over NCCL on GPUs, and everywhere over its stand-in."""

from __future__ import annotations

from typing import Any

import numpy as np

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F


def inputs(rank: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays that tell the ranks apart; the second has a row for each rank."""
    mine = np.arange(6, dtype="f").reshape(2, 3) + 10 * rank
    rows = np.arange(3.0 * size).reshape(size, 3) * (rank + 1)
    return mine, rows


def every_call(comm: Any) -> dict[str, np.ndarray | None]:
    """What this rank got of each call."""
    import cupy

    size, rank = comm.size, comm.rank
    mine, rows = map(cupy.asarray, inputs(rank, size))
    sent = comm.isend(mine.T, (rank + 1) % size, tag=3)  # everybody sends before anybody receives
    got = {
        "all_reduce": comm.all_reduce(mine.copy()),
        "mean": comm.all_reduce(mine.T, "mean", out=cupy.empty((3, 2), "f")),
        "max": comm.all_reduce(mine.copy(), "max"),
        "int max": comm.all_reduce(mine.astype("i"), "max"),
        "complex": comm.all_reduce(mine.astype("F")),
        "bool": comm.all_reduce(mine > 8),
        "in-order": comm.all_reduce(mine.copy(), algorithm="in-order"),
        "ring": comm.all_reduce(mine.copy(), algorithm="ring"),
        "broadcast": comm.broadcast(mine.copy(), size - 1),
        "reduce": comm.reduce(mine.copy(), size - 1),
        "all_gather": comm.all_gather(mine),
        "gather": comm.gather(mine, 0),
        "scatter": comm.scatter(rows if rank == 0 else None),
        "reduce_scatter": comm.reduce_scatter(rows),
        "all_to_all": comm.all_to_all(rows),
        "recv": comm.recv((rank - 1) % size, tag=3),
        "asynchronous": comm.all_reduce(mine * 2, async_op=True).wait(),
        "of a group": comm.split(0, key=-rank).all_gather(mine[0]),
    }
    sent.wait()
    comm.barrier()
    return {name: None if array is None else array.get() for name, array in got.items()}


def expected(rank: int, size: int) -> dict[str, np.ndarray | None]:
    """What `every_call` must give. All sums are of small whole numbers, and exact."""
    mines, rows = zip(*(inputs(other, size) for other in range(size)))
    total, table = sum(mines), np.stack(mines)
    return {
        "all_reduce": total,
        "mean": total.T / np.float32(size),
        "max": mines[-1],
        "int max": mines[-1].astype("i"),
        "complex": total.astype("F"),
        "bool": (table > 8).any(0),
        "in-order": total,
        "ring": total,
        "broadcast": mines[-1],
        "reduce": total if rank == size - 1 else None,
        "all_gather": table,
        "gather": table if rank == 0 else None,
        "scatter": rows[0][rank],
        "reduce_scatter": sum(rows)[rank],
        "all_to_all": np.stack([row[rank] for row in rows]),
        "recv": mines[rank - 1].T,
        "asynchronous": total * 2,
        "of a group": table[::-1, 0],
    }


def check_every_call(by_rank: list[dict[str, np.ndarray | None]]) -> None:
    for rank, got in enumerate(by_rank):
        for name, wanted in expected(rank, len(by_rank)).items():
            assert (wanted is None) is (got[name] is None), (rank, name)
            if wanted is not None:
                np.testing.assert_array_equal(got[name], wanted, f"rank {rank}, {name}", strict=True)


def train(comm: Any) -> list[np.ndarray]:
    """The parameters after three steps on seven samples; by data parallelism if there are several ranks."""
    minipar.manual_seed(0)
    draw = np.random.default_rng(0)
    batch = [minipar.tensor(draw.normal(size=(7, n)), device=comm.device) for n in (4, 3)]
    layers = [nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)]
    model = parallel.DataParallel(nn.Sequential(*layers).double().to(comm.device), comm)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model.train_step(lambda net, x, y: F.mse_loss(net(x), y), optimizer, *batch)
    return [p.detach().cpu().numpy() for p in model.parameters()]

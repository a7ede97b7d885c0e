"""PyTorch's DistributedDataParallel over gloo, a rank: `python -m minipar.bench.parallel.ddp ADDRESS RANK RANKS FILE`.

FILE, where the ranks meet, does not exist yet. Each rank trains on its rows of the batch, with one thread; the ranks'
losses are means of equal shares, so their mean is that of the batch.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ...parallel.shares import share
from ..workloads import Training, ordinary_step, prepare
from .rank import Work, serve, steps
from .splits import SUBJECTS


def build(kind: str, subject: str, layout: str) -> Work:
    workload = SUBJECTS[subject]
    training: Any = prepare(torch, workload)
    rows = share(len(training.x), distributed.get_rank(), distributed.get_world_size())
    step = ordinary_step(
        Training(
            DistributedDataParallel(training.model),
            training.loss_function,
            training.optimizer,
            training.x[rows],
            training.y[rows],
        )
    )
    return steps(lambda: step().item())


def main() -> None:
    address, rank, size, meeting_point = sys.argv[1:]
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting_point}", rank=int(rank), world_size=int(size))
    serve(int(rank), f"torch {torch.__version__}", build, address)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()

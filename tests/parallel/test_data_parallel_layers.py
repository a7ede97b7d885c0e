"""Layers that draw for samples or couple them, under data parallelism."""

from __future__ import annotations

import numpy as np
import pytest

import minipar as torch
from minipar import nn, optim, parallel
from minipar.nn import functional as F


class Reader(nn.Module):
    """A transformer whose every dropout draws."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.position = nn.SinusoidalPositionalEncoding(4, dropout=0.2, batch_first=batch_first)
        self.layer = nn.TransformerEncoderLayer(4, 2, 5, dropout=0.3, batch_first=batch_first)

    def forward(self, x):
        y = self.layer(self.position(x if self.batch_first else x.transpose(0, 1)))
        return y.mean(1 if self.batch_first else 0)


def train(comm, batch_first):
    torch.manual_seed(3)
    dp = parallel.DataParallel(Reader(batch_first).double(), comm)
    optimizer = optim.SGD(dp.parameters(), lr=0.05)
    losses = []
    for _ in range(3):
        x, y = torch.randn(5, 3, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
        losses.append(dp.train_step(lambda net, a, b: F.mse_loss(net(a), b), optimizer, x, y))
    return losses, [p.array.copy() for p in dp.parameters()]


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_transformer_drops_what_it_drops_in_one_process(batch_first):
    alone = parallel.launch(train, batch_first, workers=1, backend="thread")[0]
    for losses, parameters in parallel.launch(train, batch_first, workers=3, backend="thread"):
        np.testing.assert_allclose(losses, alone[0], rtol=1e-10)
        for p, q in zip(parameters, alone[1]):
            np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-11)


def normalise(comm, make):
    dp = parallel.DataParallel(make(), comm)
    (rows,) = dp.shard(torch.randn(6, 3, 4))
    return dp(rows).shape


@pytest.mark.parametrize("make", [lambda: nn.BatchNorm1d(3), lambda: nn.InstanceNorm1d(3, track_running_stats=True)])
def test_statistics_of_a_part_of_the_batch_are_refused(make):
    assert parallel.launch(normalise, make, workers=1, backend="thread") == [(6, 3, 4)]
    with pytest.raises(parallel.WorkerError, match="one worker's rows are not those of the batch"):
        parallel.launch(normalise, make, workers=2, backend="thread")
    for fine in (lambda: make().eval(), lambda: nn.GroupNorm(1, 3), lambda: nn.InstanceNorm1d(3)):
        assert parallel.launch(normalise, fine, workers=2, backend="thread") == [(3, 3, 4)] * 2

"""Distributed gradient descent, by hand: the gradient of a sum is the sum of gradients.

A linear model of house prices (Ames, in place of the Boston houses, which scikit-learn has withdrawn). Each rank has
some of the houses and never sees the others; what ranks tell each other are 34 numbers a step. This is all there is
to data parallelism, with an all-reduce that you can see; data_parallel.py leaves it to `DataParallel`.
"""

import numpy as np

from minipar import float64, parallel, tensor, zeros
from minipar.cli.tasks import TASKS

STEPS, RATE = 200, 0.05


def descend(comm):
    houses = TASKS["ames"].prepare(np.dtype(np.float64))  # standardised
    total = len(houses.x_train)
    mine = np.array_split(np.arange(total), comm.size)[comm.rank]
    x, y = tensor(houses.x_train[mine]), tensor(houses.y_train[mine])
    w, b = zeros(x.shape[1], 1, dtype=float64, requires_grad=True), zeros(1, dtype=float64, requires_grad=True)
    for _ in range(STEPS):
        loss = ((x @ w + b - y) ** 2).sum() / total  # divided by all houses, not by this rank's
        loss.backward()
        for p in (w, b):
            p.data -= RATE * tensor(comm.all_reduce(p.grad.numpy()))
            p.grad = None
    errors = houses.x_test @ w.detach().numpy() + b.detach().numpy() - houses.y_test
    return len(mine), w.detach().numpy(), 1 - (errors**2).sum() / ((houses.y_test - houses.y_test.mean()) ** 2).sum()


(alone,) = parallel.launch(descend, workers=1, backend="thread")
ranks = parallel.launch(descend, workers=2)
for rank, (houses, w, r2) in enumerate(ranks):
    print(f"rank {rank}: {houses} houses, test R² {r2:.4f}")
    print(f"weights differ from one process's by {np.linalg.norm(w - alone[1]) / np.linalg.norm(alone[1]):.1g}")

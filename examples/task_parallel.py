"""Task parallelism: many trainings that know nothing of each other, handed out to workers. Here a search for settings.

Every job has random numbers of its own, which follow from the seed and the job's number: the table is the same
whoever runs which job. docs/task-parallel.md has ensembles, failing jobs, and tasks beside training.
"""

import os
from itertools import product

import numpy as np

from minipar import manual_seed, nn, no_grad, optim, parallel, tensor
from minipar.cli.tasks import TASKS
from minipar.nn import functional as F


def fit(job):
    """Test R² of a small network of house prices, and the process that has trained it."""
    rate, hidden = job
    houses = TASKS["ames"].prepare(np.dtype(np.float32))
    x, y = tensor(houses.x_train), tensor(houses.y_train)
    model = nn.Sequential(nn.Linear(33, hidden), nn.ReLU(), nn.Linear(hidden, 1))
    optimizer = optim.Adam(model.parameters(), lr=rate)
    for _ in range(60):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()
    with no_grad():
        errors = model(tensor(houses.x_test)).numpy() - houses.y_test
    return float(1 - (errors**2).mean() / houses.y_test.var()), os.getpid()


jobs = list(product([0.001, 0.01, 0.1], [8, 32]))
manual_seed(0)
found = parallel.map(fit, jobs, workers=2)
manual_seed(0)
here = parallel.map(fit, jobs, workers=0)  # in this process, one after the other

processes = sorted({process for _, process in found})
for (rate, hidden), (r2, process) in sorted(zip(jobs, found, strict=True), key=lambda pair: -pair[1][0]):
    print(f"lr {rate:<5} hidden {hidden:<2} R² {r2:.3f}   by worker {processes.index(process)}")
print("the same in one process:", all(a == b for (a, _), (b, _) in zip(found, here, strict=True)))

"""Spatial gradient descent on the housing task: what is split is neither the houses nor the model, but each house.

Data parallelism splits a batch between samples, space parallelism inside each sample, along its axis of places. An
image has rows: cnn.py splits those. A house in a table has no places but its 33 measurements, so that is the axis
here: a house is written as an "image" of 33 rows and 1 column. A rank sees some measurements of all houses, and
nothing else of them; it multiplies them with those columns of the first weight that belong to them, and the products
are added up.

Unlike rows of an image, measurements have no neighbours: there is no halo to exchange, and only the first layer is
split.
"""

import numpy as np

from minipar import manual_seed, nn, optim, parallel, tensor
from minipar.cli.tasks import TASKS
from minipar.nn import functional as F

STEPS, RATE = 20, 0.02


def train(comm):
    manual_seed(0)
    houses = TASKS["ames"].prepare(np.dtype(np.float64))
    x, y = tensor(houses.x_train[:300]).reshape(-1, 1, 33, 1), tensor(houses.y_train[:300])
    model = nn.Sequential(nn.Flatten(), nn.Linear(33, 32), nn.ReLU(), nn.Linear(32, 1)).double()
    net = parallel.parallelize(model, parallel.Mesh(comm, space=comm.size))
    optimizer = optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
    start = net.state_dict()
    losses = [net.train_step(F.mse_loss, optimizer, x, y) for _ in range(STEPS)]
    mine = parallel.functional.own_part(x, net.mesh.space, -2)  # what `train_step` takes of x on this rank
    return losses, tuple(mine.shape), net.state_dict(), start


((losses, _, alone, start),) = parallel.launch(train, workers=1, backend="thread")
print(f"one process: loss {losses[0]:.4f} … {losses[-1]:.4f}")
for workers in (2, 3):
    ranks = parallel.launch(train, workers=workers, backend="thread")
    for rank, (losses, (houses, _, measurements, _), *_) in enumerate(ranks):
        print(f"rank {rank} of {workers}: {measurements} of 33 measurements of {houses} houses, loss {losses[-1]:.4f}")
    differences = parallel.compare_parameters(ranks[0][2], alone, start, RATE)
    print(f"parameters differ from one process's by {max(d.relative for d in differences):.1g}")

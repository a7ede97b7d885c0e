"""Data parallelism as TensorFlow's MirroredStrategy means it: each worker has the model, and a share of each batch.

The network is that of TensorFlow's own example, the images are Fashion-MNIST's. There every replica brings 64 images,
so two replicas train with batches of 128, which is another training than one replica's. Here a batch is a batch: two
workers share its 128 images, and what they train is what one would.
"""

import numpy as np

from minipar import data, manual_seed, nn, optim, parallel, tensor
from minipar.nn import functional as F

BATCH, STEPS, RATE = 128, 6, 1e-3


def network():
    manual_seed(0)
    convolution = nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*convolution, nn.Linear(32 * 13 * 13, 64), nn.ReLU(), nn.Linear(64, 10)).double()


def train(comm):
    """On every rank. All ranks see the whole batch; `train_step` takes this rank's share of it."""
    garments = data.load("fashion_mnist")
    model = parallel.DataParallel(network(), comm)
    optimizer = optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        x, y = tensor(garments.x_train[rows]).double(), tensor(garments.y_train[rows])
        losses.append(model.train_step(lambda net, x, y: F.cross_entropy(net(x), y), optimizer, x, y))
    images = len(model.shard(x)[0])
    return losses, images, {name: value.numpy() for name, value in model.module.state_dict().items()}


(alone,) = parallel.launch(train, workers=1, backend="thread")
ranks = parallel.launch(train, workers=2)

print("loss of one process  ", *(f"{loss:.4f}" for loss in alone[0]))
print("loss of two processes", *(f"{loss:.4f}" for loss in ranks[0][0]))
for rank, (_, images, state) in enumerate(ranks):
    print(f"rank {rank}: {images} of {BATCH} images a step, {sum(p.size for p in state.values()):,} parameters")
first, second = ranks[0][2], ranks[1][2]
print("the mirrors are equal, bit for bit:", all(np.array_equal(first[name], second[name]) for name in first))
differences = parallel.compare_parameters(first, alone[2], network().state_dict(), RATE)
print(f"parameters differ from one process's by {max(d.relative for d in differences):.1g}")

"""Heterogeneous gradient descent: unequal workers, and each gets as much of the batch as it is fast.

House prices again. Worker 1 is made three times slower (it might be a laptop beside a server, or a CPU beside a GPU:
`devices=[…]`). With equal shares worker 0 waits two thirds of the time; `shares="measured"` deals by speed. Gradients
are sums over samples, divided once by the number of all of them: who has how many changes nothing.
"""

import time

import numpy as np

from minipar import manual_seed, nn, optim, parallel, tensor
from minipar.cli.tasks import TASKS
from minipar.nn import functional as F

BATCH, STEPS, RATE = 64, 16, 0.01


class Slow(nn.Module):
    """Takes so many seconds a sample."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds * len(x))
        return x


def train(comm, shares="equal"):
    manual_seed(0)
    houses = TASKS["ames"].prepare(np.dtype(np.float64))
    pace = Slow(0.0005 if comm.rank == 0 else 0.0015)
    model = nn.Sequential(pace, nn.Linear(33, 32), nn.ReLU(), nn.Linear(32, 1)).double()
    net = parallel.parallelize(model, parallel.Mesh(comm, data=comm.size), shares=shares)
    optimizer = optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
    start, seconds = net.state_dict(), []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        began = time.perf_counter()
        net.train_step(F.mse_loss, optimizer, tensor(houses.x_train[rows]), tensor(houses.y_train[rows]))
        seconds.append(time.perf_counter() - began)
    return min(seconds), net.shares.cut(BATCH), net.state_dict(), start, getattr(net.shares, "record", None)


((_, _, alone, start, _),) = parallel.launch(train, workers=1, backend="thread")
fastest = {}
with parallel.Pool(workers=2) as pool:
    for shares in ("equal", "measured"):
        fastest[shares], houses, state, _, record = pool.run(train, shares)[0]
        print(f"{shares}: of {BATCH} houses workers get {houses}; {1000 * fastest[shares]:.0f} ms a step")
        differences = parallel.compare_parameters(state, alone, start, RATE)
        print(f"parameters differ from one process's by {max(d.relative for d in differences):.1g}")
    again = pool.run(train, record)[0][2]  # speeds are noise: for the same bits, the same shares
print(f"measured shares are {fastest['equal'] / fastest['measured']:.2f} times as fast as equal ones")
print("the recorded shares give the same bits:", all(np.array_equal(again[name], state[name]) for name in state))

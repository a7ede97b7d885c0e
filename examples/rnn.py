"""A recurrent network under data and model parallelism: next year's sunspots from the last 22 years.

By layer it is cut behind the recurrent layer, which is one: its steps follow each other and cannot be cut. By
component, `tensor=2` leaves the recurrent layer whole on both ranks (split, it would need a message for each of its
22 steps), and splits the two linear layers behind it.
"""

import numpy as np

from minipar import manual_seed, nn, optim, parallel, tensor
from minipar.cli.tasks import TASKS, Last, States
from minipar.nn import functional as F

STEPS, RATE = 10, 0.02


def train(comm, layout, cut=None):
    manual_seed(0)
    sunspots = TASKS["sunspots"].prepare(np.dtype(np.float64))
    recurrent = States(1, 24, batch_first=True), Last()
    model = nn.Sequential(*recurrent, nn.Linear(24, 32), nn.Tanh(), nn.Linear(32, 1)).double()
    net = parallel.Layout.parse(layout).parallelize(model, comm, cut=cut)
    optimizer = optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
    start = net.state_dict()
    x, y = tensor(sunspots.x_train[:101]), tensor(sunspots.y_train[:101])
    losses = [net.train_step(F.mse_loss, optimizer, x, y) for _ in range(STEPS)]
    held = [f"{name} {'×'.join(map(str, p.shape))}" for name, p in net.named_parameters() if "weight" in name]
    return losses[-1], held, net.state_dict(), start


((loss, held, alone, start),) = parallel.launch(train, "data=1", workers=1, backend="thread")
print(f"one process holds {', '.join(held)}; loss {loss:.4f}")
for layout, cut in ("data=2", None), ("pipeline=2,microbatches=3", [2]), ("tensor=2", None):
    ranks = parallel.launch(train, layout, cut, workers=2, backend="thread")
    print(f"{layout}: loss {ranks[0][0]:.4f}")
    for rank, (_, held, _, _) in enumerate(ranks):
        print(f"  rank {rank} holds {', '.join(held)}")
    differences = parallel.compare_parameters(ranks[0][2], alone, start, RATE)
    print(f"  parameters differ from one process's by {max(d.relative for d in differences):.1g}")

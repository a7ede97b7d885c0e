"""Mixed (hybrid) parallelism: a mesh of four workers, split by layer in one direction and by component in the other.

Any product of the strategies is a mesh with more than one axis longer than 1. The four ranks are threads here: the
same program runs as processes (`backend="process"`), or on a cluster.
"""

from minipar import data, manual_seed, nn, optim, parallel, tensor
from minipar.nn import functional as F

STEPS, RATE = 10, 0.1


def train(comm, layout):
    manual_seed(0)
    first = nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU()
    second = nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 10)
    model = nn.Sequential(nn.Flatten(), *first, *second).double()
    net = parallel.Layout.parse(layout).parallelize(model, comm)
    optimizer = optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
    start, digits = net.state_dict(), data.load("digits")
    x, y = tensor(digits.x_train[:125]).double(), tensor(digits.y_train[:125])
    for _ in range(STEPS):
        net.train_step(F.cross_entropy, optimizer, x, y)
    held = [f"{name} {'×'.join(map(str, p.shape))}" for name, p in net.named_parameters() if "weight" in name]
    return net.mesh.coordinates, held, net.state_dict(), start


((_, whole, alone, start),) = parallel.launch(train, "data=1", workers=1, backend="thread")
print("one process holds", ", ".join(whole))
for layout in ("pipeline=2,tensor=2", "data=2,pipeline=2,microbatches=2", "data=2,tensor=2"):
    print(layout)
    ranks = parallel.launch(train, layout, workers=4, backend="thread")
    for rank, (coordinates, held, _, _) in enumerate(ranks):
        place = ", ".join(f"{axis} {coordinates[axis]}" for axis in coordinates if f"{axis}=" in layout)
        print(f"  rank {rank} ({place}) holds {', '.join(held)}")
    differences = parallel.compare_parameters(ranks[0][2], alone, start, RATE)
    print(f"  parameters differ from one process's by {max(d.relative for d in differences):.1g}")

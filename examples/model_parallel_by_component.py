"""Model parallelism by component: every worker has a part of every layer, some of its features (tensor parallelism).

The first matrix of a pair is cut by its outputs, the second by its inputs, and nothing need be said in between: one
all-reduce a pair and direction. docs/tensor-parallel.md explains it. (Where a component is a whole part of a model,
an encoder, say, it is consecutive layers, and autoencoder.py puts it on a worker of its own.)
"""

from minipar import data, manual_seed, nn, optim, parallel, tensor
from minipar.nn import functional as F

STEPS, RATE = 20, 0.1


def train(comm, layout):
    manual_seed(0)
    layers = nn.Linear(64, 96), nn.ReLU(), nn.Dropout(0.2), nn.Linear(96, 10)  # dropout too is what it was
    model = nn.Sequential(nn.Flatten(), *layers).double()
    net = parallel.Layout.parse(layout).parallelize(model, comm)
    optimizer = optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
    start, digits = net.state_dict(), data.load("digits")
    x, y = tensor(digits.x_train[:250]).double(), tensor(digits.y_train[:250])
    losses = [net.train_step(F.cross_entropy, optimizer, x, y) for _ in range(STEPS)]
    held = {name: tuple(p.shape) for name, p in net.named_parameters()}
    return losses[-1], held, net.state_dict(), start, parallel.describe_split(model)


((_, whole, alone, start, _),) = parallel.launch(train, "tensor=1", workers=1, backend="thread")
print("one process holds", whole)
ranks = parallel.launch(train, "tensor=2", workers=2)
for rank, (loss, held, state, _, split) in enumerate(ranks):
    print(f"rank {rank} holds {held}; loss {loss:.4f}")
    print("   ", split.replace("\n", "\n    "))
    differences = parallel.compare_parameters(state, alone, start, RATE)  # of the parts, put together
    print(f"parameters differ from one process's by {max(d.relative for d in differences):.1g}")

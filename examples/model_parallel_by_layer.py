"""Model parallelism by layer: a worker has some of the layers, and hands on what they make of the batch.

If the whole batch goes through at once, one worker always waits for the other. Cut into micro-batches it is a
pipeline: while the second worker has one piece, the first works on the next.
"""

from minipar import data, manual_seed, nn, optim, parallel, tensor
from minipar.nn import functional as F
from minipar.parallel import pipeline

STEPS, RATE = 20, 0.1


def train(comm, layout):
    manual_seed(0)
    layers = nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 10)
    model = nn.Sequential(nn.Flatten(), *layers).double()
    net = parallel.Layout.parse(layout).parallelize(model, comm)
    optimizer = optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
    start, digits = net.state_dict(), data.load("digits")
    x, y = tensor(digits.x_train[:250]).double(), tensor(digits.y_train[:250])  # 250 are not 4 equal pieces
    losses = [net.train_step(F.cross_entropy, optimizer, x, y) for _ in range(STEPS)]
    return losses[-1], [name for name, _ in net.named_parameters()], net.schedule, net.state_dict(), start


((_, _, _, alone, start),) = parallel.launch(train, "data=1", workers=1, backend="thread")
with parallel.Pool(workers=2) as pool:
    for layout in ("pipeline=2", "pipeline=2,microbatches=4"):
        print(layout)
        ranks = pool.run(train, layout)
        for rank, (loss, held, *_) in enumerate(ranks):
            print(f"  rank {rank} holds {' '.join(held)}; loss {loss:.4f}")
        _, _, schedule, state, _ = ranks[0]
        print(f"  time spent waiting: {pipeline.simulate(schedule).bubble:.0%}, in this schedule")
        print("   ", str(schedule).replace("\n", "\n    "))
        differences = parallel.compare_parameters(state, alone, start, RATE)
        print(f"  parameters differ from one process's by {max(d.relative for d in differences):.1g}")

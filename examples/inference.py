"""Inference under every layout: forward only, the same output on every rank, and what each rank holds and waits for.

Splitting features, layers or parameters lets a model run that no rank could hold. Splitting the batch, or the rows of
images, divides the work and leaves the model whole. How long a batch takes is this machine's and this moment's: look at
the numbers side by side.
"""

from statistics import median
from time import perf_counter

from minipar import manual_seed, nn, parallel, randn, set_num_threads

BATCH, REPEATS = 64, 10


def mlp():
    layers = [layer for _ in range(6) for layer in (nn.Linear(512, 512), nn.Tanh())]
    return nn.Sequential(*layers).double(), randn(BATCH, 512).double()


def cnn():
    layers = nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 5, padding=2)
    return nn.Sequential(*layers).double(), randn(BATCH, 1, 64, 64).double()


def answer(comm, made, layout):
    set_num_threads(1)
    manual_seed(0)
    model, x = made()
    net = parallel.Layout.parse(layout).parallelize(model, comm).eval()
    seconds = []
    for _ in range(REPEATS):
        comm.barrier()
        start = perf_counter()
        y = net(x)
        seconds.append(perf_counter() - start)
    return y, sum(p.array.nbytes for p in net.parameters()), median(seconds[1:])


for made, layouts in (
    (mlp, ("data=2", "data=2,zero=3", "pipeline=2", "pipeline=2,microbatches=4,schedule=inference", "tensor=2")),
    (cnn, ("data=2", "space=2")),
):
    ((alone, nbytes, seconds),) = parallel.launch(answer, made, "data=1", workers=1)
    print(f"{made.__name__}, one process holds {nbytes:,} bytes; a batch takes {1e3 * seconds:.1f} ms")
    for layout in layouts:
        ranks = parallel.launch(answer, made, layout, workers=2)
        held = " and ".join(f"{nbytes:,}" for _, nbytes, _ in ranks)
        latency = 1e3 * max(seconds for _, _, seconds in ranks)
        difference = max(float((y - alone).abs().max() / alone.abs().max()) for y, _, _ in ranks)
        print(f"  {layout}: ranks hold {held} bytes; a batch takes {latency:.1f} ms;", end=" ")
        print(f"outputs differ from one process's by {difference:.1g}")

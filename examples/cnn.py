"""A convolutional network in every way: its batch, its layers, its channels, or its images split over two workers."""

from minipar import data, manual_seed, nn, optim, parallel, tensor
from minipar.nn import functional as F

STEPS, RATE = 6, 0.05


def train(comm, layout):
    manual_seed(0)
    first = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
    second = nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    model = nn.Sequential(*first, *second, nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * 7 * 7, 10)).double()
    net = parallel.Layout.parse(layout).parallelize(model, comm)
    optimizer = optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
    start, garments = net.state_dict(), data.load("fashion_mnist")
    for step in range(STEPS):
        rows = slice(step * 33, (step + 1) * 33)  # 33 images: one rank gets 17, the other 16
        x, y = tensor(garments.x_train[rows]).double(), tensor(garments.y_train[rows])
        loss = net.train_step(F.cross_entropy, optimizer, x, y)
    held = [f"{name} {'×'.join(map(str, p.shape))}" for name, p in net.named_parameters() if "weight" in name]
    return loss, held, net.state_dict(), start


((loss, held, alone, start),) = parallel.launch(train, "data=1", workers=1, backend="thread")
print(f"one process holds {', '.join(held)}; loss {loss:.4f}")
for layout in ("data=2", "pipeline=2", "tensor=2", "space=2"):
    ranks = parallel.launch(train, layout, workers=2, backend="thread")
    print(f"{layout}: loss {ranks[0][0]:.4f}")
    for rank, (_, held, _, _) in enumerate(ranks):
        print(f"  rank {rank} holds {', '.join(held)}")
    differences = parallel.compare_parameters(ranks[0][2], alone, start, RATE)
    print(f"  parameters differ from one process's by {max(d.relative for d in differences):.1g}")

"""A convolutional network for classes: strides, groups, batch norm, both kinds of pooling; SGD on a cosine schedule."""

import numpy as np


def build(T):
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=2),
        nn.BatchNorm2d(12),
        nn.LeakyReLU(0.1),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(48, 3),
    )


def train(T, model, steps):
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 48)
    x = rng.standard_normal((48, 3, 12, 12))
    x[np.arange(48), y] += 0.5  # the class is the brightest channel
    loss_fn = T.nn.CrossEntropyLoss()
    optimizer = T.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
    scheduler = T.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for step in range(steps):
        rows = (np.arange(12) + 12 * step) % 48
        optimizer.zero_grad()
        loss = loss_fn(model(T.tensor(x[rows])), T.tensor(y[rows]))
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield loss.item()

"""A perceptron for classes: label smoothing, AdamW, a learning rate that is halved every fifteen steps."""

import numpy as np


def build(T):
    nn = T.nn
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 4))


def train(T, model, steps):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((120, 12))
    y = (x @ rng.standard_normal((12, 4))).argmax(1)
    loss_fn = T.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = T.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.05)
    scheduler = T.optim.lr_scheduler.StepLR(optimizer, step_size=15, gamma=0.5)
    for step in range(steps):
        rows = (np.arange(30) + 30 * step) % 120
        optimizer.zero_grad()
        loss = loss_fn(model(T.tensor(x[rows])), T.tensor(y[rows]))
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield loss.item()

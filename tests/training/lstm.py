"""The next value of a series, read in pieces: the state goes on from piece to piece, its gradient does not; NAdam."""

import numpy as np

PIECE = 8


def build(T):
    nn = T.nn

    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(2, 10, num_layers=2)
            self.head = nn.Linear(10, 2)

        def forward(self, x, state):
            outputs, state = self.lstm(x, state)
            return self.head(outputs), state

    return Forecaster()


def train(T, model, steps):
    rng = np.random.default_rng(4)
    time = np.arange(steps * PIECE + 1)[:, None, None]
    phase, period = rng.uniform(0, 6, (1, 5, 2)), np.array([11.0, 17.0])
    series = T.tensor(np.sin(2 * np.pi * time / period + phase))
    optimizer = T.optim.NAdam(model.parameters(), lr=0.01)
    loss_fn = T.nn.SmoothL1Loss(beta=0.5)
    state = tuple(T.zeros(2, 5, 10, dtype=T.float64) for _ in "hc")
    for start in range(0, steps * PIECE, PIECE):
        optimizer.zero_grad()
        state = tuple(part.detach() for part in state)
        output, state = model(series[start : start + PIECE], state)
        loss = loss_fn(output, series[start + 1 : start + PIECE + 1])
        loss.backward()
        T.nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.1)
        optimizer.step()
        yield loss.item()

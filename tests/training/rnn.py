"""Words to a class: an Elman network of two layers in both directions over padded rows; RMSprop, clipped gradients."""

import numpy as np


def build(T):
    nn = T.nn

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 6, padding_idx=0)
            self.rnn = nn.RNN(6, 8, num_layers=2, batch_first=True, bidirectional=True)
            self.head = nn.Linear(16, 3)

        def forward(self, words):
            states, _ = self.rnn(self.embedding(words))
            spoken = (words != 0).unsqueeze(-1)
            return self.head(states.masked_fill(~spoken, 0.0).sum(dim=1) / spoken.sum(dim=1))

    return Reader()


def train(T, model, steps):
    rng = np.random.default_rng(3)
    words = rng.integers(1, 9, (40, 7))
    words[np.arange(7) >= rng.integers(2, 8, (40, 1))] = 0
    y = words.max(axis=1) % 3
    optimizer = T.optim.RMSprop(model.parameters(), lr=2e-3, momentum=0.9, centered=True)
    for step in range(steps):
        rows = (np.arange(10) + 10 * step) % 40
        optimizer.zero_grad()
        loss = T.nn.functional.cross_entropy(model(T.tensor(words[rows])), T.tensor(y[rows]))
        loss.backward()
        T.nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.5)
        optimizer.step()
        yield loss.item()

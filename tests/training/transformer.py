"""The next symbol of a sequence: causal encoder layers over padded rows; Adam, warmed up as by Vaswani et al. 2017."""

import numpy as np

LENGTH, WIDTH = 7, 16


def build(T):
    nn = T.nn

    class Writer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8, WIDTH, padding_idx=0)
            self.place = nn.Parameter(T.randn(LENGTH, WIDTH) * 0.1)
            layer = nn.TransformerEncoderLayer(
                WIDTH, nhead=4, dim_feedforward=32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.encoder = nn.TransformerEncoder(
                layer, num_layers=2, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False
            )
            self.head = nn.Linear(WIDTH, 8)

        def forward(self, x):
            later = T.triu(T.ones(LENGTH, LENGTH, dtype=T.bool), diagonal=1)
            states = self.encoder(self.embedding(x) + self.place, mask=later, src_key_padding_mask=x == 0)
            return self.head(states)

    return Writer()


def train(T, model, steps):
    rng = np.random.default_rng(5)
    start, stride = rng.integers(0, 7, (2, 32, 1))
    symbols = 1 + (start + stride * np.arange(LENGTH + 1)) % 7
    symbols[np.arange(LENGTH + 1) >= rng.integers(4, LENGTH + 2, (32, 1))] = 0
    optimizer = T.optim.Adam(model.parameters(), lr=0.01, betas=(0.9, 0.98), eps=1e-9)
    scheduler = T.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 10, (10 / (step + 1)) ** 0.5))
    for step in range(steps):
        rows = symbols[(np.arange(8) + 8 * step) % 32]
        x, y = T.tensor(rows[:, :-1]), T.tensor(rows[:, 1:])
        optimizer.zero_grad()
        loss = T.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=0)
        loss.backward()
        optimizer.step()
        scheduler.step()
        yield loss.item()

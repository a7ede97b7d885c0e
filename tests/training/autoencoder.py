"""Pictures through a narrow middle and back: strided convolutions, transposed ones; BCE on pixels, Adagrad."""

import numpy as np


def build(T):
    nn = T.nn

    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 6, 3, stride=2, padding=1),
                nn.ELU(),
                nn.Conv2d(6, 8, 3, stride=2, padding=1),
                nn.Flatten(),
                nn.Linear(8 * 3 * 3, 5),
            )
            self.decoder = nn.Sequential(
                nn.Linear(5, 8 * 3 * 3),
                nn.Unflatten(1, (8, 3, 3)),
                nn.SiLU(),
                nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1),
                nn.ELU(),
                nn.ConvTranspose2d(6, 1, 4, stride=2, padding=1),
                nn.Sigmoid(),
            )

        def forward(self, x):
            return self.decoder(self.encoder(x))

    return Autoencoder()


def train(T, model, steps):
    rng = np.random.default_rng(6)
    rows, columns = np.mgrid[:12, :12]
    centre = rng.uniform(3, 9, (2, 40, 1, 1, 1))
    x = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / 8)  # one blot a picture
    optimizer = T.optim.Adagrad(model.parameters(), lr=0.03)
    loss_fn = T.nn.BCELoss()
    for step in range(steps):
        batch = T.tensor(x[(np.arange(10) + 10 * step) % 40])
        optimizer.zero_grad()
        loss = loss_fn(model(batch), batch)
        loss.backward()
        optimizer.step()
        yield loss.item()

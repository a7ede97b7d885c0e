"""A generator and a discriminator of points on a ring: two Adams take turns, and a batch is detached between them."""

import numpy as np


def build(T):
    nn = T.nn
    return nn.ModuleDict(
        {
            "generator": nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2)),
            "discriminator": nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)),
        }
    )


def train(T, model, steps):
    rng = np.random.default_rng(7)
    generator, discriminator = model["generator"], model["discriminator"]
    loss_fn = T.nn.BCEWithLogitsLoss()
    of_generator = T.optim.Adam(generator.parameters(), lr=5e-3, betas=(0.5, 0.999))
    of_discriminator = T.optim.Adam(discriminator.parameters(), lr=5e-3, betas=(0.5, 0.999))
    yes, no = T.ones(16, 1, dtype=T.float64), T.zeros(16, 1, dtype=T.float64)
    for _ in range(steps):
        angle = rng.uniform(0, 2 * np.pi, (16, 1))
        real = T.tensor(2 * np.concatenate([np.cos(angle), np.sin(angle)], axis=1))
        fake = generator(T.tensor(rng.standard_normal((16, 4))))

        of_discriminator.zero_grad()
        judged = loss_fn(discriminator(real), yes) + loss_fn(discriminator(fake.detach()), no)
        judged.backward()
        of_discriminator.step()

        of_generator.zero_grad()
        fooled = loss_fn(discriminator(fake), yes)
        fooled.backward()
        of_generator.step()
        yield judged.item()
        yield fooled.item()

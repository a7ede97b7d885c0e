"""A generative adversarial network under data and model parallelism: two models, each split, in turns.

The discriminator learns from real digits and from the generator's. The generator learns from its verdict: that is
part of its loss function, so every rank has the discriminator whole (`judge`) where it trains the generator.
"""

from minipar import cat, data, float64, manual_seed, nn, ones, optim, parallel, randn, tensor, zeros
from minipar.nn import functional as F

STEPS, RATE, BATCH = 8, 0.05, 25


def generator():
    return nn.Sequential(nn.Linear(16, 48), nn.LeakyReLU(0.2), nn.Linear(48, 64), nn.Sigmoid()).double()


def discriminator():
    return nn.Sequential(nn.Linear(64, 48), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(48, 1)).double()


def train(comm, layout):
    manual_seed(0)
    layout = parallel.Layout.parse(layout)
    makes, judges = layout.parallelize(generator(), comm), layout.parallelize(discriminator(), comm)
    judge = discriminator().requires_grad_(False)
    step_makes = optim.SGD(makes.parameters(), lr=RATE, momentum=0.9)
    step_judges = optim.SGD(judges.parameters(), lr=RATE, momentum=0.9)

    def fools_the_judge(images, yes):
        return F.binary_cross_entropy_with_logits(judge(images), yes)

    def both():
        nets = ("generator", makes), ("discriminator", judges)
        return {f"{name}.{key}": value for name, net in nets for key, value in net.state_dict().items()}

    start, digits = both(), data.load("digits").x_train.reshape(-1, 64)
    yes, no = ones(BATCH, 1, dtype=float64), zeros(BATCH, 1, dtype=float64)
    for step in range(STEPS):
        real, noise = tensor(digits[step * BATCH : (step + 1) * BATCH]).double(), randn(BATCH, 16, dtype=float64)
        loss = F.binary_cross_entropy_with_logits
        told_apart = judges.train_step(loss, step_judges, cat([real, makes(noise)]), cat([yes, no]))
        judge.load_state_dict(judges.state_dict())
        fooled = makes.train_step(fools_the_judge, step_makes, noise, yes)
    held = [
        f"{net} {name} {'×'.join(map(str, p.shape))}"
        for net, model in (("G", makes), ("D", judges))
        for name, p in model.named_parameters()
        if "weight" in name
    ]
    return (told_apart, fooled), held, both(), start


((losses, _, alone, start),) = parallel.launch(train, "data=1", workers=1, backend="thread")
print("one process: losses of discriminator and generator", *(f"{loss:.4f}" for loss in losses))
for layout in ("data=2", "pipeline=2,microbatches=2", "tensor=2", "data=2,tensor=2"):
    workers = parallel.Layout.parse(layout).ranks
    ranks = parallel.launch(train, layout, workers=workers, backend="thread")
    print(f"{layout}: losses", *(f"{loss:.4f}" for loss in ranks[0][0]))
    for rank, (_, held, _, _) in enumerate(ranks):
        print(f"  rank {rank} holds {', '.join(held)}")
    differences = parallel.compare_parameters(ranks[0][2], alone, start, RATE)
    print(f"  parameters differ from one process's by {max(d.relative for d in differences):.1g}")

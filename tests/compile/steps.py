"""Training steps of many kinds: each function builds a model anew and returns (step, batches, what to compare)."""

import numpy as np

import minipar
import minipar.nn.functional as F
from minipar import nn, optim

STEPS = {}


def named(make):
    STEPS[make.__name__] = make
    return make


def floats(*shape, seed=0, count=6):
    rng = np.random.default_rng(seed)
    return [minipar.from_numpy(rng.normal(size=shape).astype(np.float32)) for _ in range(count)]


def numbers(high, *shape, seed=1, count=6):
    rng = np.random.default_rng(seed)
    return [minipar.from_numpy(rng.integers(0, high, shape)) for _ in range(count)]


def training(model, optimizer, loss_of, *batches, after=lambda: None):
    """The usual step, and the model's state to compare."""

    def step(*batch):
        optimizer.zero_grad()
        loss = loss_of(model, *batch)
        loss.backward()
        optimizer.step()
        after()
        return loss

    return step, list(zip(*batches)), [model]


def classified(model, x, y):
    return F.cross_entropy(model(x), y)


def regressed(model, x, y):
    return F.mse_loss(model(x), y)


def mlp(dtype=None):
    layers = nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)
    return nn.Sequential(*layers) if dtype is None else nn.Sequential(*layers).to(dtype)


@named
def mlp_adam():
    model = mlp()
    return training(model, optim.Adam(model.parameters(), lr=0.01), regressed, floats(8, 5), floats(8, 3, seed=2))


@named
def mlp_float64():
    model = mlp(minipar.float64)
    batches = [[x.double() for x in part] for part in (floats(8, 5), floats(8, 3, seed=2))]
    return training(model, optim.Adam(model.parameters(), lr=0.01), regressed, *batches)


@named
def classes_sgd_momentum_schedule():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    schedule = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    return training(model, optimizer, classified, floats(8, 5), numbers(3, 8), after=lambda: schedule.step())


@named
def ignored_classes():
    model = mlp()
    classes = numbers(3, 8)
    for i, y in enumerate(classes):
        y[: i % 4] = -100
    return training(model, optim.SGD(model.parameters(), lr=0.1), classified, floats(8, 5), classes)


def _optimizer(kind, **options):
    def make():
        model = mlp()
        return training(model, kind(model.parameters(), **options), regressed, floats(8, 5), floats(8, 3, seed=2))

    STEPS[f"mlp_{kind.__name__}"] = make


for _kind in (optim.AdamW, optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.NAdam, optim.Rprop):
    _optimizer(_kind)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(6 * 3 * 3, 3)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = F.relu(self.conv2(x))
        return self.head(F.avg_pool2d(x, 1).flatten(1))


@named
def cnn_module():
    model = Convolutional()
    return training(model, optim.SGD(model.parameters(), lr=0.1), classified, floats(4, 1, 10, 10), numbers(3, 4))


@named
def cnn_sequential():
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6, 3)),
    )
    return training(model, optim.SGD(model.parameters(), lr=0.1), classified, floats(4, 1, 10, 10), numbers(3, 4))


@named
def batch_norm():
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.GELU(), nn.Linear(7, 3), nn.LayerNorm(3))
    return training(model, optim.Adam(model.parameters()), regressed, floats(8, 5), floats(8, 3, seed=2))


@named
def batch_norm_of_equal_shares():
    """momentum=None: the running statistics are means over all batches, so the count of batches is read."""
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7, momentum=None), nn.ReLU(), nn.Linear(7, 3))
    return training(model, optim.Adam(model.parameters()), regressed, floats(8, 5), floats(8, 3, seed=2))


@named
def batch_norm_of_images():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, momentum=0.3), nn.ReLU(), nn.Flatten())
    return training(model, optim.SGD(model.parameters(), lr=0.1), classified, floats(4, 2, 6, 6), numbers(48, 4))


@named
def norms_of_channels():
    model = nn.Sequential(
        *(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4, momentum=None), nn.Tanh(), nn.GroupNorm(2, 4)),
        *(nn.InstanceNorm1d(4, affine=True, track_running_stats=True), nn.Flatten(), nn.Linear(16, 3)),
    )
    return training(model, optim.Adam(model.parameters()), classified, floats(4, 2, 6), numbers(3, 4))


@named
def dropouts():
    minipar.manual_seed(5)
    model = nn.Sequential(nn.Linear(5, 9), nn.Dropout(0.3), nn.Linear(9, 7), nn.AlphaDropout(0.2), nn.Linear(7, 3))
    return training(model, optim.Adam(model.parameters()), regressed, floats(8, 5), floats(8, 3, seed=2))


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.cell = kind(4, 6, batch_first=True, **options)
        self.head = nn.Linear(6 * (1 + self.cell.bidirectional), 3)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


def _recurrent(kind, **options):
    def make():
        model = Recurrent(kind, **options)
        return training(model, optim.SGD(model.parameters(), lr=0.1), classified, floats(3, 5, 4), numbers(3, 3))

    STEPS["_".join([kind.__name__, *options])] = make


for _kind in (nn.RNN, nn.LSTM, nn.GRU):
    _recurrent(_kind)
_recurrent(nn.LSTM, num_layers=2, bidirectional=True)


@named
def transformer():
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    return training(model, optim.Adam(model.parameters()), regressed, floats(3, 5, 8), floats(3, 5, 8, seed=2))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.mix = nn.Embedding(11, 6), nn.Linear(6, 6)

    def forward(self, x):
        return F.linear(self.mix(self.words(x)).relu(), self.words.weight).flatten(0, 1)


@named
def mean_over_tokens():
    model = nn.ModuleList([nn.Linear(5, 6), nn.Linear(6, 3)])

    def loss(model, x, y):
        hidden = model[0](x)
        return F.mse_loss(model[1](hidden.mean(1)) + hidden.sum(1)[:, :3], y)

    return training(model, optim.SGD(model.parameters(), lr=0.1), loss, floats(4, 7, 5), floats(4, 3, seed=2))


@named
def tied_embedding():
    model = Tied()
    return training(
        model, optim.Adam(model.parameters()), lambda m, x: F.cross_entropy(m(x), x.flatten()), numbers(11, 3, 4)
    )


@named
def micro_batches_and_clipping():
    model = mlp()
    optimizer = optim.AdamW(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        total = 0.0
        for part, wanted in zip(x.chunk(2), y.chunk(2)):
            loss = F.mse_loss(model(part), wanted) / 2
            loss.backward()
            total = total + loss.detach()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        return {"loss": total, "norm": norm}

    return step, list(zip(floats(8, 5), floats(8, 3, seed=2))), [model]


@named
def clipped_values_zeroed_after():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x, y):
        loss = F.mse_loss(model(x), y)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.01)
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step, list(zip(floats(8, 5), floats(8, 3, seed=2))), [model]


@named
def zeros_instead_of_none():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad(set_to_none=False)
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, list(zip(floats(8, 5), floats(8, 3, seed=2))), [model]


@named
def frozen_parameters():
    model = mlp()
    for p in model[0].parameters():
        p.requires_grad_(False)
    optimizer = optim.Adam([p for p in model.parameters() if p.requires_grad])
    return training(model, optimizer, regressed, floats(8, 5), floats(8, 3, seed=2))


@named
def two_optimizers():
    maker, judge = nn.Linear(4, 5), nn.Sequential(nn.Linear(5, 6), nn.LeakyReLU(), nn.Linear(6, 1))
    first, second = optim.Adam(maker.parameters(), betas=(0.5, 0.9)), optim.RMSprop(judge.parameters())

    def step(real, noise):
        second.zero_grad()
        made = maker(noise)
        ones, zeros = minipar.ones(8, 1), minipar.zeros(8, 1)
        judged = F.binary_cross_entropy_with_logits(judge(real), ones)
        judged = judged + F.binary_cross_entropy_with_logits(judge(made.detach()), zeros)
        judged.backward()
        second.step()
        first.zero_grad()
        fooled = F.binary_cross_entropy_with_logits(judge(made), ones)
        fooled.backward()
        first.step()
        return judged, [fooled]

    return step, list(zip(floats(8, 5), floats(8, 4, seed=2))), [maker, judge]


@named
def by_hand():
    weight = minipar.randn(5, 3, requires_grad=True)
    mean = minipar.zeros(3)

    def step(x, y):
        loss = ((x @ weight - y) ** 2).mean()
        loss.backward()
        with minipar.no_grad():
            weight.sub_(0.1 * weight.grad)
            mean.mul_(0.9).add_(0.1 * y.mean(0))
            weight[0] = weight[0] * 0.5
        weight.grad = None
        return loss, mean

    return step, list(zip(floats(8, 5), floats(8, 3, seed=2))), [weight, mean]


@named
def noise_masks_and_counts():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    minipar.manual_seed(3)

    def step(x, y):
        optimizer.zero_grad()
        noisy = x + 0.1 * minipar.randn(8, 5)
        table = minipar.zeros(8, 3)
        table[:, 0] = y[:, 0]
        out = model(noisy).masked_fill(y > 1, 0.0)
        loss = F.smooth_l1_loss(out, table) + F.max_pool1d(out.unsqueeze(0), 2).sum() * 0.01
        best = out.argmax(1)
        loss.backward()
        optimizer.step()
        return loss, (best == y.argmax(1)).float().mean(), best

    return step, list(zip(floats(8, 5), floats(8, 3, seed=2))), [model]


@named
def gradient_of_the_gradient():
    model = mlp()
    optimizer = optim.Adam(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        x = x.detach().requires_grad_()
        out = model(x).sum()
        (slope,) = minipar.autograd.grad(out, x, create_graph=True)
        loss = (slope * slope).mean() + F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss, slope, x.grad

    return step, list(zip(floats(8, 5), floats(8, 3, seed=2))), [model]


@named
def recomputed():
    model = mlp()
    optimizer = optim.Adam(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        loss = F.mse_loss(minipar.utils.checkpoint.checkpoint(model, x, use_reentrant=False), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, list(zip(floats(8, 5), floats(8, 3, seed=2))), [model]


class Doubled(minipar.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g * x


@named
def own_function():
    model = mlp()
    return training(
        model,
        optim.Adam(model.parameters()),
        lambda m, x, y: F.mse_loss(Doubled.apply(m(x)), y),
        *(floats(8, 5), floats(8, 3, seed=2)),
    )

"""`spatial`: what it makes of models, how they train, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import minipar as torch
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel import functional as pf
from minipar.parallel.equality import TOLERANCE, compare_gradients, compare_parameters, first_difference


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(1, channels), nn.ReLU())
        self.shortcut = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


class ResNet(nn.Module):
    """A model of one's own, whose forward flattens."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1), Residual(4), nn.BatchNorm2d(4), Residual(4)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.25)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.dropout(self.pool(self.blocks(x)).flatten(1)))


def cnn():
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.2)),
        nn.Sequential(nn.Conv2d(4, 5, 3, bias=False), nn.BatchNorm2d(5), nn.Tanh(), nn.Dropout(0.2)),
        *(nn.Flatten(), nn.Linear(5 * 4 * 3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)),
    )


def segmentation():
    """Fully convolutional: images in, images of classes out."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.AvgPool2d(2), Residual(4)),
        *(nn.ConvTranspose2d(4, 4, 2, 2), nn.Upsample(scale_factor=2), nn.Conv2d(4, 3, 3, padding=1)),
    )


MODELS = {"cnn": (cnn, (13, 10), None), "resnet": (ResNet, (9, 6), None), "segmentation": (segmentation, (10, 6), 20)}


def train(comm, name, dtype, layout):
    """(losses, start, gradients of step 1, state at the end)."""
    torch.manual_seed(2)
    build, image, height = MODELS[name]
    net = build().to(getattr(torch, dtype))
    start = {key: p.array.copy() for key, p in net.named_parameters()}
    made = parallel.parallelize(net, parallel.Mesh(comm, **layout))
    optimizer = optim.SGD(made.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(20):
        samples = (5, 2 if name == "cnn" else 1, 3)[step % 3]  # one sample: a rank of data parallelism has none
        x = torch.randn(samples, 1, *image).to(getattr(torch, dtype))
        y = torch.randint(0, 3, (samples,) if height is None else (samples, height, 12))
        losses.append(made.train_step(F.cross_entropy, optimizer, x, y))
        if step == 0:
            first = {key: p.grad.array.copy() for key, p in made.named_parameters()}
    return losses, start, first, {key: np.array(v.array) for key, v in made.state_dict().items()}


LAYOUTS = [
    ("cnn", 2, {"space": 2}, "thread"),
    ("cnn", 3, {"space": 3}, "thread"),
    ("cnn", 4, {"space": 4}, "thread"),
    ("cnn", 4, {"data": 2, "space": 2}, "thread"),
    ("resnet", 3, {"space": 3}, "thread"),
    ("resnet", 4, {"data": 2, "space": 2}, "thread"),
    ("segmentation", 4, {"space": 4}, "thread"),
    ("segmentation", 4, {"data": 2, "space": 2}, "thread"),
    ("segmentation", 4, {"space": 2, "tensor": 2}, "thread"),
    ("segmentation", 4, {"space": 2, "pipeline": 2}, "thread"),
    ("cnn", 2, {"space": 2}, "process"),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "ranks", "layout", "backend"), LAYOUTS)
def test_training_is_that_of_one_process(name, ranks, layout, backend, dtype):
    losses, start, first, alone = parallel.launch(train, name, dtype, {}, workers=1, backend="thread")[0]
    tolerance = TOLERANCE[np.dtype(dtype)]
    for result in parallel.launch(train, name, dtype, layout, workers=ranks, backend=backend):
        np.testing.assert_allclose(result[0], losses, rtol=10 * tolerance)
        if set(result[2]) == set(first) and all(result[2][k].shape == first[k].shape for k in first):  # not in stages
            assert first_difference(compare_gradients(result[2], first), tolerance) is None
        if result[3]:
            got = {key: result[3][key] for key in start}
            assert first_difference(
                compare_parameters(got, {k: alone[k] for k in start}, start, lr=0.05), 10 * tolerance
            ) is None  # fmt: skip
            for key in alone.keys() - start.keys():
                np.testing.assert_allclose(result[3][key], alone[key], rtol=100 * tolerance, err_msg=key)


def shown(comm, build):
    model = build()
    parameters = dict(model.named_parameters())
    made = parallel.spatial(model, comm)
    assert all(p is parameters[key] for key, p in made.named_parameters())
    return made.gives_rows, [type(m).__name__ for _, m in made.named_modules()][1:]


def test_what_becomes_of_a_model():
    gives_rows, kinds = parallel.launch(shown, cnn, workers=2, backend="thread")[1]
    assert not gives_rows
    assert kinds == [
        *("RowsConv2d", "ReLU", "RowsMaxPool2d", "RowsDropout", "Dropout2d", "Sequential"),
        *("RowsConv2d", "SyncBatchNorm", "Tanh", "RowsDropout", "Dropout"),
        *("Identity", "RowsLinear", "SyncBatchNorm", "ReLU", "Linear"),
    ]
    gives_rows, kinds = parallel.launch(shown, segmentation, workers=2, backend="thread")[0]
    assert gives_rows
    assert {"Conv2d", "AvgPool2d", "ConvTranspose2d", "Upsample", "GroupNorm"}.isdisjoint(kinds)
    assert parallel.launch(shown, segmentation, workers=1, backend="thread")[0][1][0] == "Conv2d"


def test_a_layer_that_stands_twice_is_one_layer():
    def run(comm):
        conv = nn.Conv2d(1, 1, 3, padding=1)
        made = parallel.spatial(nn.Sequential(conv, nn.ReLU(), conv), comm)
        return made[0] is made[2] and type(made[0]).__name__

    assert parallel.launch(run, workers=2, backend="thread") == ["RowsConv2d"] * 2


class Unordered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.pool(self.conv(x))


class Flattens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: nn.Sequential(nn.ReLU(), nn.Conv1d(1, 1, 3)), r"1 = Conv1d\(.*cannot be split by rows.*Flatten"),
        (lambda: nn.Sequential(nn.MaxPool2d(2, return_indices=True)), r"0 = MaxPool2d.*cannot be split"),
        (lambda: nn.Sequential(nn.Sequential(nn.LayerNorm((4, 4)))), r"0\.0 = LayerNorm.*cannot be split"),
        (lambda: nn.TransformerEncoderLayer(4, 2), "TransformerEncoderLayer.*cannot be split"),
        (Unordered, "conv = Conv2d.*comes after pool.*in order"),
        (Flattens, "fc = Linear.*cannot be split by rows.*AdaptiveAvgPool2d"),
        (lambda: nn.Sequential(Doubled()), r"0 = Doubled.*row_by_row=\(Doubled,\)"),
    ],
)
def test_what_cannot_be_split_is_named(build, says):
    def run(comm):
        model = build()
        kinds = [type(m) for m in model.modules()]
        with pytest.raises(NotImplementedError, match=says.replace(".*", "(?s:.*)")):
            parallel.spatial(model, comm)
        assert [type(m) for m in model.modules()] == kinds, "nothing has been changed"

    parallel.launch(run, workers=2, backend="thread")


class Mixed(nn.Module):
    """With a layer inside that is none of images."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Bilinear(6, 6, 6)

    def forward(self, x):
        return self.inner(x, x)


class Listed(nn.Module):
    """Its layers are in lists, and one of them is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)])
        self.then = nn.ModuleDict({"pool": nn.MaxPool2d(2), "softmax": nn.Softmax(1)})

    def forward(self, x):
        first, second = self.convolutions
        return self.then["softmax"](self.then["pool"](second(second(first(x)))))


@pytest.mark.parametrize(
    ("build", "own"),
    [
        (lambda: nn.Sequential(Doubled(), nn.Conv2d(1, 1, 3)), (Doubled,)),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), Mixed(), nn.Conv2d(1, 1, 3)), (Mixed,)),
        (Listed, ()),
    ],
    ids=["said to be of single rows", "with children", "lists"],
)
def test_layers_of_ones_own(build, own):
    def run(comm):
        torch.manual_seed(0)
        whole, x = build().double(), torch.randn(2, 1, 9, 6).double()
        expected = whole(x).detach()
        net = parallel.parallelize(whole, parallel.Mesh(comm, space=2), row_by_row=own)
        return float((net(x) - expected).abs().max())

    assert max(parallel.launch(run, workers=2, backend="thread")) < 1e-14


def test_a_softmax_over_an_axis_from_the_front_takes_batches():
    def run(comm):
        model = parallel.spatial(nn.Sequential(nn.Softmax(1)), comm)
        rows = pf.own_part(torch.ones(2, 3, 4, 5), comm, -2)
        assert torch.allclose(model(rows), torch.full((2, 3, 2, 5), 1 / 3))
        with pytest.raises(RuntimeError, match=r"takes images \(N, C, H, W\), not \(3, 2, 5\).*dim=-3"):
            model(rows[0])

    parallel.launch(run, workers=2, backend="thread")


@pytest.mark.parametrize(
    ("layer", "x", "says"),
    [
        (lambda: nn.Conv2d(1, 1, 5), (1, 1, 4, 9), "image of 4 rows is too small for a window of 5"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), (1, 1, 4, 3), "4 rows and 3 columns.*in_features=9"),
        (lambda: nn.Conv2d(1, 1, 3, padding=4, padding_mode="circular"), (1, 1, 3, 9), "at most 3 rows"),
        (lambda: nn.GroupNorm(1, 1), (1, 1, 1, 1), "more than 1 value"),
    ],
)
def test_images_that_do_not_fit_are_refused_on_every_rank(layer, x, says):
    def run(comm):
        model = parallel.spatial(layer(), comm)
        with pytest.raises((RuntimeError, ValueError), match=says):
            model(pf.own_part(torch.ones(*x), comm, -2))
        comm.barrier()

    parallel.launch(run, workers=2, backend="thread")

"""A layer and the ReLU after it, and 2 × 2 max-pooling after both, are one operation, unless somebody looks between."""

import pytest

import minipar
import minipar.nn.functional as F
from minipar import nn, optim
from minipar.capture import fusion, replay
from minipar.capture.program import Forward, Pull
from minipar.ops.conv_pool import PooledConvolution


@pytest.fixture
def programs(monkeypatch):
    """The names of the operations of every program that is made."""
    made, fuse = [], fusion.fuse

    def noted(*args):
        program = fuse(*args)
        made.append([type(step.op).__name__ for step in program if isinstance(step, Forward)])
        return program

    monkeypatch.setattr(fusion, "fuse", noted)
    return made


class Net(nn.Module):
    def __init__(self, middle=lambda h: h):
        super().__init__()
        minipar.manual_seed(0)
        self.conv, self.fc, self.head = nn.Conv2d(1, 4, 3), nn.Linear(64, 5), nn.Linear(5, 3)
        self.middle = middle

    def forward(self, x):
        h = self.conv(x)
        y = F.relu(h)
        self.middle(h)
        return self.head(self.fc(y.flatten(1)).relu())


def losses(compile, middle=lambda h: h, extra=lambda model, x: 0.0, count=6):
    model = Net(middle)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    minipar.manual_seed(1)
    x, y = minipar.randn(4, 1, 6, 6), minipar.tensor([0, 1, 2, 1])

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) + extra(model, x)
        loss.backward()
        optimizer.step()
        return loss

    step = minipar.compile(step) if compile else step
    return [step(x, y).item() for _ in range(count)]


def test_a_module_is_fused(programs):
    assert losses(True) == pytest.approx(losses(False), rel=1e-5)
    assert programs[0].count("ReLU") == 0
    assert "RectifiedConvolution" in programs[0]


def test_what_is_read_between_is_not_fused(programs):
    def extra(model, x):
        h = model.conv(x)
        return (F.relu(h).sum() + h.mean()) * 0.01

    assert losses(True, extra=extra) == pytest.approx(losses(False, extra=extra), rel=1e-5)
    assert programs[0].count("ReLU") == 1


def test_a_result_is_not_fused_away(programs):
    layer = nn.Linear(3, 2)

    @minipar.compile
    def step(x):
        h = layer(x)
        return h, F.relu(h)

    for i in range(4):
        h, y = step(minipar.full((2, 3), float(i)))
        assert minipar.equal(h, layer(minipar.full((2, 3), float(i))))
        assert minipar.equal(y, F.relu(h))
    assert programs[0] == ["Linear", "ReLU"]


def test_a_hook_between_sees_its_gradient(programs):
    def middle(h):
        h.register_hook(lambda g: g * 2)

    assert losses(True, middle) == pytest.approx(losses(False, middle), rel=1e-5)
    assert "ReLU" in programs[0]
    assert losses(False, middle) != losses(False)


def test_a_fused_operation_that_gives_something_else_is_not_taken(programs, monkeypatch):
    """The trial beside the step can fail."""
    monkeypatch.setattr(fusion, "_CLOSE", {"f": -1.0})
    assert losses(True) == losses(False)
    assert "ReLU" in programs[0]


class Pooled(nn.Module):
    """Two convolutions of 32 channels, so that kernels can pool on the way, each with a ReLU and a pooling after it."""

    def __init__(self, between=lambda h, y: None, pool=lambda y: F.max_pool2d(y, 2)):
        super().__init__()
        minipar.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 32, 3), nn.Linear(128, 3)
        self.between, self.pool = between, pool

    def forward(self, x):
        h = self.first(x)
        y = F.relu(h)
        self.between(h, y)
        y = F.max_pool2d(F.relu(self.second(self.pool(y))), 2)
        return self.head(y.flatten(1))


def trained(compile, model, x=None, extra=lambda model, x: 0.0):
    """The losses of some steps, and the parameters after them."""
    model = model.to(minipar.float32 if x is None else x.dtype)
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    minipar.manual_seed(1)
    x, y = minipar.randn(IMAGES, 1, 14, 14) if x is None else x, minipar.arange(IMAGES) % 3

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) + extra(model, x)
        loss.backward()
        optimizer.step()
        return loss

    step = minipar.compile(step) if compile else step
    found = [step(x + i, y).item() for i in range(4)]
    return found, [p.tolist() for p in model.parameters()]


IMAGES = 84  # they fill the tiles of every CPU's kernels
THREE = ["Convolution", "ReLU", "MaxPool2dAlone"]


def operations(program):
    """Those of a program that are of convolution, ReLU or pooling."""
    return [name for name in program if name in THREE or name.endswith("Convolution")]


def test_convolution_relu_and_pooling_are_one_operation_to_the_bit(programs, monkeypatch):
    fused = trained(True, Pooled())
    assert operations(programs[0]) == ["PooledConvolution"] * 2
    monkeypatch.setattr(fusion, "_WHOLES", {})
    assert trained(True, Pooled()) == fused
    assert operations(programs[1]) == THREE * 2
    assert trained(False, Pooled()) == fused


def test_pooled_convolutions_are_replayed_as_calls_of_kernels(monkeypatch):
    made, replay_of = [], replay.replay_of
    monkeypatch.setattr(replay, "replay_of", lambda *given: made.append(given[0]) or replay_of(*given))
    trained(True, Pooled())
    pooled = [step for step in made[0] if isinstance(step, Forward | Pull) and type(step.op) is PooledConvolution]
    assert [type(step) for step in pooled] == [Forward, Forward, Pull, Pull]
    assert all(step.raw for step in pooled)


def test_float64_is_pooled_too(programs):
    x = minipar.randn(IMAGES, 1, 14, 14, dtype=minipar.float64)
    assert trained(True, Pooled(), x) == trained(False, Pooled(), x)
    assert operations(programs[0])[-1] == "PooledConvolution"


def test_without_a_gradient_it_is_pooled_too(programs):
    model = Pooled().requires_grad_(False)
    step = minipar.compile(model)
    for i in range(4):
        x = minipar.full((IMAGES, 1, 14, 14), float(i))
        assert minipar.equal(step(x), model(x))
    assert operations(programs[0]) == ["PooledConvolution"] * 2


@pytest.mark.parametrize("frozen", ["first.weight", "first.bias", "second.weight", "second.bias", "first", "second"])
def test_frozen_parameters_stay_and_the_others_learn(frozen):
    def model():
        made = Pooled()
        for name, parameter in made.named_parameters():
            parameter.requires_grad_(not name.startswith(frozen))
        return made

    assert trained(True, model()) == trained(False, model())


@pytest.mark.parametrize(
    "geometry",
    [
        {"kernel_size": 3},
        {"kernel_size": 2, "stride": 1},
        {"kernel_size": 2, "padding": 1},
        {"kernel_size": (2, 1), "stride": 2},
        {"kernel_size": 2, "stride": 2, "dilation": 2},
        {"kernel_size": 2, "ceil_mode": True},
    ],
)
def test_after_other_windows_only_the_relu_is_fused(programs, geometry):
    def net():
        model = Pooled(pool=lambda y: F.max_pool2d(y, **geometry))
        size = model.second(model.pool(model.first(minipar.zeros(1, 1, 14, 14)))).shape[-1] // 2
        model.head = nn.Linear(32 * size * size, 3)
        return model

    assert trained(True, net()) == trained(False, net())
    assert operations(programs[0])[:2] == ["RectifiedConvolution", "MaxPool2dAlone"]


def test_where_no_pooling_follows_the_pair_is_fused(programs):
    model = lambda: Pooled(pool=lambda y: y[:, :, :6, :6])  # noqa: E731
    assert trained(True, model()) == trained(False, model())
    assert operations(programs[0]) == ["RectifiedConvolution", "PooledConvolution"]


def reading(which):
    """A second reader of the convolution's output (0) or of the ReLU's (1)."""
    read = []

    def extra(model, x):
        return sum((read.pop().mean() for _ in list(read)), start=0.0) * 0.01

    return Pooled(between=lambda *pair: read.append(pair[which])), extra


@pytest.mark.parametrize(("which", "left"), [(0, THREE), (1, ["RectifiedConvolution", "MaxPool2dAlone"])])
def test_what_somebody_else_reads_is_not_pooled_away(programs, which, left):
    (model, extra), (twin, extra_too) = reading(which), reading(which)
    assert trained(True, model, extra=extra) == trained(False, twin, extra=extra_too)
    assert operations(programs[0]) == [*left, "PooledConvolution"]


@pytest.mark.parametrize(("which", "left"), [(0, THREE), (1, ["RectifiedConvolution", "MaxPool2dAlone"])])
def test_a_hook_between_sees_the_gradient_that_it_doubles(programs, which, left):
    def net():
        return Pooled(between=lambda *pair: pair[which].register_hook(lambda g: g * 2) and None)

    found = trained(True, net())
    assert found == trained(False, net())
    assert found != trained(False, Pooled())
    assert operations(programs[0]) == [*left, "PooledConvolution"]


@pytest.mark.parametrize(("which", "left"), [(0, THREE), (1, ["RectifiedConvolution", "MaxPool2dAlone"])])
def test_a_result_between_is_not_pooled_away(programs, which, left):
    layer = nn.Conv2d(1, 32, 3)

    def between(x):
        h = layer(x)
        y = F.relu(h)
        return (h, y)[which], F.max_pool2d(y, 2)

    step = minipar.compile(between)
    for _ in range(4):
        x = minipar.randn(2, 1, 8, 8)
        for found, wanted in zip(step(x), between(x)):
            assert minipar.equal(found, wanted)
    assert operations(programs[0]) == left


def test_two_ways_back_are_not_fused(programs):
    def step(x):
        y = F.max_pool2d(F.relu(layer(x)), 2)
        layer.zero_grad()
        y.sum().backward(retain_graph=True)
        (y * y).sum().backward()
        return layer.weight.grad

    layer = nn.Conv2d(1, 32, 3)
    compiled = minipar.compile(step)
    for _ in range(4):
        x = minipar.randn(2, 1, 8, 8)
        assert minipar.equal(compiled(x), step(x))
    assert operations(programs[0]) == THREE


def test_the_gradient_of_the_gradient_finds_the_winners(programs):
    def step(x):
        x = x.detach().requires_grad_()
        y = F.max_pool2d(F.relu(layer(x)), 2)
        (g,) = minipar.autograd.grad((y * y).sum(), x, create_graph=True)
        return minipar.autograd.grad((g * g).sum(), x)[0]

    layer = nn.Conv2d(1, 32, 3)
    compiled = minipar.compile(step)
    for _ in range(4):
        x = minipar.randn(2, 1, 8, 8)
        assert minipar.equal(compiled(x), step(x))
    assert "PooledConvolution" not in programs[0]


@pytest.mark.parametrize("images", [1, 4])
def test_pooling_that_kernels_cannot_do_on_the_way_is_left_to_two_kernels(programs, images):
    """For few channels convolution and pooling are two kernels; what NumPy notes between them no replay would renew."""
    x = minipar.randn(images, 1, 14, 14)
    labels = minipar.arange(images) % 3

    def net(compile):
        model = Pooled()
        model.first, model.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 32, 3)
        minipar.manual_seed(0)
        for p in model.parameters():
            minipar.nn.init.normal_(p, std=0.3)

        def step(x):
            model.zero_grad()
            F.cross_entropy(model(x), labels).backward()
            return [p.grad for p in model.parameters()]

        return minipar.compile(step) if compile else step

    compiled, eager = net(True), net(False)
    for i in range(4):
        for found, wanted in zip(compiled(x * (1 - i)), eager(x * (1 - i))):
            assert minipar.equal(found, wanted)
    assert operations(programs[0])[:2] == ["RectifiedConvolution", "MaxPool2dAlone"]


def test_winners_that_somebody_else_reads_are_not_pooled_away(programs):
    def step(x):
        y = F.relu(layer(x))
        (g,) = minipar.autograd.grad(F.max_pool2d(y, 2).pow(2).sum(), y, create_graph=True)
        return g.detach()

    layer = nn.Conv2d(1, 32, 3)
    compiled = minipar.compile(step)
    for _ in range(4):
        x = minipar.randn(IMAGES, 1, 8, 8)
        assert minipar.equal(compiled(x), step(x))
    assert "MaxPool2dAlone" in programs[0]


def test_a_leaf_of_the_step_is_not_held(programs):
    layer = nn.Conv2d(1, 32, 3)

    def step(x):
        layer.zero_grad()
        x = x.detach().requires_grad_()
        F.relu(layer(x)).pow(2).sum().backward()
        return x.grad

    compiled = minipar.compile(step)
    for _ in range(4):
        x = minipar.randn(2, 1, 8, 8)
        assert minipar.equal(compiled(x), step(x))
    assert operations(programs[0]) == ["RectifiedConvolution"]

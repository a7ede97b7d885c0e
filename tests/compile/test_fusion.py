"""A layer and the ReLU after it are one operation, unless somebody looks between them."""

import pytest

import minipar
import minipar.nn.functional as F
from minipar import nn, optim
from minipar.capture import fusion
from minipar.capture.program import Forward


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

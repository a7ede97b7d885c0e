"""What cannot be replayed raises while the step is recorded, and says what to do."""

import pytest

import minipar
import minipar.nn.functional as F
from minipar import nn, optim

LOOKS = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "bool": lambda x: 1 if x.sum() > 0 else 2,
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "array": lambda x: __import__("numpy").asarray(x),
    "index": lambda x: [1, 2, 3][(x.sum() * 0).long()],
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "contains": lambda x: 1.0 in x,
    "equal": lambda x: minipar.equal(x, x),
    "allclose": lambda x: minipar.allclose(x, x),
    "unique": lambda x: x.unique(),
    "format": lambda x: f"{x.sum():.3f}",
}


@pytest.mark.parametrize("name", LOOKS)
def test_looking_at_numbers_is_refused_by_name(name):
    step = minipar.compile(LOOKS[name])
    x = minipar.ones(3)
    step(x)  # as it is
    with pytest.raises(RuntimeError, match="return the tensor from the step"):
        step(x)
    assert minipar.ones(2).sum().item() == 2  # nothing stays hooked


def test_looking_at_a_parameter_is_refused():
    weight = minipar.nn.Parameter(minipar.ones(1))
    step = minipar.compile(lambda x: x * weight.item())
    step(minipar.ones(1))
    with pytest.raises(RuntimeError, match="item"):
        step(minipar.ones(1))


def test_what_python_knows_without_the_numbers_is_allowed():
    def step(x):
        if len(x) == 3 and x.shape[0] == 3 and x.is_floating_point() and minipar.tensor(2.0).item() == 2:
            return x * x.size(0)
        return x

    compiled = minipar.compile(step)
    assert [compiled(minipar.full((3,), float(i)))[0].item() for i in range(4)] == [0, 3, 6, 9]


def test_a_tensor_kept_for_later_is_refused():
    kept = []
    step = minipar.compile(lambda x: kept.append(x * 2))
    step(minipar.ones(2))
    with pytest.raises(RuntimeError, match="keeps a tensor of shape \\(2,\\)"):
        step(minipar.ones(2))


def test_other_memory_for_a_tensor_from_outside_is_refused():
    p = nn.Parameter(minipar.ones(2))

    @minipar.compile
    def step(x):
        p.data = x * 2
        return x

    step(minipar.ones(2))
    with pytest.raises(RuntimeError, match="other memory"):
        step(minipar.ones(2))


def test_a_step_taken_from_its_optimizer_before_is_refused():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    take = optimizer.step

    @minipar.compile
    def step(x):
        model(x).sum().backward()
        take()
        optimizer.zero_grad()
        return x

    step(minipar.ones(3, 2))
    with pytest.raises(RuntimeError, match="taken from its object"):
        step(minipar.ones(3, 2))


def test_a_closure_is_refused():
    model = nn.Linear(2, 1)
    optimizer = optim.LBFGS(model.parameters())

    def step(x):
        def closure():
            optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            return loss

        return optimizer.step(closure)

    compiled = minipar.compile(step)
    compiled(minipar.ones(3, 2))
    with pytest.raises(NotImplementedError, match="closure"):
        compiled(minipar.ones(3, 2))


def test_arguments_that_require_grad_are_refused():
    with pytest.raises(NotImplementedError, match="requires grad"):
        minipar.compile(lambda x: x)(minipar.ones(1, requires_grad=True))


@pytest.mark.parametrize("argument", [minipar.ones(1).numpy(), {1}], ids=["array", "set"])
def test_arguments_that_cannot_be_compared_are_refused(argument):
    with pytest.raises(TypeError, match="compiled step"):
        minipar.compile(lambda x: x)(argument)


def test_no_function_is_refused():
    with pytest.raises(TypeError, match="takes a function"):
        minipar.compile(3)


def test_detect_anomaly_is_refused():
    step = minipar.compile(lambda x: x * 2)
    with minipar.autograd.detect_anomaly():
        step(minipar.ones(1))
        with pytest.raises(RuntimeError, match="detect_anomaly"):
            step(minipar.ones(1))


def test_what_changes_in_every_call_ends_in_an_error():
    p, kept = nn.Parameter(minipar.ones(2)), []
    step = minipar.compile(lambda x: F.relu(x * p))
    for _ in range(65):  # the first runs as it is
        step(minipar.ones(2))
        kept.append(p.data)
        p.data = minipar.ones(2)
    with pytest.raises(RuntimeError, match="recorded 64 times"):
        step(minipar.ones(2))

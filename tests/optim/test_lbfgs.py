"""LBFGS beside PyTorch's: the same iterates, the same number of closure calls, the same state."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


def rosenbrock(T, x, y):
    """Curved and narrow, so that every branch of the line search is taken."""
    return ((1 - x) ** 2).sum() + 100 * ((y - x**2) ** 2).sum()


def quadratic(T, x, y):
    return ((x - 1) ** 2).sum() + 3 * ((y + x.sum()) ** 2).sum()


def steep(T, x, y):
    return (x**4).sum() + T.exp(y).sum() - y.sum()


def waves(T, x, y):
    return T.sin(5 * x).sum() + (x**2).sum() + T.cos(3 * y).sum() * 2 + (y**2).sum() / 2


def flattened(value):
    if isinstance(value, list):
        return [part for entry in value for part in flattened(entry)]
    return [np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)]


def run(T, function, start, calls=4, **options):
    """The parameters, the losses and the state after every call of step."""
    x, y = (T.nn.Parameter(T.tensor(np.array(v, np.float64))) for v in start)
    frozen = T.nn.Parameter(T.ones(2, dtype=T.float64))  # gets no gradient
    optimizer = T.optim.LBFGS([x, frozen, y], **options)
    evaluated = []

    def closure():
        optimizer.zero_grad()
        loss = function(T, x, y)
        loss.backward()
        evaluated.append((x.tolist(), y.tolist()))
        return loss

    losses = [float(optimizer.step(closure).detach()) for _ in range(calls)]
    entry = optimizer.state_dict()["state"][0]
    return evaluated, losses, {name: entry[name] for name in sorted(entry) if name != "al"}


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1, "max_iter": 5},
        {"lr": 0.05, "max_iter": 8, "history_size": 3},
        {"line_search_fn": "strong_wolfe", "max_iter": 4},
        {"line_search_fn": "strong_wolfe", "max_iter": 12, "history_size": 2, "lr": 0.5},
        {"line_search_fn": "strong_wolfe", "max_iter": 10, "max_eval": 7, "lr": 5},
        {"line_search_fn": "strong_wolfe", "max_eval": 1},
        {"lr": 0.1, "max_iter": 30, "tolerance_grad": 1.0},
        {"lr": 0.1, "max_iter": 30, "tolerance_change": 1e-2},
    ],
    ids=str,
)
@pytest.mark.parametrize("function", [rosenbrock, quadratic, steep, waves], ids=lambda f: f.__name__)
@pytest.mark.parametrize("start", [([-1.2, 0.4], [1.0, -0.3]), ([0.3, 0.1], [0.2, 0.5])], ids=["far", "near"])
def test_same_iterates(function, options, start):
    ours, theirs = run(minipar, function, start, **options), run(torch, function, start, **options)
    assert len(ours[0]) == len(theirs[0]), "closure calls"
    # A narrow valley makes much of a last bit: the first evaluations tell whether both do the same.
    np.testing.assert_allclose(ours[0][:16], theirs[0][:16], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-4, atol=1e-6)
    assert list(ours[2]) == list(theirs[2])
    for name, value in ours[2].items():
        parts, others = flattened(value), flattened(theirs[2][name])
        assert [p.shape for p in parts] == [p.shape for p in others], name


def test_state_goes_both_ways():
    def trained(T, steps, state=None, start=([-1.2, 0.4], [1.0, -0.3])):
        x, y = (T.nn.Parameter(T.tensor(np.array(v, np.float64))) for v in start)
        optimizer = T.optim.LBFGS([x, y], lr=0.2, max_iter=3)
        if state is not None:
            optimizer.load_state_dict(state)

        def closure():
            optimizer.zero_grad()
            loss = quadratic(T, x, y)
            loss.backward()
            return loss

        for _ in range(steps):
            optimizer.step(closure)
        return (x.tolist(), y.tolist()), optimizer.state_dict()

    def carried(T, value):
        if isinstance(value, list):
            return [carried(T, part) for part in value]
        return T.tensor(np.asarray(value.detach()).copy()) if hasattr(value, "detach") else value

    for here, there in ((minipar, torch), (torch, minipar)):
        whole, _ = trained(here, 4)
        half, state = trained(here, 2)
        state["state"] = {0: {name: carried(there, value) for name, value in state["state"][0].items()}}
        resumed, _ = trained(there, 2, state, half)
        np.testing.assert_allclose(resumed[0] + resumed[1], whole[0] + whole[1], rtol=1e-11)


def test_errors():
    p = nn.Parameter(minipar.ones(1))
    with pytest.raises(ValueError, match="one parameter group, not 2"):
        optim.LBFGS([{"params": p}, {"params": nn.Parameter(minipar.ones(1))}])
    with pytest.raises(RuntimeError, match="line_search_fn must be None or 'strong_wolfe', not 'wolfe'"):
        optim.LBFGS([p], line_search_fn="wolfe").step(lambda: (p * p).sum())
    with pytest.raises(ValueError, match="Invalid learning rate"):
        optim.LBFGS([p], lr=-1)
    with pytest.raises(TypeError, match="closure"):
        optim.LBFGS([p]).step()

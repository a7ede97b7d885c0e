"""The back-propagation of a two-layer ReLU network with MSE as an article prints it, held against central differences.

Every matrix is 4×4: then a transposed product has the right shape, and only its numbers tell.
"""

import numpy as np
import pytest

import minipar
from minipar.autograd import GradcheckError, grad, gradcheck
from tests.articles.articles import BACKPROPAGATION

WRONG = {  # printed formula -> the gradients that it spoils
    "delta2 = y - target": {"W1", "b1", "W2", "b2"},
    "dW2 = delta2 @ a1": {"W2"},
    "db2 = delta2.mean(dim=0)": {"b2"},
    "(delta2 @ W2)": {"W1", "b1"},
    "(y > 0)": {"W1", "b1"},
    "db1 = delta1.mean(dim=0)": {"b1"},
}
each_correction = pytest.mark.parametrize("correction", BACKPROPAGATION.corrections, ids=lambda c: c.old)


def example(T):
    """Inputs and targets, then W1, b1, W2, b2; no number comes close to the ReLU's kink."""
    rng = np.random.default_rng(0)
    x, target, W1, W2 = rng.standard_normal((4, 4, 4))
    b1, b2 = rng.standard_normal((2, 4))
    assert np.abs(x @ W1 + b1).min() > 0.01
    parameters = [T.tensor(a, dtype=T.float64, requires_grad=True) for a in (W1, b1, W2, b2)]
    return T.tensor(x), T.tensor(target), *parameters


def spoiled(function):
    """The names of the parameters whose gradient differs from the one that the tape finds by itself."""
    x, target, W1, b1, W2, b2 = arguments = example(minipar)
    loss = minipar.nn.functional.mse_loss(minipar.relu(x @ W1 + b1) @ W2 + b2, target)
    assert loss.item() == pytest.approx(function(*arguments).item(), rel=1e-12)
    pairs = zip(grad(function(*arguments), arguments[2:]), grad(loss, arguments[2:]))
    return {name for name, (g, right) in zip(("W1", "b1", "W2", "b2"), pairs) if not minipar.allclose(g, right)}


def test_every_mistake_is_listed():
    assert [correction.old for correction in BACKPROPAGATION.corrections] == list(WRONG)


def test_the_right_formulas_pass():
    net = BACKPROPAGATION.run("minipar", {})["TwoLayerNet"].apply
    assert gradcheck(net, example(minipar))
    assert spoiled(net) == set()


@each_correction
def test_a_printed_formula_fails(correction):
    net = BACKPROPAGATION.run("minipar", {}, leave_out=correction)["TwoLayerNet"].apply
    with pytest.raises(GradcheckError):
        gradcheck(net, example(minipar))
    assert spoiled(net) == WRONG[correction.old]


@pytest.mark.parametrize("correction", [None, *BACKPROPAGATION.corrections], ids=lambda c: c.old if c else "right")
def test_pytorch_says_the_same(correction):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    net = BACKPROPAGATION.run("torch", {}, leave_out=correction)["TwoLayerNet"].apply
    assert torch.autograd.gradcheck(net, example(torch), raise_exception=False) is (correction is None)

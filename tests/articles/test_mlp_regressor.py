"""scikit-learn's `MLPRegressor((10, 10))` and a network of that size here, at the same job on the same houses."""

import warnings

import pytest

from minipar.data import load
from tests.articles.articles import HOUSE_PRICES, MLP_REGRESSOR


def houses():
    """Ames: 2,198 + 732 houses; the price in thousands of dollars, as the Boston houses had it."""
    table = load("ames")
    x = {"X_train": table.x_train.astype(float), "X_test": table.x_test.astype(float)}
    return {**x, "y_train": table.y_train.astype(float) / 1000, "y_test": table.y_test.astype(float) / 1000}


def test_a_network_of_the_same_size_is_at_least_as_good():
    pytest.importorskip("sklearn", reason="pip install -e '.[oracle]'")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
        theirs = MLP_REGRESSOR.run("sklearn", houses())
    scaled = {**houses(), "X_train": theirs["X_train"], "X_test": theirs["X_test"]}
    ours = HOUSE_PRICES.run("minipar", scaled)

    print(f"R² of scikit-learn: {theirs['r2']:.4f}, of minipar: {ours['r2']:.4f}")
    assert theirs["r2"] > 0.8
    assert ours["r2"] >= theirs["r2"]
    layers = [(w.T.shape, b.shape) for w, b in zip(*[iter(ours["model"].parameters())] * 2)]
    assert layers == [(w.shape, b.shape) for w, b in zip(theirs["model"].coefs_, theirs["model"].intercepts_)]


def test_the_script_is_pytorchs_too():
    pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    data = houses()
    mean, spread = data["X_train"].mean(0), data["X_train"].std(0)
    data |= {name: (data[name] - mean) / spread for name in ("X_train", "X_test")}
    assert HOUSE_PRICES.run("torch", data)["r2"] > 0.85

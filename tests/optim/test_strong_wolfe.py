"""The line search beside PyTorch's on rough functions of one number, where it needs every means it has."""

import numpy as np
import pytest

from minipar.optim.strong_wolfe import Trial, strong_wolfe

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
from torch.optim.lbfgs import _strong_wolfe  # noqa: E402


def rough(rng):
    """A bowl with ripples and its slope; falling at 0."""
    wave, phase = rng.uniform(1, 30, 4), rng.uniform(0, 6.3, 4)
    height = rng.normal(size=4) / wave * rng.choice([0.1, 1, 3])
    bowl, drift = rng.uniform(0, 1) ** 3, rng.normal()

    def value(t):
        return bowl * (t - 2) ** 2 + drift * t + (height * np.sin(wave * t + phase)).sum()

    def slope(t):
        return 2 * bowl * (t - 2) + drift + (height * wave * np.cos(wave * t + phase)).sum()

    return value, slope


@pytest.mark.parametrize("max_repeats", [25, 3, 1, 0])
def test_same_search(max_repeats):
    searched = parted = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        value, slope = rough(rng)
        t, start_slope = 10.0 ** rng.uniform(-3, 1), slope(0.0)
        if start_slope >= 0:
            continue
        searched += 1
        made = []

        def evaluate(t, value=value, slope=slope, made=made):
            made.append(float(t))
            return Trial(t, float(value(float(t))), np.array([slope(float(t))]), np.float64(slope(float(t))))

        start = Trial(0, float(value(0.0)), np.array([start_slope]), np.float64(start_slope))
        found, trials = strong_wolfe(evaluate, start, t, np.float64(1), max_repeats, 1e-9)
        assert trials == len(made)

        theirs = []

        def objective(x, t, d, value=value, slope=slope, theirs=theirs):
            theirs.append(float(t))
            return float(value(float(t))), torch.tensor([slope(float(t))], dtype=torch.float64)

        direction, gradient = torch.ones(1, dtype=torch.float64), torch.tensor([start_slope], dtype=torch.float64)
        loss, _, at, count = _strong_wolfe(
            objective, None, t, direction, start.loss, gradient, gradient.dot(direction), max_ls=max_repeats
        )
        np.testing.assert_allclose(made[:7], theirs[:7], rtol=1e-6, atol=1e-9)
        if trials != count:
            parted += 1
            continue
        np.testing.assert_allclose(made, theirs, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose([found.t, found.loss], [float(at), loss], rtol=1e-6, atol=1e-9)
    assert searched > 100
    assert parted <= 1  # where three trials lie so close that a last bit decides between two ways

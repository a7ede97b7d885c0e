"""scikit-learn's MLPRegressor and MLPClassifier: `partial_fit` a step, or (`fit`) one fit of many full-batch steps.

Its squared error is half of PyTorch's mean, summed over outputs in the gradient; Adam does not see such a factor, and
the loss is doubled here. The fit neither shuffles nor stops early: both would only cost it time.
"""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ..contenders import THREADS, Prepared
from .problem import EARLY_EPSILON, Problem, problem

CALL_SECONDS = 0.05  # of one fit, about


def prepare(workload: str, fit: bool = False) -> Prepared:
    warnings.simplefilter("ignore", ConvergenceWarning)
    p = problem(workload)
    return _fit(p) if fit else _partial_fit(p)


def _partial_fit(p: Problem) -> Prepared:
    model, y, loss_scale = _model(p)

    def step() -> float:
        model.partial_fit(p.x, y)
        return loss_scale * model.loss_

    return Prepared(step, sklearn.__version__, str(THREADS))


def _fit(p: Problem) -> Prepared:
    def fitted(steps: int) -> Any:
        return _model(p, max_iter=steps, n_iter_no_change=np.inf, shuffle=False, warm_start=True)

    model, y, loss_scale = fitted(5)
    start = perf_counter()
    model.fit(p.x, y)
    steps = max(5, min(500, int(5 * CALL_SECONDS / (perf_counter() - start))))
    losses = tuple(loss_scale * loss for loss in model.loss_curve_)
    model, y, _ = fitted(steps)

    def call() -> float:
        model.loss_curve_ = []
        model.fit(p.x, y)
        if len(model.loss_curve_) != steps:  # its time would be divided by steps that it never took
            raise RuntimeError(f"the fit took {len(model.loss_curve_)} steps, not {steps}")
        return model.loss_

    return Prepared(call, sklearn.__version__, str(THREADS), steps, losses)


def _model(p: Problem, **options: Any) -> tuple[Any, np.ndarray, float]:
    """The network with its initial weights, the targets in the shape it wants, and the factor of its loss."""
    layers = p.layers
    regression = p.loss == "MSELoss"
    kind = MLPRegressor if regression else MLPClassifier
    hidden = [bias.size for _, bias in layers[:-1]]
    settings = {"batch_size": len(p.x), "learning_rate_init": p.lr, "alpha": 0.0, "tol": 0.0, "epsilon": EARLY_EPSILON}
    model = kind(hidden_layer_sizes=hidden, **settings, **options)
    y = (p.y if p.y.shape[1] > 1 else p.y.ravel()) if regression else p.y
    if regression:
        model.partial_fit(p.x, y)  # gives it its parts; the weights and Adam's moments are replaced
    else:
        model.partial_fit(p.x, y, classes=np.arange(10))
    model.coefs_ = [w.copy() for w, _ in layers]
    model.intercepts_ = [b.copy() for _, b in layers]
    del model._optimizer
    model.t_, model.n_iter_, model.loss_curve_ = 0, 0, []
    return model, y, 2.0 if regression else 1.0

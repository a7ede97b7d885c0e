"""SGD and Adam in NumPy, in place, for libraries that bring none that steps once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Update = Callable[[Sequence[np.ndarray]], None]  # the gradients → the parameters are changed


def optimizer(name: str, params: Sequence[np.ndarray], lr: float) -> Update:
    return {"SGD": _sgd, "Adam": _adam}[name](params, lr)


def _sgd(params: Sequence[np.ndarray], lr: float) -> Update:
    def update(grads: Sequence[np.ndarray]) -> None:
        for w, g in zip(params, grads):
            w -= lr * g

    return update


def _adam(params: Sequence[np.ndarray], lr: float) -> Update:
    means, squares = [np.zeros_like(w) for w in params], [np.zeros_like(w) for w in params]
    t = 0

    def update(grads: Sequence[Any]) -> None:
        nonlocal t
        t += 1
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        for w, g, m, v in zip(params, grads, means, squares):
            m *= 0.9
            m += 0.1 * g
            v *= 0.999
            v += 0.001 * (g * g)
            w -= (lr / c1) * m / (np.sqrt(v / c2) + 1e-8)

    return update

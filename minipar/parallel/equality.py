"""Is a parallel run equal to the run in one process? The metric of the promise, and the first layer that breaks it.

Parameters are compared tensor by tensor, ‖p − q‖₂ relative to max(‖q‖₂, ‖q − q₀‖₂, √n·lr): to their own size, to how
far they have moved, or to the size of one step, whichever is largest (a bias that stayed near zero is not judged by its
rounding noise). Gradients are compared relative to the largest gradient norm of the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}


@dataclass(frozen=True)
class Difference:
    """How far one tensor is from the reference, relative to the scale above.

    >>> minipar.parallel.Difference("weight", (2, 2), 1e-3).exceeds(1e-6)
    True
    """

    name: str
    shape: tuple[int, ...]
    relative: float

    def exceeds(self, tolerance: float) -> bool:
        return not self.relative <= tolerance  # NaN exceeds every tolerance


def _norm(array: Any) -> float:
    return float(np.linalg.norm(np.asarray(array, np.float64).reshape(-1)))


def _ratio(distance: float, scale: float) -> float:
    return 0.0 if distance == 0.0 else distance / scale if scale else math.inf


def _check_names(got: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if got.keys() != expected.keys():
        raise ValueError(f"the runs have different tensors: {sorted(got.keys() ^ expected.keys())}")


def compare_parameters(
    got: Mapping[str, Any], expected: Mapping[str, Any], start: Mapping[str, Any], lr: float
) -> list[Difference]:
    """One Difference a tensor, in the model's order. `start`: the values before training; `lr`: the learning rate.

    >>> one, two, start = ({"w": np.full(4, value)} for value in (2.0, 2.2, 0.0))
    >>> round(minipar.parallel.compare_parameters(two, one, start, lr=0.1)[0].relative, 3)
    0.1
    """
    _check_names(got, expected)
    rows = []
    for name, q in expected.items():
        q, p = np.asarray(q), np.asarray(got[name])
        scale = max(_norm(q), _norm(q - np.asarray(start[name])), math.sqrt(q.size) * lr)
        rows.append(Difference(name, q.shape, _ratio(_norm(p - q), scale)))
    return rows


def compare_gradients(got: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Difference]:
    """One Difference a tensor, relative to the largest gradient norm of the model.

    >>> round(minipar.parallel.compare_gradients({"w": np.array([1.1])}, {"w": np.array([1.0])})[0].relative, 3)
    0.1
    """
    _check_names(got, expected)
    largest = max((_norm(q) for q in expected.values()), default=0.0)
    return [
        Difference(name, np.shape(q), _ratio(_norm(np.asarray(got[name]) - np.asarray(q)), largest))
        for name, q in expected.items()
    ]


def first_difference(rows: list[Difference], tolerance: float) -> Difference | None:
    """The first tensor, in the model's order, that is further from the reference than `tolerance`; None if none is.

    >>> rows = minipar.parallel.compare_gradients({"w": np.array([1.1])}, {"w": np.array([1.0])})
    >>> minipar.parallel.first_difference(rows, 0.01).name, minipar.parallel.first_difference(rows, 0.2)
    ('w', None)
    """
    return next((row for row in rows if row.exceeds(tolerance)), None)

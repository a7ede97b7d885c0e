"""Resampling along one axis: every output is a weighted sum of a few inputs (interpolation, adaptive means)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backend.dispatch import kernel
from ..backend.dtypes import quiet
from .op import Op


class Taps(NamedTuple):
    """A sparse matrix, entry by entry: output to[k] takes weight[k] of input of[k]."""

    to: np.ndarray
    of: np.ndarray
    weight: np.ndarray
    outputs: int
    inputs: int

    def transposed(self) -> Taps:
        return Taps(self.of, self.to, self.weight, self.inputs, self.outputs)


class Resample(Op):
    """y[…, i, …] = Σ_j M[i, j] x[…, j, …] along one axis, M a sparse matrix; the gradient is that of its transpose."""

    __slots__ = ("taps", "axis")

    def __init__(self, taps: Taps, axis: int) -> None:
        self.taps, self.axis = taps, axis

    def forward(self, x):
        with quiet():
            return kernel("resample", x)(x, self.axis, *self.taps[:4])

    def vjp(self, g: Any) -> Any:
        return Resample(self.taps.transposed(), self.axis)(g)

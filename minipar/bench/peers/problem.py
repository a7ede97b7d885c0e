"""A workload as plain arrays: the numbers with which minipar and PyTorch start, for every other library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..workloads import WORKLOADS, initial_weights

HEADS = 4  # of the encoder
# For an Adam that adds its epsilon before the bias correction (scikit-learn, Keras): PyTorch adds 1e-8 after it.
EARLY_EPSILON = 1e-8 * 0.001**0.5


@dataclass(frozen=True)
class Problem:
    """`weights` in PyTorch's order and layout: (outputs, inputs) for a matrix, (O, C, kh, kw) for a convolution;
    of a recurrent layer input weights, hidden weights and both biases. `images`: in NHWC, for the kind "cnn"."""

    kind: str
    loss: str  # MSELoss or CrossEntropyLoss
    optimizer: str  # SGD or Adam, with the defaults that PyTorch has
    lr: float
    weights: list[np.ndarray]
    x: np.ndarray
    y: np.ndarray

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """An MLP's: (inputs × outputs, bias) each, so that a layer is x @ w + b."""
        return [(transposed(w), b) for w, b in zip(self.weights[::2], self.weights[1::2])]

    @property
    def images(self) -> np.ndarray:
        """The batch as NHWC."""
        return np.ascontiguousarray(self.x.transpose(0, 2, 3, 1))

    @property
    def channels_last(self) -> list[np.ndarray]:
        """The CNN's weights for NHWC: kernels as HWIO, and the last matrix for features flattened as (H, W, C)."""
        k1, b1, k2, b2, w, b = self.weights
        hwio = [np.ascontiguousarray(k.transpose(2, 3, 1, 0)) for k in (k1, k2)]
        head = w.reshape(10, 64, 7, 7).transpose(2, 3, 1, 0).reshape(3136, 10)
        return [hwio[0], b1, hwio[1], b2, np.ascontiguousarray(head), b]

    @property
    def products(self) -> list[np.ndarray]:
        """All weights, matrices turned so that a layer is x @ w + b."""
        return [transposed(w) if w.ndim == 2 else w for w in self.weights]


def problem(name: str) -> Problem:
    import minipar

    workload = WORKLOADS[name]
    rng = np.random.default_rng(0)
    weights = list(initial_weights(workload.model(minipar), rng).values())
    x, y = workload.batch(rng)
    return Problem(workload.kind, workload.loss, workload.optimizer, workload.lr, weights, x, y)


def transposed(matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(matrix.T)

"""Matrix product, linear layer and convolution kernels against float64 NumPy.

Each number of a result is a sum of K products, computed with unit roundoff u. Its error is measured as a share of the
sum of the products' absolute values, and may be 8·√K·u: the probabilistic bound of Higham & Mary 2019 ("A new approach
to probabilistic rounding error analysis"), which holds for any order of summation. The worst-case bound K·u would let
a dropped term pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...kernels.reference import conv2d as reference
from ...kernels.reference import linear
from .check import Check, guarded

Kernels = Mapping[str, Callable[..., Any]]
Transfer = Callable[[Any], Any]

REFERENCE: Kernels = {
    "matmul": np.matmul,
    "linear_forward": linear.linear_forward,
    "linear_backward": linear.linear_backward,
    "conv2d_forward": reference.conv2d_forward,
    "conv2d_grad_input": reference.conv2d_grad_input,
    "conv2d_grad_weight": reference.conv2d_grad_weight,
}
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Product:
    """A matrix product: shapes of both factors, and whether each comes as a transposed view."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    transposed: tuple[bool, bool] = (False, False)

    def __str__(self) -> str:
        return " @ ".join(
            f"{shape}{' transposed' * turned}" for shape, turned in zip((self.a, self.b), self.transposed)
        )


@dataclass(frozen=True)
class Convolution:
    """Input (N, C, H, W), weight (O, C/groups, kh, kw) and how the one walks over the other."""

    x: tuple[int, int, int, int]
    w: tuple[int, int, int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def geometry(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.groups

    def __str__(self) -> str:
        walk = f"stride {self.stride}, padding {self.padding}, dilation {self.dilation}, groups {self.groups}"
        return f"{self.x} * {self.w}, {walk}"


PRODUCTS = (
    Product((1, 1), (1, 1)),
    Product((5, 3), (3, 7)),
    Product((64, 64), (64, 64)),
    Product((64, 48), (48, 96), (True, True)),
    Product((129, 65), (65, 33)),
    Product((129, 65), (65, 33), (True, False)),
    Product((31, 257), (257, 130), (False, True)),
    Product((256, 1000), (1000, 128)),
    Product((3, 17, 9), (3, 9, 21)),
    Product((2, 1, 8, 16), (5, 16, 8)),
    Product((4, 0), (0, 5)),
)
LINEARS = ((5, 3, 7), (64, 64, 64), (90, 40, 63), (33, 130, 64))  # rows, inputs, outputs
CONVOLUTIONS = (
    Convolution((1, 1, 5, 5), (1, 1, 3, 3)),
    Convolution((2, 3, 9, 11), (4, 3, 3, 3), padding=(1, 1)),
    Convolution((3, 4, 12, 10), (5, 4, 3, 2), stride=(2, 1), padding=(1, 0)),
    Convolution((2, 6, 13, 13), (9, 2, 3, 3), padding=(2, 2), dilation=(2, 2), groups=3),
    Convolution((4, 8, 7, 7), (16, 8, 1, 1)),
    Convolution((8, 1, 28, 28), (32, 1, 5, 5), padding=(2, 2)),
    Convolution((4, 32, 14, 14), (64, 32, 5, 5), padding=(2, 2)),
)


@dataclass(frozen=True)
class Trial:
    """One kernel on one case: its arrays as they are stored, which of them it gets transposed, what else it is given,
    and how many products are added up for each number of its result, or of each of its results."""

    kernel: str
    case: str
    arrays: tuple[np.ndarray, ...]
    rest: tuple[Any, ...]
    terms: int | tuple[int, ...]
    transposed: tuple[bool, ...] = ()

    def checks(self, kernels: Kernels, put: Transfer, get: Transfer) -> Iterator[Check]:
        dtype = self.arrays[0].dtype
        results = _several(kernels[self.kernel](*self._operands(put), *self.rest))
        exact = _several(REFERENCE[self.kernel](*self._operands(np.float64), *self.rest))
        magnitude = _several(
            REFERENCE[self.kernel](*self._operands(lambda array: np.abs(np.float64(array))), *self.rest)
        )
        for i, (result, terms) in enumerate(zip(map(get, results), _several(self.terms), strict=True)):
            if result.dtype != dtype:
                raise TypeError(f"the result is {result.dtype}, not {dtype}")
            case = f"{self.case}, result {i}" if len(results) > 1 else self.case
            yield Check(self.kernel, case, relative_error(result, exact[i], magnitude[i]), tolerance(terms, dtype))

    def _operands(self, put: Transfer) -> list[Any]:
        turned = self.transposed or (False,) * len(self.arrays)
        return [put(array).swapaxes(-1, -2) if turn else put(array) for array, turn in zip(self.arrays, turned)]


def _several(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def kernel_checks(kernels: Kernels, put: Transfer, get: Transfer) -> Iterator[Check]:
    """Every kernel on every case, in float32 and float64.

    `kernels` by the names of REFERENCE; `put` brings a NumPy array to where they run, `get` brings a result back.
    """
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        trials = [product_trial(product, dtype, rng) for product in PRODUCTS]
        for sizes in LINEARS:
            trials += _linear_trials(*sizes, dtype, rng)
        for convolution in CONVOLUTIONS:
            trials += _convolution_trials(convolution, dtype, rng)
        for trial in trials:
            yield from guarded(trial.kernel, trial.case, partial(trial.checks, kernels, put, get))


def relative_error(result: np.ndarray, exact: np.ndarray, magnitude: np.ndarray) -> float:
    """The largest |result − exact| / magnitude, all of one shape; 0 where the magnitude is 0 and the result right."""
    if result.shape != exact.shape:
        raise ValueError(f"the result has shape {result.shape}, not {exact.shape}")
    wrong = np.abs(result.astype(np.float64) - exact)
    shares = np.divide(wrong, magnitude, out=np.where(wrong == 0, 0.0, np.inf), where=magnitude != 0)
    return float(shares.max(initial=0.0))


def tolerance(terms: int, dtype: np.dtype) -> float:
    """How large the relative error of a sum of `terms` products may be."""
    return 8 * math.sqrt(max(terms, 1)) * float(np.finfo(dtype).eps) / 2


def product_trial(p: Product, dtype: np.dtype, rng: np.random.Generator) -> Trial:
    stored = [
        (*shape[:-2], shape[-1], shape[-2]) if turned else shape for shape, turned in zip((p.a, p.b), p.transposed)
    ]
    return Trial("matmul", f"{p} {dtype}", _normal(rng, dtype, *stored), (), p.a[-1], p.transposed)


def _linear_trials(rows: int, inputs: int, outputs: int, dtype: np.dtype, rng: np.random.Generator) -> list[Trial]:
    x, weight, bias, g = _normal(rng, dtype, (rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
    case = f"({rows}, {inputs}) to {outputs} {dtype}"
    return [
        *(
            Trial("linear_forward", f"{case}{', ReLU' * relu}", (x, weight, bias), (relu,), inputs + 1)
            for relu in (False, True)
        ),
        Trial("linear_backward", case, (g, x, weight), (), (outputs, rows, rows)),
    ]


def _convolution_trials(c: Convolution, dtype: np.dtype, rng: np.random.Generator) -> list[Trial]:
    output = reference.conv2d_forward(np.zeros(c.x), np.zeros(c.w), None, *c.geometry).shape
    x, w, bias, g = _normal(rng, dtype, c.x, c.w, (c.w[0],), output)
    case, taps = f"{c} {dtype}", c.w[2] * c.w[3]
    return [
        Trial("conv2d_forward", case, (x, w, bias), c.geometry, c.w[1] * taps + 1),
        Trial("conv2d_grad_input", case, (g, w), (c.x, *c.geometry), c.w[0] // c.groups * taps),
        Trial("conv2d_grad_weight", case, (g, x), (c.w, *c.geometry), output[0] * output[2] * output[3]),
    ]


def _normal(rng: np.random.Generator, dtype: np.dtype, *shapes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)

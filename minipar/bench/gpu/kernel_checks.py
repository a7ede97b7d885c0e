"""Matrix product, linear layer and convolution kernels against float64 NumPy.

Each number of a result is a sum of K products, computed with unit roundoff u. Its error is measured as a share of the
sum of the products' absolute values, and may be 8·√K·u: the probabilistic bound of Higham & Mary 2019 ("A new approach
to probabilistic rounding error analysis"), which holds for any order of summation. The worst-case bound K·u would let
a dropped term pass. Products of float16 are added up in float32, and rounded once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ...kernels.cuda import precision
from ...kernels.reference import conv2d as reference
from ...kernels.reference import linear
from .cases import CONVOLUTIONS, LARGE_CONVOLUTIONS, LINEARS, PRODUCTS, Convolution, Product
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


@dataclass(frozen=True)
class Group:
    """Trials of a dtype, in which dtypes they are made, and how precisely float32 shall be multiplied in them."""

    trials: Callable[[np.dtype, np.random.Generator], list[Trial]]
    dtypes: tuple[str, ...]
    precision: str = "highest"


def _products(dtype: np.dtype, rng: np.random.Generator) -> list[Trial]:
    return [product_trial(product, dtype, rng) for product in PRODUCTS]


def _linears(dtype: np.dtype, rng: np.random.Generator) -> list[Trial]:
    return [trial for sizes in LINEARS for trial in linear_trials(*sizes, dtype, rng)]


def _convolutions(dtype: np.dtype, rng: np.random.Generator) -> list[Trial]:
    return [trial for c in CONVOLUTIONS for trial in convolution_trials(c, dtype, rng)]


def _large_convolutions(dtype: np.dtype, rng: np.random.Generator) -> list[Trial]:
    return [trial for c in LARGE_CONVOLUTIONS for trial in convolution_trials(c, dtype, rng)]


GROUPS: Mapping[str, Group] = {  # each is a part of the run
    "products": Group(_products, ("float16", "float32", "float64")),
    "linear layers": Group(_linears, ("float16", "float32", "float64")),
    "linear layers in TF32": Group(_linears, ("float32",), "high"),
    "linear layers in bfloat16": Group(_linears, ("float32",), "medium"),
    "convolutions": Group(_convolutions, ("float16", "float32", "float64")),
    "convolutions in TF32": Group(_convolutions, ("float32",), "high"),
    "large convolutions": Group(_large_convolutions, ("float16", "float32")),
    "large convolutions in TF32": Group(_large_convolutions, ("float32",), "high"),
}
SIGNIFICANT = {"highest": 24, "high": 11, "medium": 8}  # bits of the operands of a product, by precision


def kernel_checks(group: Group, kernels: Kernels, put: Transfer, get: Transfer) -> Iterator[Check]:
    """Every kernel of a group on each of its cases, in each of its dtypes.

    `kernels` by the names of REFERENCE; `put` brings a NumPy array to where they run, `get` brings a result back.
    Rounding an operand to fewer bits adds half a unit of its last bit to the error.
    """
    rng = np.random.default_rng(0)
    fewer, rounding = f", {group.precision}", 2 * 2.0 ** -SIGNIFICANT[group.precision]
    if group.precision == "highest":
        fewer, rounding = "", 0.0
    before = precision.in_use()
    precision.use(group.precision)
    try:
        for dtype in map(np.dtype, group.dtypes):
            for trial in group.trials(dtype, rng):
                for check in guarded(trial.kernel, trial.case, partial(trial.checks, kernels, put, get)):
                    yield replace(check, name=check.name + fewer, tolerance=check.tolerance + rounding)
    finally:
        precision.use(before)


def relative_error(result: np.ndarray, exact: np.ndarray, magnitude: np.ndarray) -> float:
    """The largest |result − exact| / magnitude, all of one shape; 0 where the magnitude is 0 and the result right."""
    if result.shape != exact.shape:
        raise ValueError(f"the result has shape {result.shape}, not {exact.shape}")
    wrong = np.abs(result.astype(np.float64) - exact)
    shares = np.divide(wrong, magnitude, out=np.where(wrong == 0, 0.0, np.inf), where=magnitude != 0)
    return float(shares.max(initial=0.0))


def tolerance(terms: int, dtype: np.dtype) -> float:
    """How large the relative error of a sum of `terms` products may be."""
    added = np.finfo(np.float32 if dtype == np.float16 else dtype)
    rounded = float(np.finfo(dtype).eps) / 2 if dtype == np.float16 else 0.0
    return 8 * math.sqrt(max(terms, 1)) * float(added.eps) / 2 + rounded


def product_trial(p: Product, dtype: np.dtype, rng: np.random.Generator) -> Trial:
    stored = [
        (*shape[:-2], shape[-1], shape[-2]) if turned else shape for shape, turned in zip((p.a, p.b), p.transposed)
    ]
    return Trial("matmul", f"{p} {dtype}", _normal(rng, dtype, *stored), (), p.a[-1], p.transposed)


def linear_trials(rows: int, inputs: int, outputs: int, dtype: np.dtype, rng: np.random.Generator) -> list[Trial]:
    x, weight, bias, g = _normal(rng, dtype, (rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
    case = f"({rows}, {inputs}) to {outputs} {dtype}"
    return [
        *(
            Trial("linear_forward", f"{case}{', ReLU' * relu}", (x, weight, bias), (relu,), inputs + 1)
            for relu in (False, True)
        ),
        Trial("linear_backward", case, (g, x, weight), (), (outputs, rows, rows)),
    ]


def convolution_trials(c: Convolution, dtype: np.dtype, rng: np.random.Generator) -> list[Trial]:
    """Forward with a bias, with one and a ReLU, and with neither; and both gradients."""
    x, w, bias, g = _normal(rng, dtype, c.x, c.w, (c.w[0],), c.y)
    case, taps = f"{c} {dtype}", c.w[2] * c.w[3]
    terms, rest = c.w[1] * taps + 1, c.geometry
    return [
        Trial("conv2d_forward", case, (x, w, bias), rest, terms),
        Trial("conv2d_forward", f"{case}, ReLU", (x, w, bias), (*rest, True), terms),
        Trial("conv2d_forward", f"{case}, no bias", (x, w), (None, *rest), terms),
        Trial("conv2d_grad_input", case, (g, w), (c.x, *rest), c.w[0] // c.groups * taps),
        Trial("conv2d_grad_weight", case, (g, x), (c.w, *rest), c.y[0] * c.y[2] * c.y[3]),
    ]


def _normal(rng: np.random.Generator, dtype: np.dtype, *shapes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)

"""What the CUDA tests share: cases that cover every pair of choices, and float64 answers."""

import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minipar.kernels.cuda.matmul.warp_product import BITS
from minipar.kernels.reference import conv2d as reference

TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-13}


def pairwise(choices: dict[str, tuple]) -> Iterator[tuple]:
    """Rows, one choice of each, until every pair of choices of two names stands in some row (greedy, deterministic)."""
    rows = list(itertools.product(*choices.values()))
    missing = set().union(*map(_pairs, rows))
    while missing:
        best = max(rows, key=lambda row: len(_pairs(row) & missing))
        missing -= _pairs(best)
        yield best


def _pairs(row: tuple) -> set:
    return set(itertools.combinations(enumerate(row), 2))


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to the rounding of ``actual``'s dtype, relative to the largest number expected."""
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    scale = max(1.0, np.abs(expected).max(initial=0))
    error = np.abs(actual - expected).max(initial=0) / scale
    assert error < TOLERANCE[actual.dtype], f"error {error:.2g} in {actual.dtype}"


class ConvCase(NamedTuple):
    dtype: str
    images: int
    group_inputs: int
    group_outputs: int
    groups: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def geometry(self) -> tuple:
        return self.stride, self.padding, self.dilation, self.groups

    def operands(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """x, w, bias and the output's gradient g."""
        rng = np.random.default_rng(0)
        inputs, outputs = self.groups * self.group_inputs, self.groups * self.group_outputs
        x = rng.standard_normal((self.images, inputs, *self.size))
        w = rng.standard_normal((outputs, self.group_inputs, *self.kernel))
        bias = rng.standard_normal(outputs)
        g = rng.standard_normal(reference.conv2d_forward(x, w, bias, *self.geometry).shape)
        return tuple(array.astype(self.dtype) for array in (x, w, bias, g))


CONV_CHOICES = {
    "dtype": ("float32", "float64"),
    "images": (2, 1),
    "group_inputs": (3, 1, 5),  # the kernels take channels in slices of four
    "group_outputs": (5, 1, 4),
    "groups": (1, 2),
    "size": ((6, 5), (5, 7)),
    "kernel": ((3, 3), (1, 1), (2, 3)),
    "stride": ((1, 1), (2, 1), (2, 3)),
    "padding": ((1, 1), (0, 0), (2, 1)),
    "dilation": ((1, 1), (2, 1), (1, 2)),
}


def conv_cases() -> list[ConvCase]:
    return [ConvCase(*row) for row in pairwise(CONV_CHOICES)]


def expected_forward(case: ConvCase, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    bias = None if bias is None else bias.astype(np.float64)
    return reference.conv2d_forward(x.astype(np.float64), w.astype(np.float64), bias, *case.geometry)


def expected_grad_input(case: ConvCase, g: np.ndarray, w: np.ndarray, x_shape: tuple) -> np.ndarray:
    return reference.conv2d_grad_input(g.astype(np.float64), w.astype(np.float64), x_shape, *case.geometry)


def expected_grad_weight(case: ConvCase, g: np.ndarray, x: np.ndarray, w_shape: tuple) -> np.ndarray:
    return reference.conv2d_grad_weight(g.astype(np.float64), x.astype(np.float64), w_shape, *case.geometry)


def as_multiplied(x: np.ndarray, multiplied: str | None) -> np.ndarray:
    """float64, of the numbers that a kernel multiplies: for tensor cores, the nearest with few bits."""
    x = x.astype(np.float64)
    if multiplied not in BITS:
        return x
    mantissa, exponent = np.frexp(x)  # of 1 + BITS bits; random numbers are never halfway between two
    steps = 2.0 ** (BITS[multiplied] + 1)
    return np.ldexp(np.rint(mantissa * steps) / steps, exponent)


# Shapes of a and b; ragged against every tile, batched and broadcast on either side, and empty.
MATMUL_SHAPES = (
    ((19, 7), (7, 23)),
    ((1, 9), (9, 1)),
    ((16, 4), (4, 16)),
    ((3, 5, 6), (3, 6, 4)),
    ((2, 3, 5, 6), (6, 4)),
    ((5, 6), (3, 6, 4)),
    ((2, 1, 5, 3), (4, 3, 6)),
    ((2, 0), (0, 3)),
    ((0, 4), (4, 3)),
    ((0, 4, 2), (2, 3)),
)


def matrix(shape: tuple[int, ...], dtype: str, layout: str, seed: int, xp: ModuleType = np) -> Any:
    """Random numbers of this shape, an array of ``xp`` (NumPy or CuPy) stored as ``layout`` says."""

    def stored(*shape: int) -> Any:
        return xp.asarray(np.random.default_rng(seed).standard_normal(shape).astype(dtype))

    *lines, n = shape
    if layout == "transposed":
        return stored(*lines[:-1], n, lines[-1]).swapaxes(-1, -2)
    if layout == "padded":  # the rows lie further apart than they are long
        return stored(*lines, n + 3)[..., :n]
    if layout == "strided":
        return stored(*lines, n * 2)[..., ::2]
    if layout == "reversed":
        return stored(*shape)[..., ::-1, :]
    assert layout == "contiguous"
    return stored(*shape)


LAYOUTS = ("contiguous", "transposed", "padded", "strided", "reversed")

"""Layer and RMS norm of the CUDA kernels, simulated, against float64; derived bounds and edges."""

import cuda_cases as cases
import numpy as np
import pytest
from simulated_gpu import assert_within, in_float64, simulated_gpu

from minipar.kernels.cuda import layer_norm
from minipar.kernels.reference import normalization as reference

CHOICES = {
    "dtype": ("float32", "float64"),
    "rows": (5, 1, 70),  # 70: two strips
    "width": (10, 1, 33, 300),  # 300: a whole block to a row
    "weighted": (True, False),
    "shifted": (True, False),
    "centred": (True, False),
}
EPS = 1e-5


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


def operands(dtype: str, rows: int, width: int, weighted: bool = True, shifted: bool = True) -> list:
    """x, g, weight and bias (or None)."""
    rng = np.random.default_rng(rows * width)
    x, g = (3 * rng.standard_normal((rows, width)) + 2).astype(dtype), rng.standard_normal((rows, width)).astype(dtype)
    affine = [rng.standard_normal(width).astype(dtype) if wanted else None for wanted in (weighted, shifted)]
    return [x, g, *affine]


class Bounds:
    """Roundings (to first order) of what is computed from these float64 operands.

    The sum of a row of W takes at most A = W/32 + 13 additions one after another. ``inverse`` is relative.
    """

    def __init__(self, x: np.ndarray, g: np.ndarray, weight: np.ndarray | None, centred: bool) -> None:
        A = x.shape[1] / 32 + 13
        self.xhat, inverse, _, _ = reference.standardize_forward(x, (1,), EPS, centred)
        level = abs(x).mean(1, keepdims=True) * inverse  # of the mean's error, in units of σ
        self.inverse = A * level + A / 2 + 5
        self.of_xhat = (A + 1) * level + abs(self.xhat) * (self.inverse + 3)
        s = g if weight is None else g * weight
        mean, along = abs(s).mean(1, keepdims=True), (s * self.xhat).mean(1, keepdims=True)
        of_along = (A + 3) * abs(s * self.xhat).mean(1, keepdims=True) + (abs(s) * self.of_xhat).mean(1, keepdims=True)
        terms = abs(s) + mean + abs(self.xhat * along)
        self.dx = inverse * (
            abs(s) + (A + 3) * mean + abs(self.xhat) * of_along + self.of_xhat * abs(along) + terms * (self.inverse + 4)
        )
        additions = len(x) / layer_norm.LINES + 2 * layer_norm.LINES
        self.dweight = (abs(g) * self.of_xhat).sum(0) + (additions + 2) * abs(g * self.xhat).sum(0)
        self.dbias = additions * abs(g).sum(0)


@pytest.mark.parametrize("row", list(cases.pairwise(CHOICES)), ids=lambda row: "-".join(map(str, row)))
def test_forward_and_gradients(row, gpu):
    dtype, rows, width, weighted, shifted, centred = row
    arrays = operands(dtype, rows, width, weighted, shifted)
    x, g, weight, bias = arrays
    wide = in_float64(*arrays)
    bounds = Bounds(*wide[:3], centred)
    y, kept = gpu.call(layer_norm.layer_norm_forward, x, weight, bias, EPS, centred)
    expected, wide_kept = reference.layer_norm_forward(wide[0], *wide[2:], EPS, centred)
    scale = 1 if weight is None else abs(wide[2])
    assert_within(y, expected, scale * (bounds.of_xhat + abs(bounds.xhat)) + abs(expected))

    places = [gpu.cupy.empty(width, dtype) if wanted else None for wanted in (weighted, shifted)]
    there = gpu.to_gpu((g, x, weight, kept))
    dx = layer_norm.layer_norm_backward(*there, centred, *places).get()
    dweight, dbias = np.empty((2, width))
    expected = reference.layer_norm_backward(wide[1], wide[0], wide[2], wide_kept, centred, dweight, dbias)
    assert_within(dx, expected, bounds.dx)
    if weighted:
        assert_within(places[0].get(), dweight, bounds.dweight)
    if shifted:
        assert_within(places[1].get(), dbias, bounds.dbias)
    sums = ["layer_norm_strips", "sum_of_strips"] if weighted or shifted else []
    assert gpu.launched == ["layer_norm_forward", *sums, "layer_norm_backward"]


def test_columns_of_many_strips_wider_than_a_warp(gpu):
    x, g, weight, _ = operands("float64", 200, 37)
    _, kept = gpu.call(layer_norm.layer_norm_forward, x, weight, None, EPS, True)
    place = gpu.to_gpu(np.zeros((37, 2)))[:, 0]  # not contiguous
    layer_norm.layer_norm_backward(*gpu.to_gpu((g, x, weight, kept)), True, place)
    xhat = reference.standardize_forward(x, (1,), EPS, True)[0]
    np.testing.assert_allclose(place.get(), (g * xhat).sum(0), rtol=1e-12, atol=1e-12)


def test_no_rows_no_columns_and_any_strides(gpu):
    x, g, weight, bias = operands("float64", 8, 12)
    there, seen = gpu.to_gpu((x, g)), (slice(None, None, 2), slice(1, None, 3))
    y, kept = layer_norm.layer_norm_forward(there[0][seen], None, None, EPS, True)
    expected, statistics = reference.layer_norm_forward(x[seen], None, None, EPS, True)
    np.testing.assert_allclose(y.get(), expected, rtol=1e-12)
    dx = layer_norm.layer_norm_backward(there[1][seen], there[0][seen], None, kept, True)
    np.testing.assert_allclose(
        dx.get(), reference.layer_norm_backward(g[seen], x[seen], None, statistics, True), rtol=1e-10
    )
    for empty in (x[:0], x[:, :0]):
        width = empty.shape[1]
        y, kept = gpu.call(layer_norm.layer_norm_forward, empty, weight[:width], bias[:width], EPS, True)
        assert y.shape == empty.shape
        place = gpu.cupy.empty(width, np.float64)
        dx = layer_norm.layer_norm_backward(*gpu.to_gpu((empty, empty, weight[:width], kept)), True, place, None)
        assert dx.shape == empty.shape
        assert not place.get().any()


def test_large_means_lose_no_more_than_they_must(gpu):
    x = (np.random.default_rng(0).standard_normal((3, 64)) + 1000).astype(np.float32)
    y, _ = gpu.call(layer_norm.layer_norm_forward, x, None, None, EPS, True)
    expected, _ = reference.layer_norm_forward(x.astype(float), None, None, EPS, True)
    assert abs(y - expected).max() < 1e-3  # one pass over Σx and Σx² would have lost all of it


def test_operands_that_do_not_fit_are_refused(gpu):
    x, g, weight, bias = operands("float32", 4, 6)
    with pytest.raises(ValueError, match=r"weight must have 6 numbers for x of shape \(4, 6\), got \(5,\)"):
        gpu.call(layer_norm.layer_norm_forward, x, weight[1:], bias, EPS, True)
    with pytest.raises(TypeError, match="bias must have the dtype of x"):
        gpu.call(layer_norm.layer_norm_forward, x, weight, bias.astype(np.float64), EPS, True)
    with pytest.raises(ValueError, match=r"g must have 24 numbers for x of shape \(4, 6\), got \(3, 6\)"):
        gpu.call(layer_norm.layer_norm_backward, g[1:], x, weight, np.zeros((2, 4), np.float32), True)

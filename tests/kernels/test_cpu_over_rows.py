"""Formulas over rows as vectors: what they compute and sum, at any length, and that they keep to their rows."""

import numpy as np
import pytest

pytest.importorskip("numba")

from guarded_memory import guarded
from numba import njit

from minipar.kernels.cpu.gate_functions import sigmoid, tanh
from minipar.kernels.cpu.over_rows import over_rows
from minipar.kernels.cpu.row_sums import column_sums, row_sums
from minipar.kernels.cpu.vectors import pointer

WIDE = {"float32": np.float64, "float64": np.longdouble}
HERE = (1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130)


@over_rows
def _both(a, b):
    return a - 2 * b, (1 / (a * a + 1)).times_plus(b, a)


@over_rows
def _tanh(a):
    return tanh(a)


@over_rows
def _sigmoid(a):
    return sigmoid(a)


@over_rows
def _with_numbers(p, a, q):
    return a * p + q


@row_sums
def _two_sums(a, p, b):
    return a - p, (a - p) * b


@njit(error_model="numpy")
def with_numbers(p, a, q, to):
    rows, columns = a.shape
    _with_numbers(rows, columns, p, pointer(a), columns, q, pointer(to), columns)


@njit(error_model="numpy")
def two_sums(a, p, b):
    return _two_sums(a.size, pointer(a), p, pointer(b))


@njit(error_model="numpy")
def both(a, b, c, d):
    rows, columns = c.shape
    p, q = pointer(a), pointer(b)
    _both(rows, columns, p, columns, q, 0, pointer(c), columns, pointer(d), columns)


@njit(error_model="numpy")
def functions(a, b, c):
    _tanh(1, a.size, pointer(a), 0, pointer(b), 0)
    _sigmoid(1, a.size, pointer(a), 0, pointer(c), 0)


@njit(error_model="numpy")
def sums(a, to, adds):
    column_sums(a.shape[0], a.shape[1], pointer(a), a.shape[1], pointer(to), adds)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at_start", [False, True])
def test_rows_of_any_length_and_nothing_beside_them(dtype, at_start):
    rng = np.random.default_rng(0)
    for columns in HERE:
        a, b = rng.normal(size=(3, columns)), rng.normal(size=columns)
        a, b, c, d = (guarded(x.astype(dtype), at_start) for x in (a, b, a, a))
        both(a, b, c, d)
        np.testing.assert_allclose(c, a - 2 * b, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(d, b / (a * a + 1) + a, rtol=1e-5, atol=1e-5)
        both(a, b, a, d)  # in place
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_in_every_lane_in_the_dtype_of_the_rows(dtype):
    rng = np.random.default_rng(0)
    p, q = 1 / 3, 0.1
    for columns in HERE:
        a, to = (guarded(rng.normal(size=(3, columns)).astype(dtype)) for _ in range(2))
        with_numbers(p, a, q, to)
        np.testing.assert_array_equal(to, a * a.dtype.type(p) + a.dtype.type(q))
        with_numbers(2, a, 1, to)
        np.testing.assert_array_equal(to, a * 2 + 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at_start", [False, True])
def test_sums_along_a_row_of_what_a_formula_gives(dtype, at_start):
    rng = np.random.default_rng(0)
    for columns in (0, *HERE, 1000):
        a, b = (guarded(rng.normal(size=columns).astype(dtype), at_start) for _ in range(2))
        wide = a.astype(np.float64) - 5
        for found, exact in zip(two_sums(a, 5, b), (wide, wide * b), strict=True):
            np.testing.assert_allclose(found, exact.sum(), rtol=1e-5, atol=1e-4)
        assert np.isnan(two_sums(a, np.nan, b)).all() == (columns > 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tanh_and_sigmoid_to_three_units_of_the_last_place(dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=20_000) * scale for scale in (1e-20, 1e-3, 0.1, 1, 5, 30)]).astype(dtype)
    t, s = np.empty_like(x), np.empty_like(x)
    functions(x, t, s)
    wide = x.astype(WIDE[dtype])
    for found, exact in ((t, np.tanh(wide)), (s, 1 / (1 + np.exp(-wide)))):
        unit = np.spacing(np.abs(exact).astype(dtype)).astype(WIDE[dtype])
        assert (np.abs(found - exact) <= 3 * unit)[np.abs(exact) > 1e-36].all()
    ends = np.array([np.nan, np.inf, -np.inf, 0, 1e30, -1e30], dtype)
    t, s = np.empty_like(ends), np.empty_like(ends)
    functions(ends, t, s)
    np.testing.assert_array_equal(t, [np.nan, 1, -1, 0, 1, -1])
    np.testing.assert_allclose(s, [np.nan, 1, 0, 0.5, 1, 0], atol=1e-37)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_columns(dtype):
    rng = np.random.default_rng(0)
    for rows in (0, 1, 3, 4, 9):
        for columns in HERE:
            a, to = (guarded(rng.normal(size=s).astype(dtype)) for s in ((rows, columns), columns))
            before = to.copy()
            sums(a, to, True)
            np.testing.assert_allclose(to, before + a.sum(0), rtol=1e-5, atol=1e-5)
            sums(a, to, False)
            np.testing.assert_allclose(to, a.sum(0), rtol=1e-5, atol=1e-5)
    nothing = np.full(3, np.nan, dtype)
    sums(np.ones((2, 3), dtype), nothing, False)  # what was there is not read
    np.testing.assert_array_equal(nothing, [2, 2, 2])

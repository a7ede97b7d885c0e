"""The vectorised float32 functions against NumPy in float64, over a sample of all bit patterns and at every edge."""

import math

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from minipar.kernels.cpu import approximate  # noqa: E402

EXACT = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x < 0, np.exp(-abs(x)), 1) / (1 + np.exp(-abs(x))),
    "erf": np.vectorize(math.erf, otypes=[float]),
}
WORST = {"exp": 1.05, "log": 0.8, "tanh": 1.4, "sigmoid": 2.4, "erf": 1.1}  # units of the last place
EDGES = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 88.7228, 88.73, -87.4, -103.9, -104.1, 1, -1], "f4")


@pytest.fixture(scope="module", params=list(EXACT))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def loop(name):
    function = getattr(approximate, name)

    @numba.njit(error_model="numpy")
    def over_all(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    def run(x):
        y = np.empty_like(x)
        over_all(x, y)
        return y

    run.compiled = over_all
    return run


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def errors(y, exact):
    """|y - exact| in units of the last place of float32 at exact, where both are numbers."""
    nearest = exact.astype(np.float32)
    finite = np.isfinite(nearest)
    unit = np.spacing(np.maximum(np.abs(nearest[finite]), np.float32(2.0**-126))).astype(float)
    np.testing.assert_array_equal(y[~finite], nearest[~finite])
    return np.abs(y[finite] - exact[finite]) / unit


def test_errors_over_all_bit_patterns(name, loop):
    x = np.arange(0, 2**32, 9973, dtype=np.uint64).astype(np.uint32).view(np.float32)
    assert errors(loop(x), EXACT[name](x.astype(float))).max() <= WORST[name]


def test_errors_at_usual_arguments(name, loop):
    x = np.random.default_rng(0).normal(size=300_000).astype(np.float32) * np.float32(3)
    assert errors(loop(x), EXACT[name](x.astype(float))).max() <= WORST[name]


def test_edges(name, loop):
    y, exact = loop(EDGES), EXACT[name](EDGES.astype(float))
    assert errors(y, exact).max() <= WORST[name]
    zero = exact == 0
    np.testing.assert_array_equal(np.signbit(y[zero]), np.signbit(exact[zero]))


def test_an_element_has_one_value_wherever_it_stands(name, loop):
    x = np.random.default_rng(1).normal(size=67).astype(np.float32)
    np.testing.assert_array_equal(loop(x), np.concatenate([loop(x[i : i + 1].copy()) for i in range(67)]))


def test_the_loop_is_vectorised(name, loop):
    loop(EDGES)
    text = next(iter(loop.compiled.inspect_llvm().values()))
    assert " x i32>" in text or " x float>" in text


def test_float64_is_the_c_library(name, loop):
    x = np.random.default_rng(2).normal(size=1000)
    np.testing.assert_allclose(loop(np.abs(x)), EXACT[name](np.abs(x)), rtol=1e-15)
    assert loop(np.array([-1000.0]))[0] == pytest.approx(EXACT[name](np.array([-1000.0]))[0], nan_ok=True)

"""The vectorised functions against the C library in long double, over all exponents and at every edge."""

import math

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from minipar.kernels.cpu import approximate  # noqa: E402

EXACT = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.where(x < 0, np.exp(-abs(x)), 1) / (1 + np.exp(-abs(x))),
    "erf": np.vectorize(math.erf, otypes=[float]),
}
WORST = {  # units of the last place: of float32, of float64
    "exp": (1.02, 1.03),
    "expm1": (1.43, 2.1),
    "log": (0.8, 0.8),
    "log1p": (1.24, 1.21),
    "tanh": (1.35, 2.49),
    "sigmoid": (1.42, 1.35),
    "erf": (1.1, 1.0),
}
SIDE = {"log1p": lambda x: np.where(np.isinf(x), x.dtype.type(1), abs(x))}  # which numbers are served
EDGES = [
    0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    5e-324,
    1e-45,
    -1e-45,
    88.7228,
    88.73,
    -87.4,
    -103.9,
    -104.1,
    709.9,
    -745,
    1,
    -1,
]
WIDE = np.longdouble if np.finfo(np.longdouble).eps < 1e-18 else np.float64
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


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


def check(name, loop, x):
    """|y − exact| is within the bound, in units of the last place at exact; infinities and NaN are the same."""
    x = SIDE.get(name, lambda x: x)(x)
    y, wide = loop(x), np.float64 if name == "erf" else WIDE
    exact = EXACT[name](x.astype(wide))
    nearest = exact.astype(x.dtype)
    finite = np.isfinite(nearest)
    np.testing.assert_array_equal(y[~finite], nearest[~finite])
    unit = np.spacing(np.maximum(np.abs(nearest[finite]), np.finfo(x.dtype).smallest_normal)).astype(wide)
    bound = WORST[name][x.dtype == np.float64] + (x.dtype == wide) / 2
    assert (np.abs(y[finite] - exact[finite]) / unit).max() <= bound
    zero = (nearest == 0) & (name != "expm1")
    np.testing.assert_array_equal(np.signbit(y[zero]), np.signbit(nearest[zero]))


def test_errors_over_all_bit_patterns_of_float32(name, loop):
    check(name, loop, np.arange(0, 2**32, 9973, dtype=np.uint64).astype(np.uint32).view(np.float32))


def test_errors_over_all_exponents_of_float64(name, loop):
    exponents = np.arange(2**12, dtype=np.uint64)[:, None] << np.uint64(52)  # and signs
    check(name, loop, (exponents + np.random.default_rng(0).integers(0, 2**52, (1, 50), np.uint64)).view(float).ravel())


@DTYPES
@pytest.mark.parametrize("spread", [0.1, 3, 100])
def test_errors_at_usual_arguments(name, loop, dtype, spread):
    check(name, loop, (spread * np.random.default_rng(0).normal(size=100_000)).astype(dtype))


@DTYPES
def test_edges(name, loop, dtype):
    check(name, loop, np.array(EDGES, dtype))


@DTYPES
def test_an_element_has_one_value_wherever_it_stands(name, loop, dtype):
    x = np.random.default_rng(1).normal(size=67).astype(dtype)
    np.testing.assert_array_equal(loop(x), np.concatenate([loop(x[i : i + 1].copy()) for i in range(67)]))


@DTYPES
def test_the_loop_is_vectorised(name, loop, dtype):
    loop(np.ones(3, dtype))
    text = "".join(
        code for types, code in loop.compiled.inspect_llvm().items() if f"{np.dtype(dtype)}," in str(types[0])
    )
    of_float64 = " x i64>" in text or " x double>" in text
    assert of_float64 == (name != "erf") if dtype == np.float64 else " x i32>" in text or " x float>" in text

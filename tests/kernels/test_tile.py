"""The register tile against NumPy in float64: every tail, start and stride; nothing beyond m and n is touched."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import seeds

numba = pytest.importorskip("numba", reason="pip install numba")
from minipar.kernels.cpu import tile as tiles  # noqa: E402

SHAPES = (tiles.TALL, tiles.FLAT, tiles.SINGLE)
DTYPES = ("float32", "float64")


@cache
def compiled(dtype, shape):
    """The tile as a function that Python can call; b's, c's and bias's offsets are 0."""
    tile = tiles.tile(dtype, *shape)

    @numba.njit
    def run(a, ao, a_strides, b, b_strides, segments, size, c, c_row, m, n, start, bias, relu):
        tile(
            a, ao, a_strides[0], a_strides[1], a_strides[2], b, 0, b_strides[0], b_strides[1], segments, size,
            c, 0, c_row, m, n, start, bias, 0, relu,
        )  # fmt: skip

    return run


def check(dtype, shape, m, n, segments, size, order, start, relu, seed, special=None):
    """One product on guarded memory, with A's axes (segment, row, k) laid out in the given order."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(segments, m, size)).astype(dtype)
    b = rng.normal(size=(segments, size, n)).astype(dtype)
    c = rng.normal(size=(m, n)).astype(dtype)
    if special is not None and a.size:
        a[0, m // 2, size // 2] = special
    bias = rng.normal(size=m if start == tiles.ROW_BIAS else n).astype(dtype)
    memory = guarded(np.transpose(a, order))
    laid = np.transpose(memory, np.argsort(order))
    strides = tuple(laid.strides[axis] // laid.itemsize for axis in (1, 2, 0))
    got = guarded(c)
    compiled(dtype, shape)(
        memory, 0, strides, guarded(b), (n, size * n), segments, size, got, n, m, n, start, guarded(bias), relu
    )
    with np.errstate(invalid="ignore"):
        expected = np.einsum("smk,skn->mn", a.astype(np.float64), b.astype(np.float64))
        largest = np.einsum("smk,skn->mn", np.abs(a.astype(np.float64)), np.abs(b.astype(np.float64))) + 4
    expected += {
        tiles.ZERO: 0,
        tiles.ACCUMULATE: c,
        tiles.COLUMN_BIAS: bias,
        tiles.ROW_BIAS: bias[:, None],
    }[start]
    if relu:
        expected = np.maximum(expected, 0)
    finite = np.isfinite(expected)
    assert (finite == np.isfinite(got)).all()
    np.testing.assert_array_equal(got[~finite], expected[~finite].astype(dtype))
    assert (np.abs(got[finite] - expected[finite]) <= 4 * np.finfo(dtype).eps * largest[finite]).all()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_products_of_any_size_stride_and_start(data):
    dtype, shape = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from(SHAPES))
    check(
        dtype,
        shape,
        m=data.draw(st.integers(1, shape.rows)),
        n=data.draw(st.integers(1, shape.vectors * tiles.lanes(dtype))),
        segments=data.draw(st.integers(0, 3)),
        size=data.draw(st.integers(0, 9)),
        order=data.draw(st.permutations(range(3))),
        start=data.draw(st.integers(0, 3)),
        relu=data.draw(st.booleans()),
        seed=data.draw(seeds),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_tail(dtype, shape):
    width = shape.vectors * tiles.lanes(dtype)
    for m in range(1, shape.rows + 1):
        for n in {1, width // 2 - 1, width // 2, width // 2 + 1, width - 1, width}:
            check(dtype, shape, m, n, 1, 5, (0, 1, 2), m % 4, n % 2 == 0, m + n)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("relu", [False, True])
def test_what_is_not_finite_reaches_the_user(special, relu):
    for dtype in DTYPES:
        check(dtype, tiles.TALL, 3, 7, 1, 4, (0, 1, 2), tiles.ZERO, relu, 1, special)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_elements_bits_depend_on_neither_m_nor_n_nor_the_tile(dtype):
    rng = np.random.default_rng(0)
    size, width = 37, tiles.TALL.vectors * tiles.lanes(dtype)
    a, b = rng.normal(size=(tiles.TALL.rows, size)).astype(dtype), rng.normal(size=(size, width)).astype(dtype)
    found = set()
    for shape in SHAPES:
        for m in range(1, shape.rows + 1):
            for n in (1, width // 2 + 1, width):
                c = np.zeros((m, n), dtype)
                compiled(dtype, shape)(
                    a, 0, (size, 1, 0), b, (width, 0), 1, size, c, n, m, n, tiles.ZERO, c, False
                )  # fmt: skip
                found.add(c[0, 0].tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("m", [-1, 0, tiles.TALL.rows + 1, 2**40])
@pytest.mark.parametrize("n", [-1, 0, 5, 2**40])
def test_sizes_outside_the_tile_do_nothing(m, n):
    if (1 <= m <= tiles.TALL.rows) and n == 5:
        return
    c = np.ones((1, 1), np.float32)
    compiled("float32", tiles.TALL)(c, 0, (1, 1, 1), c, (1, 1), 1, 1, c, 1, m, n, tiles.ZERO, c, False)
    assert c[0, 0] == 1


@pytest.mark.parametrize(("processor", "features", "lane_bytes"), [
    ("haswell", "+avx,+avx2,+fma", 32), ("generic", "", 16),
])  # fmt: skip
def test_processors_with_narrower_vectors(processor, features, lane_bytes):
    if processor == "haswell" and not tiles.AVX2:
        pytest.skip("this processor has no AVX2")
    program = (
        "import sys, pytest; from minipar.kernels.cpu import tile; "
        f"assert tile.LANE_BYTES == {lane_bytes}; "
        f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {__file__ + '::test_every_tail'!r}]))"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}
    folder = Path(__file__).parents[2]
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "6 passed" in run.stdout

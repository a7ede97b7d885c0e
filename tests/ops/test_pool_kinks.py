"""Ties, NaN, infinities and empty batches of pooling and resizing, beside PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minipar
from tests.ops.test_op_kinks import same

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

nan, inf = math.nan, math.inf
ROWS = {
    "ties": [3.0, 3.0, 1.0, 3.0, 3.0, 3.0, 2.0, 2.0],
    "NaN": [3.0, nan, 4.0, 1.0, nan, nan, 7.0, inf],
    "infinities": [-inf, -inf, 1.0, inf, inf, -inf, -inf, -inf],
}
POOLINGS = {
    "max_pool1d": lambda F, x: F.max_pool1d(x.reshape(1, 1, 8), 3, 2, 1),
    "max_pool2d": lambda F, x: F.max_pool2d(x.reshape(1, 2, 4), 2, 1),
    "max_pool3d": lambda F, x: F.max_pool3d(x.reshape(1, 2, 2, 2), 2),
    "adaptive_max_pool1d": lambda F, x: F.adaptive_max_pool1d(x.reshape(1, 1, 8), 3),
    "adaptive_max_pool2d": lambda F, x: F.adaptive_max_pool2d(x.reshape(1, 2, 4), (1, 3)),
    "avg_pool1d": lambda F, x: F.avg_pool1d(x.reshape(1, 1, 8), 3, 2),
    "adaptive_avg_pool1d": lambda F, x: F.adaptive_avg_pool1d(x.reshape(1, 1, 8), 3),
    "interpolate": lambda F, x: F.interpolate(x.reshape(1, 1, 8), 5),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", POOLINGS)
def test_ties_nan_and_infinities(name: str, row: str) -> None:
    same(lambda m, x: POOLINGS[name](m.nn.functional, x), ROWS[row])


@pytest.mark.parametrize("name", ["max_pool1d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d"])
@pytest.mark.parametrize("row", ROWS)
def test_the_winner_is_pytorchs(name: str, row: str) -> None:
    shape = {"max_pool3d": (1, 2, 2, 2), "adaptive_max_pool2d": (1, 2, 4)}.get(name, (1, 1, 8))
    size = {"adaptive_max_pool2d": (1, 3)}.get(name, 2)
    found, expected = (
        getattr(m.nn.functional, name)(m.tensor(ROWS[row]).reshape(shape), size, return_indices=True)[1]
        for m in (minipar, torch)
    )
    assert str(found.dtype) == "int64"
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_batch_of_none_stays_one(dims: int) -> None:
    ran = 0
    for call in (
        lambda F, x: getattr(F, f"max_pool{dims}d")(x, 2),
        lambda F, x: getattr(F, f"avg_pool{dims}d")(x, 2),
        lambda F, x: getattr(F, f"adaptive_avg_pool{dims}d")(x, 3),
        lambda F, x: getattr(F, f"adaptive_max_pool{dims}d")(x, 3),
        lambda F, x: F.interpolate(x, 3),
    ):
        shape = (0, 2, *[4] * dims)
        y, e = call(minipar.nn.functional, minipar.ones(*shape)), call(torch.nn.functional, torch.ones(*shape))
        assert y.shape == tuple(e.shape)
        ran += 1
    assert ran == 5


def test_a_row_of_one_value_stays_so_at_any_scale() -> None:
    x = minipar.full((1, 1, 5, 7), 0.1)
    for mode in ("bilinear", "bicubic"):
        y = minipar.nn.functional.interpolate(x, scale_factor=(1.37, 0.61), mode=mode)
        np.testing.assert_allclose(y.numpy(), 0.1, rtol=1e-6)
        assert y.dtype == minipar.float32

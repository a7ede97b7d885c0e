"""Making tensors: shapes, dtypes, ranges and random numbers."""

from __future__ import annotations

import numpy as np
import pytest

import minipar


def test_constants() -> None:
    for make, value in ((minipar.zeros, 0.0), (minipar.ones, 1.0)):
        for x in (make(2, 3), make((2, 3)), make([2, 3])):
            assert (x.shape, x.dtype, x.array.min(), x.array.max()) == ((2, 3), minipar.float32, value, value)
        assert make(2, dtype=minipar.int64).dtype == minipar.int64
        assert make(2, requires_grad=True).requires_grad
        assert make(()).shape == ()
    assert minipar.empty(2, 0).shape == (2, 0)
    for fill, dtype in ((2.5, "float32"), (2, "int64"), (True, "bool")):
        x = minipar.full((2,), fill)
        assert (x.tolist(), x.dtype) == ([fill, fill], dtype)
    like = minipar.zeros(2, 3, dtype=minipar.float64)
    assert (minipar.ones_like(like).dtype, minipar.ones_like(like).shape) == (minipar.float64, (2, 3))
    assert minipar.zeros_like(like, dtype=minipar.int32).dtype == minipar.int32


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(RuntimeError, match="negative"):
        minipar.zeros(2, -1)
    for wrong in (2.0, "2", True):
        with pytest.raises(TypeError, match="size must be an int"):
            minipar.zeros(3, wrong)


def test_ranges_beside_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    for arguments in ((5,), (2, 7), (0, 1, 0.1), (5, 0, -2), (1.0,), (0, 10, 3)):
        x, t = minipar.arange(*arguments), torch.arange(*arguments)
        assert str(x.dtype) == str(t.dtype).removeprefix("torch.")
        np.testing.assert_allclose(x.numpy(), t.numpy(), rtol=1e-6)
    for arguments in ((0, 1, 5), (3, -3, 4), (1, 2, 1), (0, 1, 0)):
        np.testing.assert_allclose(
            minipar.linspace(*arguments).numpy(), torch.linspace(*arguments).numpy(), rtol=1e-6, atol=1e-7
        )
    for arguments in ((3,), (2, 4), (4, 2)):
        np.testing.assert_array_equal(minipar.eye(*arguments).numpy(), torch.eye(*arguments).numpy())
    for wrong in ((0, 5, 0), (5, 0), (0, 5, -1)):
        with pytest.raises(RuntimeError):
            torch.arange(*wrong)
        with pytest.raises(RuntimeError, match="arange: "):
            minipar.arange(*wrong)


def test_random_numbers_follow_their_seed_and_their_law() -> None:
    minipar.manual_seed(3)
    first = [minipar.rand(1000), minipar.randn(1000), minipar.randint(5, 9, (1000,)), minipar.randperm(50)]
    minipar.manual_seed(3)
    again = [minipar.rand(1000), minipar.randn(1000), minipar.randint(5, 9, (1000,)), minipar.randperm(50)]
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    uniform, normal, whole, order = (t.numpy() for t in first)
    assert 0 <= uniform.min() < 0.02
    assert 0.98 < uniform.max() < 1
    assert abs(normal.mean()) < 0.1
    assert 0.93 < normal.std() < 1.07
    assert set(whole) == {5, 6, 7, 8}
    assert sorted(order) == list(range(50))
    assert not np.array_equal(minipar.rand(10).numpy(), minipar.rand(10).numpy())
    assert minipar.randint(3, (2,)).shape == (2,)
    assert minipar.rand(2, dtype=minipar.float64).dtype == minipar.float64
    assert minipar.randn_like(minipar.zeros(2, 3)).shape == minipar.rand_like(minipar.zeros(2, 3)).shape == (2, 3)
    with pytest.raises(TypeError, match="floating-point dtype, not int64"):
        minipar.rand(2, dtype=minipar.int64)
    with pytest.raises(RuntimeError, match="high must be above low"):
        minipar.randint(3, 3, (2,))


def test_a_generator_of_ones_own_leaves_the_default_one_alone() -> None:
    minipar.manual_seed(1)
    expected = minipar.rand(3).tolist()
    minipar.manual_seed(1)
    own = minipar.rand(3, generator=minipar.Generator().manual_seed(2)).tolist()
    assert minipar.rand(3).tolist() == expected != own


def test_the_default_dtype() -> None:
    minipar.set_default_dtype(minipar.float64)
    try:
        assert {t.dtype for t in (minipar.zeros(1), minipar.tensor(1.5), minipar.rand(1), minipar.tensor([1]) / 2)} == {
            minipar.float64
        }
    finally:
        minipar.set_default_dtype(minipar.float32)
    with pytest.raises(TypeError, match="floating point"):
        minipar.set_default_dtype(minipar.int64)

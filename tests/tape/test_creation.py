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


def test_everything_that_makes_a_tensor_beside_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    for make in (
        lambda m: m.arange(0, 2.5, 0.5, dtype=m.int32),
        lambda m: m.arange(start=1, end=6, step=2),
        lambda m: m.arange(0.1, 0.7, 0.2),
        lambda m: m.arange(m.tensor(3), dtype=m.float64),
        lambda m: m.linspace(0, 10, 4, dtype=m.int64),
        lambda m: m.linspace(start=-1, end=1, steps=7, dtype=m.float64),
        lambda m: m.logspace(-1, 1, 5),
        lambda m: m.logspace(0, 3, 4, base=2, dtype=m.int64),
        lambda m: m.eye(2, 3, dtype=m.bool),
        lambda m: m.tril_indices(3, 4, -1),
        lambda m: m.triu_indices(3, 2, 1, dtype=m.int32),
        lambda m: m.zeros(size=(2, 1)),
        lambda m: m.full((2,), 1.7, dtype=m.int64),
        lambda m: m.full(size=(), fill_value=m.tensor(2)),
        lambda m: m.full_like(m.zeros(2, dtype=m.int32), 3),
        lambda m: m.ones_like(m.zeros(2, 1), dtype=m.bool, requires_grad=False),
        lambda m: m.scalar_tensor(3),
        lambda m: m.tensor([]),
        lambda m: m.tensor([[True], [False]]),
        lambda m: m.tensor([m.tensor(1), m.tensor(2)]),
        lambda m: m.asarray([1, 2], dtype=m.float64),
        lambda m: m.Tensor([[1, 2]]),
        lambda m: m.Tensor(0, 3),
        lambda m: m.Tensor(),
        lambda m: m.tensor([1, 2], dtype=m.int32).new_full((2,), 3),
        lambda m: m.tensor([1.5, 2]).new_tensor([1, 2]),
        lambda m: m.zeros(1).new_ones(2, 2, dtype=m.int64),
        lambda m: m.randint_like(m.zeros(2, 3), 1, 2),
        lambda m: m.randint(5, 6, size=(2,), dtype=m.float32),
        lambda m: m.randint(high=1, size=(3,)),
        lambda m: m.normal(m.tensor([1.0, 2.0]), 0.0),
        lambda m: m.multinomial(m.tensor([[0.0, 2.0], [1.0, 0.0]]), 1),
        lambda m: m.bernoulli(m.tensor([1.0, 0.0])),
        lambda m: m.zeros(2, 2).bernoulli_(1),
    ):
        x, t = make(minipar), make(torch)
        assert (x.shape, f"torch.{x.dtype.name}") == (tuple(t.shape), str(t.dtype))
        np.testing.assert_allclose(x.numpy(), t.numpy(), rtol=1e-6, atol=1e-7)


def test_random_numbers_follow_their_laws() -> None:
    minipar.manual_seed(5)
    n = 20_000
    drawn = minipar.multinomial(minipar.tensor([1.0, 3.0]), n, replacement=True)
    assert abs(drawn.float().mean().item() - 0.75) < 0.02
    first = minipar.stack([minipar.multinomial(minipar.tensor([1.0, 3.0, 0.0]), 2) for _ in range(500)])
    assert first.amax().item() == 1
    assert abs(first[:, 0].float().mean().item() - 0.75) < 0.08
    assert abs(minipar.empty(n).exponential_(2.0).mean().item() - 0.5) < 0.02
    assert abs(minipar.bernoulli(minipar.full((n,), 0.3)).mean().item() - 0.3) < 0.02
    x = minipar.normal(3.0, 2.0, (n,)).numpy()
    assert abs(x.mean() - 3) < 0.06
    assert abs(x.std() - 2) < 0.06
    x = minipar.empty(n).uniform_(-1, 3).numpy()
    assert -1 <= x.min() < -0.9
    assert 2.9 < x.max() <= 3
    assert set(minipar.empty(200, dtype=minipar.int64).random_(2, 5).tolist()) == {2, 3, 4}


def test_the_state_of_the_generator_comes_back() -> None:
    state = minipar.get_rng_state()
    x = minipar.rand(3)
    with minipar.random.fork_rng():
        minipar.rand(5)
    minipar.set_rng_state(state)
    assert minipar.rand(3).tolist() == x.tolist()


def test_conversions() -> None:
    x = minipar.tensor([1.7, 0.0])
    assert x.to(minipar.float32) is x
    assert x.to("cpu", minipar.int64, False, True).tolist() == [1, 0]
    assert x.to(x, copy=True) is not x
    assert [getattr(x, name)().dtype.name for name in ("half", "double", "short", "char", "byte", "bool", "int")] == [
        "float16", "float64", "int16", "int8", "uint8", "bool", "int32",
    ]  # fmt: skip
    assert (x.type(), x.long().type("torch.HalfTensor").type()) == ("torch.FloatTensor", "torch.HalfTensor")
    assert (x.mT if x.ndim > 1 else x.stride(), x.element_size(), x.nbytes, x.get_device()) == ((1,), 4, 8, -1)

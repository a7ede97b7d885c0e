"""Poles, ties, zeros, infinities and NaN of the gamma functions and distances, beside PyTorch; views as memory."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

ODD = [0.0, -0.0, -1.0, -2.0, 1.0, 2.0, math.inf, -math.inf, math.nan, 1e300, 1e-300, -1e-300, -0.5, 171.5]


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_gamma_functions_at_their_poles(name: str, dtype: str) -> None:
    with np.errstate(over="ignore"):
        x = np.array(ODD).astype(dtype)
    found = getattr(minipar, name)(minipar.from_numpy(x)).numpy()
    expected = getattr(torch, name)(torch.from_numpy(x)).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol={"float64": 1e-14, "float32": 3e-6, "float16": 2e-3}[dtype])


def test_gamma_functions_of_large_and_small_numbers() -> None:
    x = np.concatenate([np.geomspace(1e-10, 1e10, 400), np.linspace(0.9, 2.1, 200)])
    for name in ("lgamma", "digamma"):
        found = getattr(minipar, name)(minipar.from_numpy(x)).numpy()
        expected = getattr(torch, name)(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, expected, rtol=3e-15, atol=1e-15)


def test_polygamma_is_infinite_at_its_poles_and_right_where_it_is_known() -> None:
    assert minipar.polygamma(2, minipar.tensor([0.0, -1.0, -math.inf])).tolist() == [-math.inf] * 3
    known = minipar.polygamma(1, minipar.tensor([1.0, 0.5], dtype=minipar.float64)).numpy()
    np.testing.assert_allclose(known, [math.pi**2 / 6, math.pi**2 / 2], rtol=1e-15)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, math.inf])
def test_gradients_of_distances_at_zero_and_at_ties(p: float) -> None:
    a, b = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[1.0, 2.0], [2.0, 3.0], [1.0, 3.0]])
    found = []
    for m in (minipar, torch):
        x, y = m.tensor(a, requires_grad=True), m.tensor(b, requires_grad=True)
        d = m.cdist(x, y, p)
        found.append([d.detach().numpy(), *[g.numpy() for g in m.autograd.grad(d.sum(), [x, y])]])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
def test_a_triplet_whose_positive_is_its_anchor(p: float) -> None:
    found = []
    for m in (minipar, torch):
        anchor, negative = m.tensor([[1.0, 2.0]], requires_grad=True), m.tensor([[1.5, 2.0]])
        loss = m.nn.functional.triplet_margin_loss(anchor, anchor.detach(), negative, p=p, eps=0.0)
        found.append([loss.item(), m.autograd.grad(loss, anchor)[0].tolist()])
    assert found[0] == found[1]


@pytest.mark.parametrize("left", [True, False])
def test_a_triangular_system_of_three_matrices_and_one_right_side_is_none_of_vectors(left: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 3, 3)) + 4 * np.eye(3), rng.normal(size=(3, 3))
    found = minipar.linalg.solve_triangular(minipar.tensor(a), minipar.tensor(b), upper=True, left=left)
    expected = torch.linalg.solve_triangular(torch.tensor(a), torch.tensor(b), upper=True, left=left)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


def test_as_strided_looks_at_the_memory() -> None:
    x = minipar.arange(6.0)
    part = x[2:]
    assert part.as_strided((2,), (1,)).tolist() == [2.0, 3.0]
    assert part.as_strided((2,), (1,), 0).tolist() == [0.0, 1.0], "storage_offset counts from the memory's start"
    part.as_strided((2, 2), (2, 1)).fill_(7)
    assert x.tolist() == [0.0, 1.0, 7.0, 7.0, 7.0, 7.0]


def test_a_change_through_as_strided_reaches_the_gradient() -> None:
    found = []
    for m in (minipar, torch):
        leaf = m.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
        y = leaf * 2
        y.as_strided((2,), (2,), 1).mul_(10)
        found.append((y.detach().numpy(), m.autograd.grad(y.sum(), [leaf])[0].numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)

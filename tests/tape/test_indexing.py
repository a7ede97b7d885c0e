"""Indexing and assignment beside NumPy and PyTorch: any mixture of what an index may hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minipar
from minipar.ops.index import is_basic

SHAPE = (4, 3, 2)


def ints(size: int) -> st.SearchStrategy[int]:
    return st.integers(-size, size - 1)


def slices(size: int, backwards: bool) -> st.SearchStrategy[slice]:
    ends = st.none() | st.integers(-size - 1, size + 1)
    steps = st.sampled_from([None, 1, 2, 3] + ([-1, -2] if backwards else []))
    return st.builds(slice, ends, ends, steps)


@st.composite
def indices(draw: st.DrawFn, backwards: bool = True) -> tuple:
    """A tuple of ints, slices, None, … and integer lists (with repeats), or of a mask of the first axes.

    Never ints beside lists, where NumPy and PyTorch differ; unless `backwards` is False (for PyTorch alone).
    """
    if draw(st.booleans()) and draw(st.booleans()):
        axes = draw(st.integers(1, 3))
        return (np.array(draw(st.lists(st.booleans(), min_size=1, max_size=1))).repeat(4)[:4],) if axes == 1 else (
            np.random.default_rng(draw(st.integers(0, 99))).random(SHAPE[:axes]) > 0.5,
        )  # fmt: skip
    length = draw(st.integers(1, 3))
    repeats = draw(st.integers(1, 4))
    parts: list = []
    for size in SHAPE[:length]:
        lists = st.lists(ints(size), min_size=repeats, max_size=repeats).map(np.array)
        kinds = [ints(size), slices(size, backwards), lists]
        if backwards:  # for NumPy: ints or lists
            kinds.pop(2 if any(isinstance(p, int) for p in parts) else 0)
        parts.append(draw(st.one_of(kinds)))
    for extra in draw(st.lists(st.sampled_from([None, Ellipsis]), max_size=2)):
        if extra is None:
            parts.insert(draw(st.integers(0, len(parts))), None)
        elif Ellipsis not in [p for p in parts if p is Ellipsis]:
            parts.append(Ellipsis)
    return tuple(parts)


def with_tensors(index: tuple) -> tuple:
    return tuple([minipar.tensor(i) if isinstance(i, np.ndarray) else i for i in index])


def start() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SHAPE)


@given(index=indices())
@settings(max_examples=150)
def test_reading_equals_numpy_and_repeats_add_their_gradients(index: tuple) -> None:
    array = start()
    expected = array[index]
    for key in (index, with_tensors(index)):
        x = minipar.tensor(array, requires_grad=True)
        y = x[key]
        np.testing.assert_array_equal(y.detach().numpy(), expected)
        weights = np.random.default_rng(1).standard_normal(y.shape)
        y.backward(minipar.tensor(weights, dtype=minipar.float64))
        gradient = np.zeros(SHAPE)
        np.add.at(gradient, index, weights)
        np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=1e-14)
        assert np.shares_memory(y.array, x.array) == (is_basic(index) and y.numel() > 0)


@given(index=indices())
@settings(max_examples=100)
def test_writing_equals_numpy(index: tuple) -> None:
    array = start()
    value = np.random.default_rng(2).standard_normal(array[index].shape)
    x, v = minipar.tensor(array), minipar.tensor(value, dtype=minipar.float64)
    x[with_tensors(index)] = v
    array[index] = value
    np.testing.assert_array_equal(x.numpy(), array)
    recorded, source = minipar.tensor(start(), requires_grad=True), minipar.tensor(value, dtype=minipar.float64)
    y = recorded.clone()
    y[index] = source.requires_grad_()
    np.testing.assert_array_equal(y.detach().numpy(), array)
    y.sum().backward()
    kept = np.ones(SHAPE)
    kept[index] = 0
    np.testing.assert_array_equal(recorded.grad.numpy(), kept)
    np.testing.assert_array_equal(source.grad.numpy(), np.ones(value.shape))


@given(index=indices(backwards=False))
@settings(max_examples=100)
def test_reading_equals_pytorch(index: tuple) -> None:
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    key = tuple([torch.tensor(i) if isinstance(i, np.ndarray) else i for i in index])
    x, t = minipar.tensor(start(), requires_grad=True), torch.tensor(start(), requires_grad=True)
    y, e = x[index], t[key]
    np.testing.assert_array_equal(y.detach().numpy(), e.detach().numpy())
    (y * y).sum().backward()
    (e * e).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-14)


def test_one_element_is_a_view_too() -> None:
    x = minipar.zeros(3)
    x[1].add_(5)
    x[-1] += 2
    assert x.tolist() == [0.0, 5.0, 2.0]


def test_lists_bools_and_numpy_integers() -> None:
    x = minipar.arange(4)
    assert x[[True, False, True, False]].tolist() == [0, 2]
    assert x[np.int64(2)].item() == 2
    assert x[minipar.tensor(3)].item() == 3
    assert x[[]].tolist() == []
    assert x[None, :, None].shape == (1, 4, 1)
    assert x[True].shape == (1, 4)


def test_ints_beside_lists_are_applied_first_as_in_pytorch() -> None:
    x = minipar.arange(24.0).reshape(2, 3, 4).requires_grad_()
    y = x[0, :, [1, 2]]
    assert y.tolist() == [[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]]  # NumPy would give it transposed
    y.sum().backward()
    assert x.grad[0].tolist() == [[0.0, 1.0, 1.0, 0.0]] * 3
    z = minipar.zeros(2, 3, 4)
    z[minipar.tensor(1), :, minipar.tensor([0, 0])] = minipar.ones(3, 2)
    assert z.sum().item() == 3.0
    assert x[minipar.tensor([True, False]), 0].shape == (1, 4)
    assert x[0, minipar.ones(3, 4).bool()].shape == (12,)
    assert x[1, ..., [0]].shape == (3, 1)


def mixture(draw: np.random.Generator, shape: tuple[int, ...]) -> list:
    """Ints, 0-d integers, slices, masks, lists and arrays in any order, one axis each, with None between some."""
    parts: list = []
    for size in shape[: draw.integers(0, len(shape) + 1)]:
        if draw.random() < 0.2:
            parts.append(None)
        mask = np.zeros(size, bool)
        mask[draw.choice(size, min(2, size), replace=False)] = True  # two places, as many as the lists have
        kinds = [
            int(draw.integers(-size, size)),
            np.asarray(draw.integers(-size, size)),
            slice(*sorted(draw.integers(-size, size + 1, 2).tolist()), int(draw.integers(1, 3))),
            mask if size > 1 else [0],
            draw.integers(-size, size, 2).tolist(),
            draw.integers(-size, size, (3, 2)),
        ]
        parts.append(kinds[draw.integers(len(kinds))])
    return parts


@pytest.mark.parametrize("seed", range(60))
def test_any_mixture_equals_pytorch(seed: int) -> None:
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    draw = np.random.default_rng(seed)
    shape = [(4,), (4, 3), (4, 3, 2), (1, 2), (2, 3, 2, 2)][draw.integers(5)]
    parts, numbers = mixture(draw, shape), draw.standard_normal(shape)
    results = []
    for m in (minipar, torch):
        index = tuple([m.tensor(i) if isinstance(i, np.ndarray) else i for i in parts])
        x = m.tensor(numbers, requires_grad=True)
        y = x[index]
        value = m.tensor(0.5, dtype=m.float64, requires_grad=True)
        z = x * 1
        z[index] = value
        ((y**3).sum() + (z**2).sum()).backward()
        results.append([t.detach().numpy() for t in (y, z, x.grad, value.grad)])
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape, parts
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)

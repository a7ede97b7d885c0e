"""Every combination of three parts of an index, read and assigned, beside PyTorch."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

NUMBERS = np.arange(24.0).reshape(2, 3, 4)
NAMES = ("0", "1", ":", "0:1", "None", "...", "True", "False", "[0, 1]", "[[1], [0]]", "mask", "wide mask", "0-d")


def parts(m):
    return dict(
        zip(
            NAMES,
            (0, 1, slice(None), slice(0, 1), None, ..., True, False, m.tensor([0, 1]), m.tensor([[1], [0]]),
             m.tensor([True, False]), m.tensor([[True, False, True], [False, True, False]]), m.tensor(1)),
            strict=True,
        )
    )  # fmt: skip


def outcome(m, names: tuple[str, ...]):
    """What is read, its gradient, what assigning leaves, and that gradient; None where the index is refused."""
    index = tuple(parts(m)[name] for name in names)
    x = m.tensor(NUMBERS, requires_grad=True)
    try:
        y = x[index]
    except (IndexError, RuntimeError, TypeError):
        return None
    written = m.tensor(np.arange(float(np.prod(y.shape))).reshape(1, *y.shape), requires_grad=True)
    z = x * 1
    z[index] = written
    grads = m.autograd.grad(y.sum() + (z * x.detach()).sum(), [x, written])
    return [part.detach().numpy() for part in (y, z, *grads)]


@pytest.mark.parametrize("first", NAMES)
def test_reading_and_assigning(first: str) -> None:
    compared = 0
    for names in [(first,), *product([first], NAMES), *product([first], NAMES, NAMES), (first, "True", "0", "0")]:
        if names.count("...") > 1 or (expected := outcome(torch, names)) is None:
            continue
        found = outcome(minipar, names)
        assert found is not None, names
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == theirs.shape, names
            np.testing.assert_array_equal(ours, theirs, str(names))
        compared += 1
    assert compared > 50


LISTS = {
    "lists": lambda m: [[0, 1], [1, 0]],
    "one list": lambda m: [[0, 1]],
    "tensors": lambda m: [m.tensor([0, 1]), m.tensor([1, 0])],
    "0-d tensors": lambda m: [m.tensor(0), m.tensor(1)],
    "slice": lambda m: [slice(None), 1],
    "None": lambda m: [None, 0],
    "...": lambda m: [..., 0],
    "a list and a slice": lambda m: [[0, 1], slice(1, None)],
    "numbers": lambda m: [0, 1],
    "nothing": lambda m: [],
    "32 lists": lambda m: [[0, 1]] * 32,
    "bools in tuples": lambda m: (((True, False, True), (False, True, True)), 0),
    "bools in tuples beside a tensor": lambda m: (((True, False, True), (False, True, True)), m.tensor(1)),
}


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")  # deprecated in PyTorch, and its rule all the same
@pytest.mark.parametrize("name", LISTS)
def test_lists_and_tuples_in_an_index(name: str) -> None:
    found = [[], []]
    for m, results in zip((minipar, torch), found, strict=True):
        x = m.tensor(NUMBERS, requires_grad=True)
        y = x[LISTS[name](m)]
        z = x * 1
        z[LISTS[name](m)] = 7.0
        (grad,) = m.autograd.grad(y.sum() + (z * z).sum(), x)
        results += [part.detach().numpy() for part in (y, z, grad)]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)

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

"""Arguments that PyTorch's spelling brings along, and inputs that an operation must refuse by name."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
import minipar.nn.functional as F

ROWS = np.array([[0.5, -1.0, 3.0], [2.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    "call",
    [
        lambda T, x: x.sum(1, dtype=T.float32),
        lambda T, x: x.mean(0, dtype=T.float32),
        lambda T, x: x.std(unbiased=False),
        lambda T, x: x.var(1, unbiased=False, keepdim=True),
        lambda T, x: x.var(0, correction=0),
        lambda T, x: (x > 0).all(1),
        lambda T, x: (x > 0).any(0, keepdim=True),
        lambda T, x: (x > -2).all(),
    ],
)
def test_reductions_take_pytorchs_arguments(call):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    ours, theirs = call(minipar, minipar.tensor(ROWS)), call(torch, torch.tensor(ROWS))
    assert ours.numpy().dtype == theirs.numpy().dtype
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-7)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: F.mse_loss(minipar.tensor([1, 2]), minipar.tensor([2, 4])), "mse_loss needs a floating-point tensor"),
        (
            lambda: F.cross_entropy(minipar.tensor([[1, 2]]), minipar.tensor([0])),
            "cross_entropy needs a floating-point tensor",
        ),
        (lambda: F.max_pool2d(minipar.ones(1, 1, 4, 4).long(), 2), "max_pool2d needs a floating-point tensor"),
        (lambda: F.avg_pool2d(minipar.ones(1, 1, 4, 4).long(), 2), "avg_pool2d needs a floating-point tensor"),
    ],
)
def test_wrong_dtypes_are_refused(call, told):
    with pytest.raises(RuntimeError, match=told):
        call()


def test_the_class_number_at_fault_is_named():
    with pytest.raises(IndexError, match=r"in \[0, 3\), got -1"):
        F.cross_entropy(minipar.ones(2, 3), minipar.tensor([-1, 2]))
    with pytest.raises(IndexError, match=r"in \[0, 3\), got 7"):
        F.cross_entropy(minipar.ones(2, 3), minipar.tensor([2, 7]))


def test_adam_wants_two_betas():
    with pytest.raises(ValueError, match="betas must be two numbers"):
        minipar.optim.Adam([minipar.nn.Parameter(minipar.ones(2))], betas=(0.9,))

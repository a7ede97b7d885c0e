"""Values and gradients of every operation, beside PyTorch on the CPU: any shape, any strides, float64 and float32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minipar
from tests.ops.case import LAYOUTS, Case, layouts
from tests.ops.table import TABLE, UNDIFFERENTIABLE

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

EXACT = {"float64": {"rtol": 1e-11, "atol": 1e-12}, "float32": {"rtol": 2e-4, "atol": 2e-5}}


def ours(case: Case, arrays: list[np.ndarray], seed: np.random.Generator):
    """(result, gradients, the gradient of the result that was used): all NumPy arrays."""
    inputs = [minipar.from_numpy(a).requires_grad_() for a in arrays]
    y = case.run(minipar, *inputs)
    weights = np.asarray(seed.standard_normal(y.shape)).astype(y.dtype)
    grads = minipar.autograd.grad(y, inputs, minipar.from_numpy(weights), materialize_grads=True)
    return y.detach().numpy(), [g.numpy() for g in grads], weights


def theirs(case: Case, arrays: list[np.ndarray], weights: np.ndarray):
    inputs = [torch.from_numpy(np.array(a, order="C")).requires_grad_() for a in arrays]
    y = (case.theirs or case.run)(torch, *inputs)
    grads = torch.autograd.grad(y, inputs, torch.from_numpy(weights).reshape(y.shape), materialize_grads=True)
    return y.detach().numpy(), [g.numpy() for g in grads]


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@settings(max_examples=15)
@given(data=st.data())
def test_value_and_gradients_equal_pytorch(case: Case, dtype: str, data: st.DataObject) -> None:
    shapes = data.draw(case.some_shapes() | st.just(case.example))
    layout = data.draw(layouts)
    seed = data.draw(st.integers(0, 99))
    arrays = [LAYOUTS[layout](a.astype(dtype)) for a in case.inputs(shapes, seed)]
    before = [a.copy() for a in arrays]
    value, grads, weights = ours(case, arrays, np.random.default_rng(seed))
    expected, expected_grads = theirs(case, arrays, weights)
    assert (value.shape, value.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(value, expected, **EXACT[dtype])
    for array, g, e in zip(before, grads, expected_grads, strict=True):
        assert (g.shape, g.dtype) == (array.shape, array.dtype)
        np.testing.assert_allclose(g, e, **EXACT[dtype])
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy, "the operation changed its input")


@pytest.mark.parametrize(("name", "run"), UNDIFFERENTIABLE, ids=[name for name, _ in UNDIFFERENTIABLE])
@pytest.mark.parametrize("tracked", [False, True])
@given(seed=st.integers(0, 99), layout=layouts)
@settings(max_examples=10)
def test_operation_without_gradient_equals_pytorch(name: str, run, tracked: bool, seed: int, layout: str) -> None:
    draw = np.random.default_rng(seed)
    a, b = (LAYOUTS[layout](draw.integers(-2, 3, (2, 3)).astype(np.float32)) for _ in "ab")
    y = run(minipar, minipar.tensor(a, requires_grad=tracked), minipar.tensor(b))
    e = run(torch, torch.tensor(a.copy(), requires_grad=tracked), torch.tensor(b.copy()))
    assert not y.requires_grad
    assert (y.shape, str(y.dtype)) == (tuple(e.shape), str(e.dtype).removeprefix("torch."))
    np.testing.assert_array_equal(y.numpy(), e.numpy())

"""Values, first and second gradients of every operation, beside PyTorch on the CPU: any shape, any strides, float64 and
float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minipar
from tests.ops.case import LAYOUTS, Case, layouts
from tests.ops.table import TABLE, UNDIFFERENTIABLE

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

EXACT = {"float64": {"rtol": 1e-11, "atol": 1e-12}, "float32": {"rtol": 2e-4, "atol": 2e-5}}

SECOND = {"rtol": 1e-9, "atol": 2e-8}  # PyTorch adds 1e-12 to some denominators, and its trigamma has nine digits


def differentiated(T: Any, y: Any, inputs: list[Any], second: bool) -> list[np.ndarray]:
    """The gradients of y's randomly weighted sum, and (if `second`) those of theirs, as arrays.

    Where a library records nothing to differentiate again, as of a straight function, the second gradients are zeros.
    """

    def weighted(values: list[Any], seed: int) -> Any:
        draw = np.random.default_rng(seed)
        weights = [T.tensor(np.asarray(draw.standard_normal(tuple(v.shape))), dtype=v.dtype) for v in values]
        with np.errstate(all="ignore"):  # NumPy warns of infinities that meet
            return sum((w * v).sum() for w, v in zip(weights, values))

    found = list(T.autograd.grad(weighted([y], 2), inputs, create_graph=second, materialize_grads=True))
    if second:
        total = weighted(found, 3)
        found += (
            T.autograd.grad(total, inputs, materialize_grads=True)
            if total.requires_grad
            else [T.zeros_like(x) for x in inputs]
        )
    return [g.numpy(force=True) for g in found]


def differentiated_by_torch(run: Callable[[list[Any]], Any], inputs: list[Any], second: bool) -> list[np.ndarray]:
    """As `differentiated`; the first gradients alone where PyTorch raises at the second (many it does not have)."""
    first = differentiated(torch, run(inputs), inputs, False)
    if not second:
        return first
    try:
        return differentiated(torch, run(inputs), inputs, True)
    except (RuntimeError, IndexError):
        return first


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
    inputs = [minipar.from_numpy(a).requires_grad_() for a in arrays]
    y = case.run(minipar, *inputs)
    theirs = [torch.from_numpy(np.array(a, order="C")).requires_grad_() for a in arrays]

    def torch_run(inputs: list[Any]) -> Any:
        return (case.theirs or case.run)(torch, *inputs)

    e = torch_run(theirs)
    assert (y.shape, y.dtype.name) == (tuple(e.shape), str(e.dtype).removeprefix("torch."))
    np.testing.assert_allclose(y.detach().numpy(), e.detach().numpy(), **EXACT[dtype])
    second = dtype == "float64" and case.second
    grads, expected = differentiated(minipar, y, inputs, second), differentiated_by_torch(torch_run, theirs, second)
    for i, (array, g, h) in enumerate(zip(before * 2, grads, expected)):
        assert (g.shape, g.dtype) == (array.shape, array.dtype)
        np.testing.assert_allclose(g, h, **(EXACT[dtype] if i < len(before) else SECOND))
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

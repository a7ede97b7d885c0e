"""float16 on a GPU: products go to the hand-written kernels, forwards and backwards; all else to CuPy's own functions.

The double's arrays are on the CPU, so what is planned for them runs in the lockstep interpreter. Not a GPU run.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.backend.dispatch import serving
from minipar.kernels.cuda import interpreter, launcher


@pytest.fixture
def launched(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The (kernel, dtype) of every launch; they run in the interpreter."""
    log = []

    def launch(planner: Callable[..., Any], *operands: Any) -> Any:
        plan = planner(*(operand.get() if isinstance(operand, cupy.ndarray) else operand for operand in operands))
        log.append((plan.kernel.name, plan.kernel.dtype.name))
        return cupy.asarray(interpreter.run(plan))

    monkeypatch.setattr(launcher, "launch", launch)
    return log


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[-1]).standard_normal(shape).astype(np.float16)


def test_products_and_their_gradients_run_on_tensor_cores(launched):
    a, b = normal(2, 5, 6), normal(6, 4)
    with minipar.use_kernels("auto"):
        x, w = (minipar.tensor(array, device="cuda", requires_grad=True) for array in (a, b))
        y = x @ w
        minipar.matmul(x, w)
        y.backward(minipar.ones_like(y))
    assert launched == [("matmul_tensor_cores", "float16")] * 4
    assert {t.dtype for t in (y, x.grad, w.grad)} == {minipar.float16}
    a, b = a.astype(np.float64), b.astype(np.float64)
    np.testing.assert_allclose(y.detach().cpu().numpy(), a @ b, rtol=2**-10, atol=1e-5)
    np.testing.assert_allclose(x.grad.cpu().numpy(), np.ones((2, 5, 4)) @ b.T, rtol=2**-10, atol=1e-5)
    # A product for each matrix of the batch, rounded, and these are added up.
    each = np.swapaxes(a, 1, 2) @ np.ones((2, 5, 4))
    assert (np.abs(w.grad.cpu().numpy() - each.sum(0)) <= 2**-10 * np.abs(each).sum(0)).all()


def test_a_linear_layer_of_halves_trains_on_the_same_kernel(launched):
    minipar.manual_seed(0)
    layer = nn.Sequential(nn.Linear(6, 3), nn.ReLU()).half().to("cuda")
    with minipar.use_kernels("auto"):
        y = layer(minipar.tensor(normal(4, 6), device="cuda"))
        y.sum().backward()
    assert launched == [("matmul_tensor_cores", "float16")] * 2  # y, ∂W; nobody asks for ∂x
    assert all(p.grad.dtype == minipar.float16 and p.grad.device.type == "cuda" for p in layer.parameters())
    wide = nn.Sequential(nn.Linear(6, 3), nn.ReLU()).double()
    wide.load_state_dict({name: value.cpu().double() for name, value in layer.state_dict().items()})
    expected = wide(minipar.tensor(normal(4, 6).astype(np.float64)))
    expected.sum().backward()
    np.testing.assert_allclose(y.detach().cpu().numpy(), expected.detach().numpy(), rtol=2**-10, atol=1e-5)
    for p, q in zip(layer.parameters(), wide.parameters()):
        np.testing.assert_allclose(p.grad.cpu().numpy(), q.grad.numpy(), rtol=2**-10, atol=1e-5)


def test_which_kernels_serve_float16(cupy):
    half = cupy.zeros((2, 2), cupy.float16)
    names = ("matmul", "linear_forward", "linear_backward", "conv2d_forward")
    with minipar.use_kernels("auto"):
        assert [serving(name, half) for name in names] == [
            "cuda.matmul",
            "cuda.linear",
            "cuda.linear",
            "cuda.conv2d",
        ]
        assert [serving(name, half.get()) for name in names] == [
            "reference.matmul", "reference.linear", "reference.linear", "reference.conv2d"
        ]  # fmt: skip
    for choice in ("library", "reference"):
        with minipar.use_kernels(choice):
            assert {serving(name, half).split(".")[0] for name in names} == {"reference"}

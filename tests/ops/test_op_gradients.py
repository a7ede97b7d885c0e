"""First and second derivatives of every operation, against central differences; and nothing is left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import minipar
from minipar.autograd import gradcheck, gradgradcheck
from minipar.ops.op import Fat, Op
from tests.ops.case import Case
from tests.ops.table import TABLE, UNDIFFERENTIABLE, every_op

STRICT = {"atol": 1e-7, "rtol": 1e-6}
SECOND = {"atol": 1e-6, "rtol": 1e-5}


def example(case: Case) -> list[minipar.Tensor]:
    return [minipar.from_numpy(a).requires_grad_() for a in case.inputs(case.example, seed=1)]


def function(case: Case):
    return lambda *inputs: case.run(minipar, *inputs)


@pytest.mark.parametrize("case", [case for case in TABLE if case.derivative], ids=str)
def test_gradient(case: Case) -> None:
    assert gradcheck(function(case), example(case), **STRICT)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_gradient_of_the_gradient(case: Case) -> None:
    assert gradgradcheck(function(case), example(case), **SECOND)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_the_gradient_under_create_graph_is_the_same(case: Case) -> None:
    inputs = example(case)
    y = function(case)(*inputs)
    weights = minipar.from_numpy(np.asarray(np.random.default_rng(2).standard_normal(y.shape)))
    on_tape = minipar.autograd.grad(y, inputs, weights, create_graph=True, materialize_grads=True)
    plain = minipar.autograd.grad(y, inputs, weights, materialize_grads=True)
    for a, b in zip(on_tape, plain):
        assert (a.shape, a.dtype, b.requires_grad) == (b.shape, b.dtype, False)
        np.testing.assert_allclose(a.detach().numpy(), b.numpy(), rtol=1e-12, atol=1e-13)


class Seen:
    """Which operations ran forward, which backward, which composite."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.forward: set[type] = set()
        self.vjp: set[type] = set()
        call = Op.__call__

        def noting_call(node, *inputs):
            self.forward.add(type(node))
            return call(node, *inputs)

        monkeypatch.setattr(Op, "__call__", noting_call)
        for base in (Op, Fat):
            monkeypatch.setattr(base, "pull", self.noting(base.pull))

    def noting(self, pull: Callable) -> Callable:
        def noting_pull(node, grad, create_graph):
            self.vjp.add(type(node))
            return pull(node, grad, create_graph)

        return noting_pull


def test_every_operation_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(monkeypatch)
    ran = 0
    for case in TABLE:
        inputs = example(case)
        minipar.autograd.grad(function(case)(*inputs).sum(), inputs, allow_unused=True)
        ran += 1
    for _, run in UNDIFFERENTIABLE:
        run(minipar, minipar.ones(2, 3), minipar.ones(2, 3))
        ran += 1
    ops = every_op()
    differentiable = {op for op in ops if op.vjp is not Op.vjp}
    assert {op.__name__ for op in ops - seen.forward} == set(), "operations that no case of the table runs"
    assert {op.__name__ for op in differentiable - seen.vjp} == set(), "operations whose gradient no case runs"
    assert len(ops) > 50
    assert ran == len(TABLE) + len(UNDIFFERENTIABLE) > 180
    assert len({case.name for case in TABLE}) == len(TABLE), "two cases of one name"


FAT = [
    case
    for case in TABLE
    if "from constants" in case.name
    or case.name.split()[0]
    in (
        "batch_norm",
        "instance_norm",
        "group_norm",
        "layer_norm",
        "rms_norm",
        "attention",
        "linear",
        "rnn",
        "lstm",
        "gru",
        "mse_loss",
        "cross_entropy",
        "ctc_loss",
    )
]


@pytest.mark.parametrize("case", FAT, ids=str)
def test_composite_is_the_same_function_with_the_same_gradients(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = example(case)
    y = function(case)(*inputs)
    weights = minipar.from_numpy(np.asarray(np.random.default_rng(2).standard_normal(y.shape)))
    fused = minipar.autograd.grad(y, inputs, weights, materialize_grads=True)
    call, composites = Op.__call__, []

    def composed(node, *operands):
        if not isinstance(node, Fat) or not any(getattr(x, "requires_grad", False) for x in operands):
            return call(node, *operands)
        composites.append(type(node))
        return node.composite(*operands)

    monkeypatch.setattr(Op, "__call__", composed)
    z = function(case)(*inputs)
    simple = minipar.autograd.grad(z, inputs, weights, materialize_grads=True)
    assert composites, "the case runs no fat operation"
    np.testing.assert_allclose(z.detach().numpy(), y.detach().numpy(), rtol=1e-12, atol=1e-13)
    for a, b in zip(simple, fused):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-13)


def test_every_fat_operation_has_its_composite_compared() -> None:
    assert {op.__name__ for op in every_op() if issubclass(op, Fat)} == {
        "Attention",
        "PackedAttention",
        "BatchNorm",
        "GroupNorm",
        "RowNorm",
        "Linear",
        "LinearChain",
        "RNN",
        "LSTM",
        "GRU",
        "SquaredError",
        "MeanSquaredError",
        "PairedLoss",
        "CrossEntropy",
        "ReducedCrossEntropy",
        "CTC",
    }

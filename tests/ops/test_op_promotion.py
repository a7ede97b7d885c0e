"""The dtype of a result, beside PyTorch's promotion table: every pair of dtypes, ranks and Python numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
RANKS = [(2,), ()]
TENSORS = list(itertools.product(DTYPES, RANKS))
NUMBERS = [True, 2, 2.5]
BINARY = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "==": lambda a, b: a == b,
}


def named(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def both(dtype: str, shape: tuple[int, ...]) -> tuple[minipar.Tensor, object]:
    array = np.ones(shape, dtype)
    return minipar.tensor(array), torch.tensor(array)


def test_every_pair_of_tensors() -> None:
    ran = 0
    for (da, sa), (db, sb) in itertools.product(TENSORS, TENSORS):
        (a, ta), (b, tb) = both(da, sa), both(db, sb)
        assert named(minipar.result_type(a, b)) == named(torch.result_type(ta, tb)), (da, sa, db, sb)
        for sign, operation in BINARY.items():
            y, expected = operation(a, b), operation(ta, tb)
            assert (named(y.dtype), y.shape) == (named(expected.dtype), tuple(expected.shape)), (sign, da, sa, db, sb)
            ran += 1
    assert ran == 18 * 18 * 4


def test_every_tensor_with_every_python_number() -> None:
    ran = 0
    for (dtype, shape), number in itertools.product(TENSORS, NUMBERS):
        a, ta = both(dtype, shape)
        assert named(minipar.result_type(a, number)) == named(torch.result_type(ta, number)), (dtype, shape, number)
        for sign, operation in BINARY.items():
            for y, expected in (
                (operation(a, number), operation(ta, number)),
                (operation(number, a), operation(number, ta)),
            ):
                assert named(y.dtype) == named(expected.dtype), (sign, dtype, shape, number)
                ran += 1
    assert ran == 18 * 3 * 4 * 2


def test_numpy_numbers_promote_as_python_numbers() -> None:
    for shape in RANKS:
        x = minipar.ones(*shape) if shape else minipar.tensor(1.0)
        for y in (x * np.float64(2), np.float64(2) * x, x + np.int64(1), x**2.0):
            assert y.dtype == minipar.float32, shape


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid"])
def test_transcendental_functions_of_integers_are_floats(name: str) -> None:
    for dtype, shape in TENSORS:
        if dtype != "float16":
            a, ta = both(dtype, shape)
            assert named(getattr(minipar, name)(a).dtype) == named(getattr(torch, name)(ta).dtype), dtype


@pytest.mark.parametrize(
    "run",
    [
        lambda m, x: m.sum(x),
        lambda m, x: x.amax(),
        lambda m, x: m.max(x, 0)[0],
        lambda m, x: m.max(x, 0)[1],
        lambda m, x: m.relu(x),
        lambda m, x: m.abs(x),
        lambda m, x: m.sign(x),
        lambda m, x: x**2,
        lambda m, x: x**2.0,
        lambda m, x: 2.0**x,
        lambda m, x: x.clamp(0, 1),
        lambda m, x: x.clamp(0.5),
        lambda m, x: m.where(x > 0, x, 2.5),
        lambda m, x: m.where(x > 0, 1, x),
        lambda m, x: m.where(x > 0, 1, 2),
        lambda m, x: m.where(x > 0, 1, 2.0),
        lambda m, x: m.cat([x, m.ones(1)]),
        lambda m, x: x[x > 0],
        lambda m, x: x.argmax(),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_dtype_of_other_operations(run, dtype: str) -> None:
    x, t = both(dtype, (2,))
    y, expected = run(minipar, x), run(torch, t)
    assert (named(y.dtype), y.shape) == (named(expected.dtype), tuple(expected.shape))
    np.testing.assert_array_equal(y.numpy(), expected.numpy())


def test_gradients_come_back_in_each_operands_own_dtype() -> None:
    ran = 0
    for da, db in itertools.product(["float16", "float32", "float64"], repeat=2):
        for sa, sb in itertools.product(RANKS, RANKS):
            for operation in (
                minipar.add,
                minipar.sub,
                minipar.mul,
                minipar.div,
                minipar.pow,
                minipar.maximum,
                minipar.minimum,
                lambda a, b: minipar.where(a > 0, a, b),
                lambda a, b: a.clone().mul_(b) if a.dtype == np.result_type(a.dtype, b.dtype) and a.ndim else a * b,
            ):
                a = minipar.ones(*sa, dtype=da) if sa else minipar.tensor(1.0, dtype=da)
                b = minipar.ones(*sb, dtype=db) if sb else minipar.tensor(1.0, dtype=db)
                a.requires_grad_(), b.requires_grad_()
                operation(a, b).sum().backward()
                assert (a.grad.dtype, a.grad.shape) == (a.dtype, a.shape)
                assert (b.grad.dtype, b.grad.shape) == (b.dtype, b.shape)
                ran += 1
    assert ran == 9 * 4 * 9


def test_in_place_keeps_its_dtype_or_refuses() -> None:
    ran = 0
    for da, db in itertools.product(DTYPES, DTYPES):
        (a, ta), (b, tb) = both(da, (2,)), both(db, (2,))
        try:
            ta.mul_(tb)
        except RuntimeError:
            with pytest.raises(RuntimeError, match="cannot be stored"):
                a.mul_(b)
        else:
            assert named(a.mul_(b).dtype) == named(ta.dtype) == da
        ran += 1
    assert ran == 81


def test_float64_never_arises_from_float32() -> None:
    from tests.ops.table import TABLE

    for case in TABLE:
        if case.name not in ("cast", "Cast"):
            arrays = case.inputs(case.example, seed=3)
            inputs = [minipar.tensor(a, dtype=minipar.float32, requires_grad=True) for a in arrays]
            y = case.run(minipar, *inputs)
            grads = minipar.autograd.grad(y.sum(), inputs, create_graph=True, materialize_grads=True)
            assert {t.dtype for t in (y, *grads)} == {minipar.float32}, case.name

"""The checker is checked: what it refuses, what it finds, how it says so, and how small an error it can see."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
from minipar.autograd import Function, GradcheckError, gradcheck, gradgradcheck


def leaf(*numbers: float, dtype: object = minipar.float64) -> minipar.Tensor:
    return minipar.tensor(list(numbers), dtype=dtype, requires_grad=True)


def tanh_times(factor: float) -> type[Function]:
    """tanh with a gradient that is off by `factor`."""

    class ScaledTanh(Function):
        @staticmethod
        def forward(ctx, x):
            y = minipar.tanh(x)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * (1 - y * y) * factor

    return ScaledTanh


def test_right_gradients_pass() -> None:
    x, y = leaf(0.5, -1.5), leaf(2.0, 3.0)
    assert gradcheck(lambda a, b: (a * b).sum(), (x, y))
    assert gradcheck(minipar.exp, x)
    assert gradcheck(lambda a, n: a**n, (x, 3))
    assert gradgradcheck(lambda a, b: a**2 * b, (x, y))
    assert gradgradcheck(minipar.sin, x, grad_outputs=minipar.ones(2, dtype=minipar.float64))


def test_the_smallest_factor_that_is_noticed() -> None:
    """Published: of a gradient of size 1, gradcheck notices a factor of 1.00003; as tests/ops calls it, 1.000002."""
    at_zero = leaf(0.0)  # tanh'(0) = 1
    assert gradcheck(tanh_times(1.00001).apply, at_zero)
    for factor in (1.00003, 1 / 1.00003):
        assert not gradcheck(tanh_times(factor).apply, at_zero, raise_exception=False)
    strict = {"atol": 1e-7, "rtol": 1e-6}
    assert gradcheck(tanh_times(1.0).apply, leaf(-2.0, -0.3, 0.0, 0.3, 2.0), **strict)
    for factor in (1.000002, 1 / 1.000002):
        assert not gradcheck(tanh_times(factor).apply, at_zero, raise_exception=False, **strict)


def test_float32_is_refused() -> None:
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(ValueError, match=r"float64 inputs, but input 1 is float32.*double\(\)"):
            check(minipar.mul, (leaf(1.0), leaf(1.0, dtype=minipar.float32)))


def test_nothing_to_check_is_refused() -> None:
    with pytest.raises(ValueError, match="requires_grad=True"):
        gradcheck(minipar.exp, minipar.ones(2, dtype=minipar.float64))
    with pytest.raises(ValueError, match="no output depends"):
        gradcheck(lambda x: x.detach(), leaf(1.0))
    with pytest.raises(ValueError, match="must return tensors, not float"):
        gradcheck(lambda x: 1.0, leaf(1.0))


def test_the_operation_the_input_and_the_element_are_named() -> None:
    wrong = tanh_times(1.5)

    def model(x, w):
        return minipar.sin(wrong.apply(x * w)) + w

    with pytest.raises(GradcheckError) as caught:
        gradcheck(model, (leaf(0.3, 0.2), leaf(1.0, 2.0)))
    message = str(caught.value)
    assert "gradcheck of model" in message
    assert "∂output[0][1] / ∂input[0][1]" in message
    assert "2 of 4 elements are wrong" in message
    assert "at fault is ScaledTanh, in the gradient of its input 0" in message


def test_a_built_in_operation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from minipar.ops.division import Div

    vjp = Div.vjp
    monkeypatch.setattr(Div, "vjp", lambda node, g, a, b: (vjp(node, g, a, b)[0], g * 0.0))
    with pytest.raises(GradcheckError, match=r"∂input\[1\].*at fault is Div, in the gradient of its input 1"):
        gradcheck(lambda a, b: (a * 2 / b).exp(), (leaf(0.3), leaf(2.0)))


def test_operations_that_pass_alone_are_listed() -> None:
    def joined_wrongly(x):
        return x * x.detach()

    with pytest.raises(GradcheckError, match=r"passes on its own.*Mul.*how they are joined"):
        gradcheck(joined_wrongly, leaf(2.0))


@pytest.mark.parametrize(
    "function",
    [minipar.relu, lambda x: minipar.clamp(x, min=0.0), lambda x: minipar.max(minipar.stack([x, x * 2]), 0).values],
)
def test_a_kink_is_told_from_a_wrong_gradient(function) -> None:
    with pytest.raises(GradcheckError, match=r"stands on a kink there \(slope .* to the left, .* to the right\)"):
        gradcheck(function, leaf(1.0, 0.0))
    assert gradcheck(function, leaf(1.0, 0.1))


def test_a_wrong_shape_or_nan_does_not_pass() -> None:
    class Nan(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * float("nan")

    assert not gradcheck(Nan.apply, leaf(1.0), raise_exception=False)


def test_a_wrong_second_derivative_is_found_where_the_first_is_right() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * x.detach()  # loses the way back to x

    assert gradcheck(Square.apply, leaf(2.0))
    with pytest.raises(GradcheckError, match="the gradient of"):
        gradgradcheck(Square.apply, leaf(2.0))


def test_inputs_and_their_gradients_are_left_alone() -> None:
    x = leaf(0.5, 1.5)
    gradcheck(minipar.exp, x)
    gradgradcheck(minipar.exp, x)
    assert x.tolist() == [0.5, 1.5]
    assert x.grad is None


def test_several_outputs_and_integer_ones() -> None:
    x = leaf(1.0, 3.0, 2.0)
    assert gradcheck(lambda x: (x * 2, x.argmax(), x.sum()), x)
    broken = tanh_times(2.0)
    with pytest.raises(GradcheckError, match=r"∂output\[1\]"):
        gradcheck(lambda x: (x * 2, broken.apply(x)), x)


def test_strided_and_empty_inputs() -> None:
    base = np.random.default_rng(0).standard_normal((4, 6))
    x = minipar.from_numpy(base[::-2, ::2].T).requires_grad_()
    assert gradcheck(lambda x: x @ x.mT, x)
    assert gradcheck(lambda x: x * 2, minipar.zeros(0, 3, dtype=minipar.float64, requires_grad=True))
    assert gradcheck(lambda x: x * x, minipar.tensor(2.0, dtype=minipar.float64, requires_grad=True))

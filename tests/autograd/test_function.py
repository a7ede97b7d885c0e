"""A user's own operation (`autograd.Function`), as in PyTorch."""

from __future__ import annotations

import gc
import weakref

import pytest

import minipar
from minipar.autograd import Function, grad, gradcheck, gradgradcheck
from minipar.autograd.function import once_differentiable


def leaf(*numbers: float) -> minipar.Tensor:
    return minipar.tensor(list(numbers), dtype=minipar.float64, requires_grad=True)


class Exp(Function):
    """Saves its own output."""

    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class Scale(Function):
    """An input, a number, and an option that may be None."""

    @staticmethod
    def forward(ctx, x, factor, shift=None):
        ctx.factor = factor
        return x * factor if shift is None else x * factor + shift

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None, g if ctx.needs_input_grad[2] else None


class Product(Function):
    seen: tuple = ()

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b, None)
        return a * b

    @staticmethod
    def backward(ctx, g):
        Product.seen = ctx.needs_input_grad
        a, b, none = ctx.saved_tensors
        assert none is None
        return g * b if ctx.needs_input_grad[0] else None, g * a if ctx.needs_input_grad[1] else None


class SumAndProduct(Function):
    """Two outputs, one of them saved, and an integer one."""

    @staticmethod
    def forward(ctx, a, b):
        product = a * b
        ctx.save_for_backward(a, b, product)
        return a + b, product, product.argmax()

    @staticmethod
    def backward(ctx, g_sum, g_product, g_index):
        _, b, product = ctx.saved_tensors
        assert g_index.tolist() == 0
        return g_sum + g_product * b, g_sum + g_product * product / b


def test_first_and_second_derivatives() -> None:
    x, y = leaf(0.5, -1.0), leaf(2.0, 3.0)
    for check in (gradcheck, gradgradcheck):
        assert check(Exp.apply, x)
        assert check(Product.apply, (x, y))
        assert check(lambda a: Scale.apply(a, 3.0, None), x)
        assert check(lambda a, s: Scale.apply(a, 3.0, s), (x, y))
        assert check(lambda a, b: SumAndProduct.apply(a, b)[:2], (x, y))


def test_results_look_like_those_of_an_operation() -> None:
    x = leaf(1.0)
    y = Exp.apply(x)
    assert y.requires_grad
    assert "grad_fn=<Exp>" in repr(y)
    total, product, index = SumAndProduct.apply(leaf(1.0, 2.0), leaf(3.0, 4.0))
    assert (total.requires_grad, product.requires_grad, index.requires_grad) == (True, True, False)
    with minipar.no_grad():
        assert not Exp.apply(x).requires_grad
    assert not Exp.apply(x.detach()).requires_grad


def test_needs_input_grad() -> None:
    a, b = leaf(2.0), minipar.tensor([3.0], dtype=minipar.float64)
    Product.apply(a, b).backward()
    assert Product.seen == (True, False)
    assert a.grad.item() == 3.0
    assert b.grad is None


def test_an_unused_output_gets_zeros() -> None:
    a, b = leaf(2.0), leaf(3.0)
    total, product, _ = SumAndProduct.apply(a, b)
    assert [g.item() for g in grad(total, [a, b], retain_graph=True)] == [1.0, 1.0]
    assert [g.item() for g in grad(product, [a, b])] == [3.0, 2.0]


def test_returning_an_argument_or_a_view_of_it() -> None:
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 7

    x = leaf(1.0, 2.0)
    y = Same.apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]
    w = minipar.ones(2, dtype=minipar.float64)
    z = Same.apply(x) * w
    with minipar.no_grad():
        x.mul_(2)
    z.sum().backward()  # x is not needed for this gradient
    saved = Exp.apply(Same.apply(x)) * Same.apply(x)
    with minipar.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="mul_ changed"):
        saved.sum().backward()


def test_what_is_saved_is_watched_and_freed() -> None:
    x = leaf(1.0)
    y = Exp.apply(x)
    y.backward()
    with pytest.raises(RuntimeError, match=r"second backward.*Exp"):
        y.backward()
    y = Exp.apply(x)
    z = y * 1
    y.mul_(2)
    with pytest.raises(RuntimeError, match=r"Exp needs.*mul_ changed"):
        z.backward()
    a, b = leaf(1.0), leaf(2.0)
    y = Product.apply(a, b)
    with minipar.no_grad():
        b.add_(1)
    with pytest.raises(RuntimeError, match=r"Product needs.*add_ changed"):
        y.backward()
    s = Scale.apply(x, 2.0, None)  # saves no tensor: may run again
    x.grad = None
    s.backward()
    s.backward()
    assert x.grad.item() == 4.0


class Wrong(Function):
    answer: object = None

    @staticmethod
    def forward(ctx, x, y):
        return x + y

    @staticmethod
    def backward(ctx, g):
        return Wrong.answer


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (minipar.ones(2).double(), RuntimeError, "returned 1 gradients, but forward took 2 arguments"),
        ((1.0, None), TypeError, "gradient 0 must be a Tensor or None, not float"),
        ((None, minipar.ones(3).double()), RuntimeError, r"gradient 1 has shape \(3,\), its argument \(2,\)"),
    ],
)
def test_wrong_answers_of_backward_are_named(answer, error, message) -> None:
    Wrong.answer = answer
    with pytest.raises(error, match=f"Wrong.backward.*{message}"):
        Wrong.apply(leaf(1.0, 2.0), leaf(3.0, 4.0)).sum().backward()


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_is_summed_to_an_argument_that_was_broadcast(create_graph) -> None:
    class Shifted(Function):
        @staticmethod
        def forward(ctx, x, bias):
            return x + bias

        @staticmethod
        def backward(ctx, g):
            return g, g

    x, row, column = minipar.zeros(4, 3).double(), leaf(1.0, 2.0, 3.0), minipar.zeros(4, 1, requires_grad=True)
    g = minipar.arange(12.0).reshape(4, 3)
    (of_row,) = grad(Shifted.apply(x, row), row, g.double(), create_graph=create_graph)
    (of_column,) = grad(Shifted.apply(x, column), column, g.double(), create_graph=create_graph)
    assert of_row.tolist() == g.sum(0).tolist()
    assert of_column.tolist() == g.sum(1, keepdim=True).tolist()
    assert of_column.dtype == column.dtype


def test_gradients_come_back_in_the_arguments_dtype() -> None:
    Wrong.answer = (minipar.ones(2), minipar.ones(2))
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    Wrong.apply(x, y).sum().backward()
    assert x.grad.dtype == y.grad.dtype == minipar.float64


def test_an_output_that_forward_itself_changed_may_be_saved() -> None:
    class Doubled(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            y.mul_(2)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    assert gradcheck(Doubled.apply, leaf(0.5))
    assert gradgradcheck(Doubled.apply, leaf(0.5))


def test_functions_that_are_not_finished() -> None:
    class NoForward(Function):
        pass

    class NoBackward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    class NotATensor(Function):
        @staticmethod
        def forward(ctx, x):
            return 3.0

    with pytest.raises(NotImplementedError, match="forward"):
        NoForward.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="backward"):
        NoBackward.apply(leaf(1.0)).backward()
    with pytest.raises(TypeError, match=r"NotATensor\.forward must return a Tensor"):
        NotATensor.apply(leaf(1.0))


def test_no_reference_cycle_even_when_backward_fails() -> None:
    class Fails(Exp):
        @staticmethod
        def backward(ctx, g):
            assert len(ctx.saved_tensors) == 1
            raise ZeroDivisionError

    gc.collect()
    gc.disable()
    try:
        for function in (Exp, SumAndProduct):
            x = leaf(1.0)
            y = function.apply(x) if function is Exp else function.apply(x, leaf(2.0))[1]
            y.backward()
            gone = weakref.ref(y)
            del y
            assert gone() is None
        x = leaf(1.0)
        y = Fails.apply(x)
        with pytest.raises(ZeroDivisionError):
            y.backward()
        gone = weakref.ref(x)  # the node holds x: it must be gone as well
        del x, y
        assert gone() is None
    finally:
        gc.enable()


def test_outputs_without_gradient_and_setup_context():
    class Positive(minipar.autograd.Function):
        @staticmethod
        def forward(x, factor):
            return x * factor, x > 0, x * 0

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]
            ctx.mark_non_differentiable(output[1], output[2])

        @staticmethod
        def backward(ctx, g, _, unused):
            assert unused.tolist() == [0.0, 0.0]
            return g * ctx.factor, None

    x = minipar.ones(2, requires_grad=True)
    y, mask, constant = Positive.apply(x, 3)
    assert (y.requires_grad, mask.requires_grad, constant.requires_grad) == (True, False, False)
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_an_unused_output_may_have_no_gradient_at_all():
    class Two(minipar.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            assert b is None
            return a * 2

    x = minipar.ones(2, requires_grad=True)
    Two.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


class AddOne(minipar.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x.add_(1)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 5


def test_an_argument_changed_in_place():
    x = minipar.ones(2, requires_grad=True)
    y = x * 2
    assert AddOne.apply(y) is y
    assert y.tolist() == [3.0, 3.0]
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]


def test_what_was_saved_of_an_argument_changed_in_place_is_noticed():
    x = minipar.ones(2, requires_grad=True)
    y = x * 2
    z = y * y
    AddOne.apply(y)
    with pytest.raises(RuntimeError, match=r"AddOne\.forward changed it in place"):
        z.sum().backward()


def test_a_leaf_and_a_view_cannot_be_dirty():
    with pytest.raises(RuntimeError, match="AddOne: forward changed a leaf tensor"):
        AddOne.apply(minipar.ones(2, requires_grad=True))
    y = minipar.ones(2, requires_grad=True) * 1
    row = y[0]
    with pytest.raises(RuntimeError, match=r"AddOne: .*shares its memory.*clone"):
        AddOne.apply(y)
    assert row.item() == 2.0


def test_gradients_of_none_beyond_the_arguments_are_left_out() -> None:
    class Doubled(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2, None, None

    x = leaf(1.0, 2.0)
    assert grad(Doubled.apply(x).sum(), x)[0].tolist() == [2.0, 2.0]


def test_once_differentiable() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x, x

        @staticmethod
        @once_differentiable
        def backward(ctx, g, _):
            assert not minipar.is_grad_enabled()
            return g * 2 * ctx.saved_tensors[0]

    x, weight = leaf(3.0), leaf(1.0)
    assert grad(Square.apply(x)[0].sum(), x)[0].tolist() == [6.0]
    (g,) = grad(Square.apply(x)[0], x, weight, create_graph=True)
    assert g.tolist() == [6.0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_a_gradient_can_be_deleted_and_is_never_the_tensor_itself() -> None:
    x = leaf(1.0, 2.0)
    x.sum().backward()
    del x.grad
    assert x.grad is None
    with pytest.raises(RuntimeError, match="its own gradient"):
        x.grad = x


def test_version_counts_changes() -> None:
    x = minipar.zeros(3)
    view, before = x[1:], x._version
    view.add_(1)
    assert x._version == view._version == before + 1

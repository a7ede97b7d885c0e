"""no_grad and its like as context managers and decorators, of generators too; backward of several tensors."""

from __future__ import annotations

import pytest

import minipar


def leaf():
    return minipar.ones(2, requires_grad=True)


@pytest.mark.parametrize("switch", [minipar.no_grad, minipar.inference_mode])
def test_decorators_with_and_without_parentheses(switch):
    @switch
    def bare(x):
        """Says what it does."""
        return x * 2

    @switch()
    def called(x):
        return x * 2

    assert not bare(leaf()).requires_grad
    assert not called(leaf()).requires_grad
    assert (leaf() * 2).requires_grad
    assert (bare.__name__, bare.__doc__) == ("bare", "Says what it does.")


def test_a_generator_is_in_the_mode_only_while_it_runs():
    @minipar.no_grad()
    def steps():
        sent = yield minipar.is_grad_enabled()
        yield (sent, minipar.is_grad_enabled())

    made = steps()
    assert next(made) is False
    assert minipar.is_grad_enabled()
    assert made.send("x") == ("x", False)
    assert list(made) == []


def test_inference_mode():
    with minipar.inference_mode():
        assert minipar.is_inference_mode_enabled()
        y = leaf() * 2
        with minipar.inference_mode(False):
            assert (leaf() * 2).requires_grad
            assert not minipar.is_inference_mode_enabled()
    assert not y.requires_grad
    assert not minipar.is_inference_mode_enabled()


def test_modes_are_put_back_after_an_error():
    with pytest.raises(ZeroDivisionError), minipar.inference_mode():
        1 / 0  # noqa: B018
    assert minipar.is_grad_enabled()
    assert not minipar.is_inference_mode_enabled()


def test_backward_of_several():
    x = leaf()
    minipar.autograd.backward([x.sum(), x * 3], [None, minipar.tensor([1.0, 2.0])])
    assert x.grad.tolist() == [4.0, 7.0]
    with pytest.raises(RuntimeError, match="2 tensors need as many grad_tensors, got 1"):
        minipar.autograd.backward([x.sum(), x.sum()], [None])

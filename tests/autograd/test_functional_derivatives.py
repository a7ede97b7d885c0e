"""jacobian, hessian, vjp, jvp, vhp, hvp beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
from minipar.autograd import functional

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

A = np.random.default_rng(0).standard_normal((3, 2))
B = np.random.default_rng(1).standard_normal(2)
V = np.random.default_rng(2).standard_normal((3, 2))
W = np.random.default_rng(3).standard_normal(2)


def arrays(found):
    if isinstance(found, tuple):
        return [a for part in found for a in arrays(part)]
    return [found.detach().numpy()]


def same(run, **tolerance):
    ours, theirs = arrays(run(minipar, functional)), arrays(run(torch, torch.autograd.functional))
    assert [a.shape for a in ours] == [a.shape for a in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def tensors(T, *xs, grad=False):
    return tuple(T.tensor(x, requires_grad=grad) for x in xs)


SCALAR = {
    "one input": (lambda a: (a**3).sum() * a[0, 0], (A,), (V,)),
    "two inputs": (lambda a, b: ((a @ b).tanh() ** 2).sum(), (A, B), (V, W)),
    "one unused": (lambda a, b: (a**3).sum(), (A, B), (V, W)),
    "linear": (lambda a, b: a.sum() + 2 * b.sum(), (A, B), (V, W)),
}
MANY = {
    "one to one": (lambda a: a.exp() * 2, (A,), (V,), (V,)),
    "two to one": (lambda a, b: a @ b, (A, B), (V, W), (V[:, 0],)),
    "two to two": (lambda a, b: (a * b, b.sin()), (A, B), (V, W), (V, W)),
    "empty": (lambda a: a[:0] * 2, (A,), (V,), (V[:0],)),
}


def packed(xs):
    return xs[0] if len(xs) == 1 else xs


@pytest.mark.parametrize("name", [name for name in MANY if name != "empty"])
def test_jacobian(name):
    f, xs, _, _ = MANY[name]
    same(lambda T, fn: fn.jacobian(f, packed(tensors(T, *xs))))


def test_jacobian_of_an_empty_output():
    assert functional.jacobian(lambda a: a[:0] * 2, minipar.tensor(A)).shape == (0, 2, 3, 2)  # PyTorch fails


@pytest.mark.parametrize("name", MANY)
def test_vjp_and_jvp(name):
    f, xs, vs, ws = MANY[name]
    same(lambda T, fn: fn.vjp(f, packed(tensors(T, *xs)), packed(tensors(T, *ws))))
    same(lambda T, fn: fn.jvp(f, packed(tensors(T, *xs)), packed(tensors(T, *vs))))


@pytest.mark.parametrize("name", SCALAR)
def test_hessian_and_its_products(name):
    f, xs, vs = SCALAR[name]
    same(lambda T, fn: fn.hessian(f, packed(tensors(T, *xs))))
    same(lambda T, fn: fn.vhp(f, packed(tensors(T, *xs)), packed(tensors(T, *vs))))
    same(lambda T, fn: fn.hvp(f, packed(tensors(T, *xs)), packed(tensors(T, *vs))))


@pytest.mark.parametrize("which", ["jacobian", "vjp", "jvp"])
def test_the_result_can_be_differentiated_again(which):
    def run(T, fn):
        (x,) = tensors(T, A, grad=True)
        (v,) = tensors(T, V)
        made = fn.jacobian(torch_like, x, create_graph=True) if which == "jacobian" else None
        if made is None:
            made = getattr(fn, which)(torch_like, x, v, create_graph=True)[1]
        return T.autograd.grad((made**2).sum(), x)

    def torch_like(a):
        return a**3 * a.sum()

    same(run)


def test_results_are_constants_unless_a_graph_is_asked_for():
    (x,) = tensors(minipar, A, grad=True)
    assert not functional.jacobian(lambda a: a**2, x).requires_grad
    value, product = functional.vjp(lambda a: (a**2).sum(), x)
    assert not value.requires_grad
    assert not product.requires_grad
    assert x.grad is None


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda x: functional.jacobian(lambda a: 3.0, x), TypeError, "func must return a Tensor"),
        (lambda x: functional.jacobian(lambda a: a, [x, 2]), TypeError, "inputs must be a Tensor.*entry 1 is a int"),
        (
            lambda x: functional.hessian(lambda a: a * 2, x),
            RuntimeError,
            r"not a Tensor of shape \(3, 2\)",
        ),
        (lambda x: functional.vjp(lambda a: a * 2, x), RuntimeError, "v may only be left out"),
        (lambda x: functional.vjp(lambda a: a * 2, x, x[0]), RuntimeError, r"shape \(3, 2\), not \(2,\)"),
        (lambda x: functional.jvp(lambda a: a * 2, x, (x, x)), RuntimeError, "one tensor an input, 1, got 2"),
        (lambda x: functional.jacobian(lambda a: x * 2, x, strict=True), RuntimeError, "does not depend"),
        (lambda x: functional.jacobian(lambda a: a, x, vectorize=True), NotImplementedError, "vectorize"),
        (lambda x: functional.jacobian(lambda a: a, x, strategy="forward-mode"), NotImplementedError, "strategy"),
    ],
)
def test_what_cannot_be_is_refused(call, error, told):
    with pytest.raises(error, match=told):
        call(minipar.tensor(A))

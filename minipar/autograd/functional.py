"""Derivatives of functions: whole matrices of them, and their products with vectors.

Everything is made of `grad`. A row of a Jacobian is one walk back; a product with a vector from the right (forward
mode) is two, since the walk back is linear in the gradient that it starts with and can itself be differentiated
(Townsend, "A new trick for calculating Jacobian vector products", 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..ops.index import getitem
from ..ops.join import stack
from ..ops.shape import reshape
from ..tape import set_grad_mode
from ..tensor import Tensor, wrap
from .engine import grad

Tensors = Tensor | Sequence[Tensor]

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def vjp(func: Callable, inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), vᵀJ): the gradient of the outputs, weighted by `v` (which may be left out for one scalar).

    >>> x = minipar.tensor([1.0, 2.0])
    >>> minipar.autograd.functional.vjp(lambda x: x * x, x, minipar.tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    with _Call("vjp", func, inputs, create_graph, strict) as call:
        weights = call.weights(v, call.outputs, "output")
        grads = call.gradients(call.outputs, call.inputs, weights, create_graph)
    return call.given_outputs(), call.like_inputs(grads)


def jvp(func: Callable, inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), Jv): how the outputs change along `v`, of the inputs' shapes (left out for one scalar input).

    >>> x = minipar.tensor([1.0, 2.0])
    >>> minipar.autograd.functional.jvp(lambda x: (x * x).sum(), x, minipar.tensor([1.0, 10.0]))[1]
    tensor(42.)
    """
    with _Call("jvp", func, inputs, create_graph, strict) as call:
        along = call.weights(v, call.inputs, "input")
        dummies = [zeros_like(y).requires_grad_() for y in call.outputs]
        rows = call.gradients(call.outputs, call.inputs, dummies, True)
        linear = [(row, a) for row, a in zip(rows, along) if row.requires_grad]
        if linear:
            found = grad(
                [row for row, _ in linear],
                dummies,
                [a for _, a in linear],
                create_graph=create_graph,
                materialize_grads=True,
            )
        else:
            found = tuple(zeros_like(y) for y in call.outputs)
    return call.given_outputs(), call.like_outputs(found)


def jacobian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """∂outputs/∂inputs: for an output of shape S and an input of shape T a tensor of shape S + T; nested tuples if
    there are several (outputs first).

    One walk back for each element of the outputs. NotImplementedError for `vectorize` and strategy "forward-mode".

    >>> minipar.autograd.functional.jacobian(lambda x: x**2, minipar.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if vectorize:
        raise NotImplementedError("jacobian: vectorize=True is not supported; leave it out")
    if strategy != "reverse-mode":
        raise NotImplementedError(f"jacobian: strategy={strategy!r} is not supported, only 'reverse-mode'")
    with _Call("jacobian", func, inputs, create_graph, strict) as call:
        found = []
        for y in call.outputs:
            rows = [
                call.gradients([element], call.inputs, [None], create_graph, keep=True)
                for element in (getitem(reshape(y, (-1,)), i) for i in range(y.numel()))
            ]
            found.append([_stacked([row[k] for row in rows], y, x) for k, x in enumerate(call.inputs)])
    return call.like_outputs([call.like_inputs(row) for row in found])


def hessian(
    func: Callable,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a scalar function: the Jacobian of its gradient; nested tuples for several inputs.

    >>> minipar.autograd.functional.hessian(lambda x: (x**3).sum(), minipar.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    several = not isinstance(inputs, Tensor)

    def gradient(*xs: Tensor) -> Any:
        rows = jacobian(lambda *again: _scalar("hessian", func(*again)), xs, create_graph=True, strict=strict)
        return tuple(rows)

    xs = tuple(_listed("hessian", inputs))
    found = jacobian(gradient, xs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if several else found[0][0]


def vhp(func: Callable, inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), vᵀH) for a scalar function.

    >>> x = minipar.tensor([1.0, 2.0])
    >>> minipar.autograd.functional.vhp(lambda x: (x**3).sum(), x, minipar.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with _Call("vhp", func, inputs, create_graph, strict) as call:
        _scalar("vhp", call.outputs[0] if len(call.outputs) == 1 else call.outputs)
        along = call.weights(v, call.inputs, "input")
        first = call.gradients(call.outputs, call.inputs, [None], True)
        linear = [(row, a) for row, a in zip(first, along) if row.requires_grad]
        found: Any = [zeros_like(x) for x in call.inputs]
        if linear:
            found = call.gradients([row for row, _ in linear], call.inputs, [a for _, a in linear], create_graph)
    return call.given_outputs(), call.like_inputs(found)


def hvp(func: Callable, inputs: Tensors, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), Hv) for a scalar function: the same as vhp, for H is symmetric.

    >>> x = minipar.tensor([1.0, 2.0])
    >>> minipar.autograd.functional.hvp(lambda x: x.prod(), x, minipar.tensor([1.0, 0.0]))[1]
    tensor([0., 1.])
    """
    return vhp(func, inputs, v, create_graph, strict)


@on_its_gpu
def zeros_like(x: Tensor) -> Any:
    return wrap(namespace(x.array).zeros_like(x.array))


@on_its_gpu
def _stacked(rows: list[Any], y: Tensor, x: Tensor) -> Any:
    """The gradients of y's elements as one tensor of shape y.shape + x.shape, also where y is empty."""
    shape = (*y.shape, *x.shape)
    return reshape(stack(rows), shape) if rows else wrap(namespace(x.array).zeros(shape, x.dtype))


class _Call:
    """func(inputs), recorded on inputs of its own: views of those given under create_graph, else copies of the leaf."""

    def __init__(self, name: str, func: Callable, inputs: Any, create_graph: bool, strict: bool) -> None:
        self.name, self.create_graph, self.strict = name, create_graph, strict
        self.one_input = isinstance(inputs, Tensor)
        given = _listed(name, inputs)
        self.mode = set_grad_mode(True)
        with self.mode:
            self.inputs = [
                x.view(x.shape) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in given
            ]
            made = func(*self.inputs)
        self.one_output = isinstance(made, Tensor)
        self.outputs = list(made) if isinstance(made, (tuple, list)) else [made]
        for i, y in enumerate(self.outputs):
            if not isinstance(y, Tensor):
                kind = type(y).__name__
                raise TypeError(f"{name}: func must return a Tensor or a tuple of Tensors, output {i} is a {kind}")
            if strict and not y.requires_grad:
                raise RuntimeError(f"{name}: output {i} does not depend on any input (strict=True)")

    def __enter__(self) -> _Call:
        self.mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.mode.__exit__(*error)

    def weights(self, v: Any, beside: list[Tensor], what: str) -> list[Tensor]:
        """`v` as a list, checked against the tensors that it weighs."""
        if v is None:
            if len(beside) != 1 or beside[0].numel() != 1:
                raise RuntimeError(f"{self.name}: v may only be left out for a function of one {what} of one element")
            return [zeros_like(beside[0]) + 1]
        given = _listed(self.name, v, "v")
        if len(given) != len(beside):
            raise RuntimeError(f"{self.name}: v must have one tensor an {what}, {len(beside)}, got {len(given)}")
        for i, (w, x) in enumerate(zip(given, beside)):
            if w.shape != x.shape:
                raise RuntimeError(f"{self.name}: v[{i}] must have the {what}'s shape {x.shape}, not {w.shape}")
        return given

    def gradients(self, ys: Any, xs: Any, weights: Any, create_graph: bool, keep: bool | None = None) -> list[Any]:
        """`grad`, with zeros for what does not depend (RuntimeError if `strict`)."""
        pairs = [(y, w) for y, w in zip(ys, weights) if y.requires_grad]
        found: Any = [None] * len(xs)
        if pairs:
            ys, ws = zip(*pairs)
            found = grad(ys, xs, ws, create_graph=create_graph, retain_graph=keep or None, allow_unused=True)
        if self.strict and any(g is None for g in found):
            i = next(i for i, g in enumerate(found) if g is None)
            raise RuntimeError(f"{self.name}: the outputs do not depend on input {i} (strict=True)")
        return [zeros_like(x) if g is None else g for g, x in zip(found, xs)]

    def given_outputs(self) -> Any:
        return self.like_outputs([y if self.create_graph else y.detach() for y in self.outputs])

    def like_outputs(self, found: Sequence[Any]) -> Any:
        return found[0] if self.one_output else tuple(found)

    def like_inputs(self, found: Sequence[Any]) -> Any:
        return found[0] if self.one_input else tuple(found)


def _listed(name: str, given: Any, argument: str = "inputs") -> list[Tensor]:
    listed = list(given) if isinstance(given, (tuple, list)) else [given]
    for i, x in enumerate(listed):
        if not isinstance(x, Tensor):
            kind = type(x).__name__
            raise TypeError(f"{name}: {argument} must be a Tensor or a tuple of Tensors, entry {i} is a {kind}")
    return listed


def _scalar(name: str, y: Any) -> Tensor:
    if not isinstance(y, Tensor) or y.numel() != 1:
        what = f"a Tensor of shape {y.shape}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise RuntimeError(f"{name}: func must return one Tensor of one element, not {what}")
    return reshape(y, ())

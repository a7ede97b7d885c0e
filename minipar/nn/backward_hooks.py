"""Hooks that see a module's gradients: two identities, one around its inputs and one around its outputs.

    input ──▶ [gate] ──▶ forward ──▶ [gate] ──▶ output
               grad_input ◀──────── grad_output ◀──

When the gradient passes the gate behind forward, the pre-hooks run; when it passes the one before it, the hooks do. If
no input wants a gradient, the hooks run at the gate behind, with None for every input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..autograd import Function
from ..creation import zeros
from ..tensor import Tensor

Gradients = tuple[Any, ...]


class _Gate(Function):
    """y = x for several tensors; on the way back `see` gets their gradients and returns them, or others."""

    @staticmethod
    def forward(ctx: Any, see: Callable[[Gradients], Gradients], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.see = see
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        return (None, *ctx.see(grads))


class BackwardHooks:
    """The hooks of one module during one call."""

    def __init__(self, module: Any, pre_hooks: Iterable[Callable], hooks: Iterable[Callable]) -> None:
        self.module, self.pre_hooks, self.hooks = module, list(pre_hooks), list(hooks)
        self.grad_output: Gradients | None = None  # from the gate behind until the one before is passed
        self.inputs: list[Any] = []  # shape, dtype and device of each argument that is a tensor; None for the others
        self.waits_for_input = False

    def around_input(self, args: tuple) -> tuple:
        """The arguments of forward, their tensors passed through a gate."""
        self.inputs = [(x.shape, x.dtype, x.device) if isinstance(x, Tensor) else None for x in args]
        self.waits_for_input = any(isinstance(x, Tensor) and x.requires_grad for x in args)
        return _gated(args, self._see_input) if self.waits_for_input and self.hooks else args

    def around_output(self, result: Any) -> Any:
        """The result of forward (a tensor or a tuple), its tensors passed through a gate."""
        return _gated(result, self._see_output) if isinstance(result, tuple) else _gated((result,), self._see_output)[0]

    def _see_output(self, grads: Gradients) -> Gradients:
        for hook in self.pre_hooks:
            grads = _replaced("full backward pre-hook", grads, hook(self.module, grads))
        self.grad_output = grads
        if not self.waits_for_input:
            nothing = (None,) * len(self.inputs)
            for hook in self.hooks:
                given = hook(self.module, nothing, grads)
                if given is not None and any(g is not None for g in _as_tuple(given)):
                    raise RuntimeError(
                        "a full backward hook returned a gradient, but no input of "
                        f"{type(self.module).__name__} requires one; return None"
                    )
        return grads

    def _see_input(self, grads: Gradients) -> Gradients:
        if self.grad_output is None:  # a gradient of the gradient comes this way without having passed the output
            return grads
        grads = tuple([_zeros(*like) if g is None and like else g for g, like in zip(grads, self.inputs)])
        for hook in self.hooks:
            grads = _replaced("full backward hook", grads, hook(self.module, grads, self.grad_output))
        self.grad_output = None
        return grads


def _gated(values: tuple, see: Callable[[Gradients], Gradients]) -> tuple:
    """The values with those that require a gradient passed through a gate; `see` gets one gradient for each value."""
    places = [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        return values
    count = len(values)

    def see_tensors(grads: Gradients) -> Gradients:
        full: list[Any] = [None] * count
        for place, grad in zip(places, grads):
            full[place] = grad
        seen = see(tuple(full))
        return tuple(seen[place] for place in places)

    passed = _Gate.apply(see_tensors, *[values[i] for i in places])
    found = list(values)
    for place, x in zip(places, passed):
        found[place] = x
    return tuple(found)


def _zeros(shape: Any, dtype: Any, device: Any) -> Tensor:
    return zeros(shape, dtype=dtype, device=device)


def _as_tuple(given: Any) -> tuple:
    return given if isinstance(given, tuple) else (given,)


def _replaced(kind: str, grads: Gradients, given: Any) -> Gradients:
    if given is None:
        return grads
    given = _as_tuple(given)
    if len(given) != len(grads):
        raise RuntimeError(f"a {kind} must return {len(grads)} gradients, or None, not {len(given)}")
    return given

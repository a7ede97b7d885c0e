"""backward and grad: the walk back, with what PyTorch checks and promises around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import tape
from ..tensor import Tensor, wrap


def _seeds(outputs: Sequence[Tensor], grads: Sequence[Tensor | None], create_graph: bool) -> list[Any]:
    """The gradient that each output starts with, checked."""
    seeds = []
    for y, g in zip(outputs, grads):
        if not y.tracked:
            raise RuntimeError(
                "the tensor does not depend on anything that requires a gradient; set requires_grad=True on a leaf "
                "(and do not compute it under no_grad)"
            )
        if g is None:
            if y.array.size != 1:
                raise RuntimeError(
                    f"backward from a tensor of shape {y.shape} needs its gradient: reduce it to a scalar (.sum(), "
                    ".mean()) or pass a gradient of its shape"
                )
            g = wrap(_ones_like(y.array))
        elif not isinstance(g, Tensor):
            raise TypeError(f"the gradient must be a Tensor, not {type(g).__name__}")
        elif g.shape != y.shape:
            raise RuntimeError(f"the gradient's shape {g.shape} is not the tensor's {y.shape}")
        elif g.dtype != y.dtype:
            raise RuntimeError(f"the gradient's dtype {g.dtype.name} is not the tensor's {y.dtype.name}")
        elif g.device != y.device:
            raise RuntimeError(f"the gradient is on {g.device}, the tensor on {y.device}; move it with .to()")
        seeds.append(g if create_graph else g.array)
    return seeds


def _ones_like(array: Any) -> Any:
    from ..backend import namespace

    return namespace(array).ones_like(array)


def backward(
    tensor: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | Tensor | None = None,
) -> None:
    """See Tensor.backward."""
    seeds = _seeds([tensor], [gradient], create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        tape.run_backward([tensor], seeds, retain_graph=keep, create_graph=create_graph)
        return
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not wanted:
        raise RuntimeError("inputs must name at least one tensor")
    found = tape.run_backward([tensor], seeds, retain_graph=keep, create_graph=create_graph, wanted=wanted)
    for x, g in zip(wanted, found):
        if g is not None:
            x.accumulate(g)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the outputs (weighted by `grad_outputs`) with respect to the inputs; no `.grad` is touched.

    With `create_graph` the result is itself on the tape and can be differentiated again. RuntimeError if an input is
    not part of the graph, unless `allow_unused` (then None) or `materialize_grads` (then zeros).
    """
    ys = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    gs: list[Any] = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if grad_outputs is None:
        gs = [None] * len(ys)
    if len(gs) != len(ys):
        raise RuntimeError(f"{len(ys)} outputs need as many grad_outputs, got {len(gs)}")
    for i, x in enumerate(xs):
        if not x.tracked:
            raise RuntimeError(f"input {i} (shape {x.shape}) does not require a gradient")
    keep = create_graph if retain_graph is None else retain_graph
    found = tape.run_backward(ys, _seeds(ys, gs, create_graph), retain_graph=keep, create_graph=create_graph, wanted=xs)
    result = []
    for i, (x, g) in enumerate(zip(xs, found)):
        if g is None and materialize_grads:
            g = wrap(_ones_like(x.array) * 0)
        elif g is None and not allow_unused:
            raise RuntimeError(
                f"input {i} (shape {x.shape}) was not used to make the outputs; pass allow_unused=True for None"
            )
        result.append(g if g is None or isinstance(g, Tensor) else wrap(g))
    return tuple(result)

"""grad: gradients as values, without touching any `.grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_gpu_of
from ..tensor import Tensor, accumulate, check_inputs, gradient_seeds, wrap


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the outputs (weighted by `grad_outputs`) with respect to the inputs; no `.grad` is touched.

    With `create_graph` the result is itself on the tape and can be differentiated again. RuntimeError if an input is
    not part of the graph, unless `allow_unused` (then None) or `materialize_grads` (then zeros). PyTorch's deprecated
    `only_inputs=False` and its `is_grads_batched=True`: NotImplementedError.

    >>> x = minipar.tensor(3.0, requires_grad=True)
    >>> (slope,) = minipar.autograd.grad(x**3, x, create_graph=True)
    >>> slope.item(), minipar.autograd.grad(slope, x)[0].item()
    (27.0, 18.0)
    """
    if not only_inputs:
        raise NotImplementedError("grad: only_inputs=False: use backward to reach every leaf; only_inputs must be True")
    if is_grads_batched:
        raise NotImplementedError("grad: is_grads_batched=True: call grad for each of grad_outputs; it must be False")
    ys = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    gs: list[Any] = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    if grad_outputs is None:
        gs = [None] * len(ys)
    if len(gs) != len(ys):
        raise RuntimeError(f"{len(ys)} outputs need as many grad_outputs, got {len(gs)}")
    check_inputs(xs)
    if materialize_grads and allow_unused is False:
        raise ValueError("materialize_grads=True makes zeros of unused inputs: allow_unused=False contradicts it")
    keep = create_graph if retain_graph is None else retain_graph
    found = tape.run_backward(
        ys, gradient_seeds(ys, gs, create_graph), retain_graph=keep, create_graph=create_graph, wanted=xs
    )
    result = []
    for i, (x, g) in enumerate(zip(xs, found)):
        if g is None and materialize_grads:
            with on_gpu_of(x.array):
                g = wrap(namespace(x.array).zeros_like(x.array))
        elif g is None and not allow_unused:
            raise RuntimeError(
                f"input {i} (shape {x.shape}) was not used to make the outputs; pass allow_unused=True for None"
            )
        result.append(g if g is None or isinstance(g, Tensor) else wrap(g))
    return tuple(result)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradients of the sum of the tensors (weighted by `grad_tensors`) to the `.grad` of the leaves.

    As `Tensor.backward`, of several tensors in one walk. `grad_variables`, an old name: NotImplementedError.

    >>> x = minipar.tensor(3.0, requires_grad=True)
    >>> minipar.autograd.backward([x * 2, x * x])
    >>> x.grad
    tensor(8.)
    """
    if grad_variables is not None:
        raise NotImplementedError("backward: grad_variables is PyTorch's old name: pass them as grad_tensors")
    ys = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    gs: list[Any] = [grad_tensors] if isinstance(grad_tensors, Tensor) else list(grad_tensors or [None] * len(ys))
    if len(gs) != len(ys):
        raise RuntimeError(f"backward: {len(ys)} tensors need as many grad_tensors, got {len(gs)}")
    accumulate(ys, gs, retain_graph, create_graph, inputs)

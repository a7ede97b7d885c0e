"""Matrix products, linear layers, attention."""

from __future__ import annotations

import numpy as np

from ...ops.attention import Attention
from ...ops.linalg import MatMul
from ...ops.linear import Linear
from ..graph import Graph
from ..recording import Step
from .table import translates


@translates(MatMul)
def matmul(graph: Graph, step: Step, a: str, b: str) -> str:
    return graph.add("MatMul", a, b)


@translates(Linear)
def linear(graph: Graph, step: Step, x: str, weight: str, bias: str | None = None) -> str:
    if len(graph.form(step.inputs[0]).shape) == 2:
        return graph.add("Gemm", x, weight, *([bias] if bias else []), transB=1)
    y = graph.add("MatMul", x, graph.add("Transpose", weight, perm=[1, 0]))
    return graph.add("Add", y, bias) if bias else y


@translates(Attention)
def attention(graph: Graph, step: Step, q: str, k: str, v: str, bias: str | None = None) -> str:
    """A query that may attend to nothing gets the mean of all values here, and 0 in minipar: refused if it is known."""
    form = graph.form(step.inputs[0])
    if step.what.noise is not None:
        raise NotImplementedError("export: attention with dropout; pass dropout_p=0.0 out of training")
    scaled = graph.add("Mul", q, graph.constant(step.what.scale, form.dtype))
    last = len(form.shape) - 1
    scores = graph.add("MatMul", scaled, graph.add("Transpose", k, perm=[*range(last - 1), last, last - 1]))
    if bias:
        scores = graph.add("Add", scores, bias)
    what, least = step.what, np.finfo(form.dtype).min
    if what.allowed is None and what.mask is not None:
        _check_idle(what.mask > -np.inf)
        scores = graph.add("Add", scores, graph.constant(np.maximum(what.mask, least), form.dtype))
    allowed = graph.recording.wire(what.allowed)
    if what.causal:
        allowed = np.tri(form.shape[-2], graph.form(step.inputs[1]).shape[-2], dtype=bool)
    if allowed is not None:
        name = graph.name_of(allowed)
        if name in graph.constants:
            _check_idle(graph.constants[name])
        scores = graph.add("Where", name, scores, graph.constant(least, form.dtype))
    return graph.add("MatMul", graph.add("Softmax", scores, axis=-1), v)


def _check_idle(allowed: np.ndarray) -> None:
    if not allowed.any(-1).all():
        raise NotImplementedError("export: attention with a mask that leaves a query nothing to attend to")

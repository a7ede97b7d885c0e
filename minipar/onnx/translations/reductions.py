"""Sums, means, extrema, softmax."""

from __future__ import annotations

from functools import partial

from ...ops.extremum import AMax, AMin, Arg
from ...ops.reduce import LogSumExp, Mean, Sum
from ...ops.softmax import LogSoftmax, Softmax
from ..graph import Graph
from ..recording import Step
from .table import translates

REDUCTIONS = {AMax: "ReduceMax", AMin: "ReduceMin", LogSumExp: "ReduceLogSumExp", Mean: "ReduceMean", Sum: "ReduceSum"}


def _reduced(op: str, graph: Graph, step: Step, x: str) -> str:
    if not step.what.dims:
        return graph.add("Identity", x)
    return reduce(graph, op, x, step.what.dims, step.what.keepdim)


def reduce(graph: Graph, op: str, x: str, dims: tuple[int, ...], keepdim: bool) -> str:
    """The axes are an input since version 18; of the sum, since 13."""
    if graph.opset >= 18 or op == "ReduceSum":
        return graph.add(op, x, graph.ints(dims), keepdims=int(keepdim))
    return graph.add(op, x, axes=list(dims), keepdims=int(keepdim))


for kind, op in REDUCTIONS.items():
    translates(kind)(partial(_reduced, op))


@translates(Arg)
def arg(graph: Graph, step: Step, x: str) -> str:
    op = {"argmax": "ArgMax", "argmin": "ArgMin"}[step.what.which]
    if step.what.dim is not None:
        return graph.add(op, x, axis=step.what.dim, keepdims=int(step.what.keepdim))
    flat = graph.add("Reshape", x, graph.ints([-1]))
    found = graph.add(op, flat, axis=0, keepdims=0)
    rank = len(graph.form(step.inputs[0]).shape)
    return graph.add("Reshape", found, graph.ints([1] * rank)) if step.what.keepdim else found


@translates(Softmax)
def softmax(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Softmax", x, axis=step.what.dim)


@translates(LogSoftmax)
def log_softmax(graph: Graph, step: Step, x: str) -> str:
    return graph.add("LogSoftmax", x, axis=step.what.dim)

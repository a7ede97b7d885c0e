"""RNN, LSTM and GRU, one layer in one direction each: gates in ONNX's order, biases in one row."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.gru import GRU
from ...ops.lstm import LSTM
from ...ops.rnn import RNN
from ..graph import Graph
from ..recording import Step
from .table import translates


@translates(RNN)
def rnn(graph: Graph, step: Step, x: str, h0: str, *weights: str) -> Any:
    squash = {"tanh": "Tanh", "relu": "Relu"}[step.what.nonlinearity]
    return _walk(graph, step, "RNN", x, (h0,), weights, gates=(0,), activations=[squash])


@translates(LSTM)
def lstm(graph: Graph, step: Step, x: str, h0: str, c0: str, *weights: str) -> Any:
    """The gates i, f, g, o are i, o, f, c in ONNX."""
    *weights_, projection = weights
    if projection:
        raise NotImplementedError("export: LSTM with proj_size has no translation to ONNX")
    return _walk(graph, step, "LSTM", x, (h0, c0), weights_, gates=(0, 3, 1, 2))


@translates(GRU)
def gru(graph: Graph, step: Step, x: str, h0: str, *weights: str) -> Any:
    """The gates r, z, n are z, r, h in ONNX; b_n inside the product is its linear_before_reset."""
    return _walk(graph, step, "GRU", x, (h0,), weights, gates=(1, 0, 2), linear_before_reset=1)


def _walk(
    graph: Graph, step: Step, op: str, x: str, states: Any, weights: Any, gates: tuple[int, ...], **attributes: Any
) -> list[str]:
    """One node; its results as minipar has them: h of all steps, in x's order of axes, then the last states."""
    batch_sizes = step.what.batch_sizes
    if batch_sizes is not None and len(set(batch_sizes)) > 1:
        raise NotImplementedError(f"export: {op} of packed sequences of different lengths has no translation to ONNX")
    given = graph.form(step.inputs[0]).shape
    hidden = graph.form(step.outputs[0]).shape[-1]
    leading = len(graph.form(step.inputs[1]).shape) == 3  # the states have ONNX's axis of directions already
    order = [gate * hidden + unit for gate in gates for unit in range(hidden)]
    parts = [_leading(graph, _ordered(graph, part, order)) if part else "" for part in weights]
    bias = graph.add("Concat", *parts[2:], axis=1) if all(parts[2:]) else ""
    starts = ["" if graph.is_zero(state) else state if leading else _leading(graph, state) for state in states]
    sequence = x
    if batch_sizes is not None:
        sequence = graph.sized("Reshape", x, given, (len(batch_sizes), batch_sizes[0], given[1]))
    elif step.what.batch_first:
        sequence = graph.add("Transpose", x, perm=[1, 0, 2])
    inputs = [sequence, *parts[:2], bias, "", *starts]
    while not inputs[-1]:
        inputs.pop()
    attributes |= {"hidden_size": hidden, "direction": "reverse" if step.what.reverse else "forward"}
    hidden_states, *last = graph.add(op, *inputs, outputs=1 + len(states), **attributes)
    hidden_states = graph.add("Squeeze", hidden_states, graph.ints([1]))
    if batch_sizes is not None:
        by_step = len(batch_sizes), batch_sizes[0], hidden
        hidden_states = graph.sized("Reshape", hidden_states, by_step, (given[0], hidden))
    elif step.what.batch_first:
        hidden_states = graph.add("Transpose", hidden_states, perm=[1, 0, 2])
    return [hidden_states, *[s if leading else graph.add("Squeeze", s, graph.ints([0])) for s in last]]


def _leading(graph: Graph, x: str) -> str:
    """With an axis in front: ONNX counts directions there."""
    return graph.add("Unsqueeze", x, graph.ints([0]))


def _ordered(graph: Graph, weight: str, order: list[int]) -> str:
    return weight if order == sorted(order) else graph.add("Gather", weight, graph.constant(order, np.int64), axis=0)

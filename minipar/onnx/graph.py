"""An ONNX graph while it is built: nodes, constants, and the names of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from .recording import Form, Recording, Wire


class OnnxNode(NamedTuple):
    op: str
    inputs: tuple[str, ...]  # "" stands for one that is left out
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


class Sizes(NamedTuple):
    """A constant that holds sizes, some of which may turn out to be free: a target of Reshape, or of Expand."""

    op: str
    source: tuple[int, ...]
    target: tuple[int, ...]


class Graph:
    """Nodes in order, each named output made once; constants by name; `known` has the names of parameters."""

    def __init__(self, recording: Recording, opset: int, known: Mapping[Wire, str]) -> None:
        self.recording, self.opset = recording, opset
        self.nodes: list[OnnxNode] = []
        self.constants: dict[str, np.ndarray] = {}
        self.sizes: dict[str, Sizes] = {}
        self.names: dict[Wire, str | None] = dict(known)
        self.results: list[str] = []
        self._reshaped: dict[str, tuple[str, tuple[int, ...]]] = {}  # an output of Reshape -> what it was made from

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; the name of its output, or a tuple of several."""
        stem = f"{op.lower()}_{len(self.nodes)}"
        names = (stem,) if outputs == 1 else tuple([f"{stem}_{i}" for i in range(outputs)])
        self.nodes.append(OnnxNode(op, inputs, names, attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A constant, by the name that it gets."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def ints(self, values: Sequence[int]) -> str:
        return self.constant(list(values), np.int64)

    def form(self, wire: Any) -> Form:
        """Shape and dtype of a step's input or output."""
        if isinstance(wire, tuple):
            return self.recording.forms[wire]
        return Form(tuple(wire.shape), wire.dtype)

    def sized(self, op: str, x: str, source: Sequence[int], target: Sequence[int]) -> str:
        """Reshape or Expand of `x`, whose shape is `source`, to `target`."""
        if 0 in target:
            raise NotImplementedError(f"export: {op} to shape {tuple(target)}, which has no elements")
        if op == "Reshape":
            x, source = self._reshaped.get(x, (x, tuple(source)))
        if tuple(source) == tuple(target):
            return x
        shape = self.ints(target)
        self.sizes[shape] = Sizes(op, tuple(source), tuple(target))
        y = self.add(op, x, shape)
        if op == "Reshape":
            self._reshaped[y] = x, tuple(source)
        return y

    def name_of(self, wire: Any) -> str:
        """The name of a value of the recording; what is no value of it becomes a constant."""
        if wire is None:
            return ""
        if not isinstance(wire, tuple):
            return self.constant(to_numpy(wire))
        if wire not in self.names:
            self.names[wire] = self.constant(to_numpy(self.recording.leaves[wire].array))
        name = self.names[wire]
        if name is None:
            raise NotImplementedError("export: the indices of the maxima of max pooling are not the ones ONNX gives")
        return name

    def is_zero(self, name: str) -> bool:
        return name in self.constants and not self.constants[name].any()

    def rename(self, wire: Any, name: str) -> None:
        """Give a result of the graph its name; an input, a parameter, or a result named twice is copied by a node."""
        made = self.name_of(wire)
        if made in self.results or not any(made in node.outputs for node in self.nodes):
            self.nodes.append(OnnxNode("Identity", (made,), (name,), {}))
            self.results.append(name)
            return
        called = {made: name}
        self.nodes = [
            node._replace(inputs=_renamed(node.inputs, called), outputs=_renamed(node.outputs, called))
            for node in self.nodes
        ]
        self.names[wire] = name
        self.results.append(name)

    def prune(self) -> None:
        """Drop what the results do not need."""
        needed = set(self.results)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                kept.append(node)
                needed.update(node.inputs)
        self.nodes = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}


def _renamed(names: tuple[str, ...], called: Mapping[str, str]) -> tuple[str, ...]:
    return tuple([called.get(name, name) for name in names])

"""From the tape to plain boxes: what the graph shows of a tensor's history, before anything is drawn."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..tape import Node, Value
from .trace import Trace


@dataclass
class Box:
    """One operation, leaf or constant. `values` and `grads` have one entry an output (None where it is not known)."""

    kind: str  # "operation", "leaf" (a gradient arrives there), "constant" (none does) or "folded"
    title: str
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    values: list[np.ndarray | None] = field(default_factory=list)
    grads: list[np.ndarray | None] = field(default_factory=list)
    formula: str = ""
    inputs: list[int] = field(default_factory=list)  # positions, in the list of boxes, of what it was computed from


def boxes_of(tensor: Value, trace: Trace | None, names: Mapping[str, Any], limit: int) -> list[Box]:
    """The boxes of a tensor's history, the tensor's own first, at most `limit` of them.

    The newest operations are kept; the older ones, and leaves that only they use, become one box that counts them.
    """
    reader = _Reader(tensor, trace, names)
    if tensor.node is None:
        reader.leaf(tensor)
        return reader.boxes
    nodes = list(_newest_first(tensor.node))
    leaves = {id(leaf) for node in nodes for leaf in reader.new_leaves(node)}
    room = limit if len(nodes) + len(leaves) <= limit else limit - 1
    for i, node in enumerate(nodes):
        if len(reader.boxes) + 1 + len(reader.new_leaves(node)) > room:
            reader.fold(nodes[i:])
            nodes = nodes[:i]
            break
        reader.operation(node)
        for leaf in reader.new_leaves(node):
            reader.leaf(leaf)
    for node in nodes:
        reader.connect(node)
    return reader.boxes


def _newest_first(root: Node) -> Iterator[Node]:
    """Every operation of the history, each once: an operation is always younger than what it was computed from."""
    seen = {root}
    heap = [(-root.order, root)]
    while heap:
        _, node = heapq.heappop(heap)
        yield node
        for edge in node.edges:
            if edge is not None and isinstance(edge[0], Node) and edge[0] not in seen:
                seen.add(edge[0])
                heapq.heappush(heap, (-edge[0].order, edge[0]))


class _Reader:
    def __init__(self, tensor: Value, trace: Trace | None, names: Mapping[str, Any]) -> None:
        self.tensor = tensor
        self.trace = Trace() if trace is None else trace
        self.boxes: list[Box] = []
        self.places: dict[Any, int] = {}  # a node, leaf or constant -> its box
        self.names: dict[tuple[int, int], str] = {}
        for name, value in names.items():
            if isinstance(value, Value) and not name.startswith("_"):
                made_by = value if value.node is None else value.node
                self.names.setdefault((id(made_by), value.index), name)

    def sources(self, node: Node) -> list[Any]:
        """What the operation was computed from: nodes, leaves, and (known to a trace) the inputs without a gradient."""
        inputs = self.trace.inputs.get(node, (None,) * len(node.edges))
        found = [x if edge is None else edge[0] for edge, x in zip(node.edges, inputs)]
        return [x for x in found if isinstance(x, (Node, Value, np.ndarray, np.generic, int, float))]

    def new_leaves(self, node: Node) -> list[Any]:
        leaves = {id(x): x for x in self.sources(node) if not isinstance(x, Node) and id(x) not in self.places}
        return list(leaves.values())

    def operation(self, node: Node) -> None:
        values, grads = self.trace.values.get(node, []), self.trace.grads.get(node, [])
        if not values and node is self.tensor.node and node.outputs == 1:
            values, grads = [self.tensor.array], [_gradient(self.tensor)]
        self._add(
            node,
            Box(
                kind="operation",
                title=self._titled(node, node.name(), node.outputs),
                shapes=[array.shape for array in values],
                values=[to_numpy(array) for array in values],
                grads=[None if grad is None else to_numpy(grad) for grad in grads],
                formula=(getattr(node, "function", type(node)).__doc__ or "").strip().partition("\n")[0],
            ),
        )

    def leaf(self, x: Any) -> None:
        if isinstance(x, Value):
            array = to_numpy(self.trace.leaves.get(x, x.array))
            kind, title = ("leaf", type(x).__name__) if x.tracked else ("constant", "input")
            self._add(x, Box(kind, self._titled(x, title), [array.shape], [array], [_gradient(x)]))
        else:
            array = np.asarray(x)
            self._add(x, Box("constant", "constant", [array.shape], [array], [None]))

    def fold(self, nodes: list[Node]) -> None:
        leaves = {id(x) for node in nodes for x in self.new_leaves(node)}
        counted = [_counted(len(nodes), "older operation", "older operations"), _counted(len(leaves), "leaf", "leaves")]
        self.boxes.append(Box("folded", "… " + " and ".join(filter(None, counted))))
        for node in nodes:
            self.places[id(node)] = len(self.boxes) - 1

    def connect(self, node: Node) -> None:
        self.boxes[self.places[id(node)]].inputs = [self.places[id(x)] for x in self.sources(node)]

    def _add(self, key: Any, box: Box) -> None:
        self.places[id(key)] = len(self.boxes)
        self.boxes.append(box)

    def _titled(self, made_by: Any, title: str, outputs: int = 1) -> str:
        given = [self.names[id(made_by), i] for i in range(outputs) if (id(made_by), i) in self.names]
        if not given:
            return title
        return f"{', '.join(given)} = {title}" if isinstance(made_by, Node) else ", ".join(given)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}" if count else ""


def _gradient(value: Value) -> np.ndarray | None:
    grad = getattr(value, "_grad", None)
    return None if grad is None else to_numpy(grad.array)

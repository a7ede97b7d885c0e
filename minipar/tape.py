"""The tape: values, the nodes that made them, and the walk back.

The ground floor of the house. It knows arrays, values and nodes, and nothing that stands above: what an operation
computes is `minipar.ops`, what a value can do is `minipar.tensor`.

A `Value` holds one array. A value that an operation made points to its `Node`; the node points, through its edges, to
the nodes (or leaves) that its inputs came from, never to its outputs: so the graph has no reference cycle, and it is
gone the moment the last output is.

    x ──▶ [Mul] ──▶ [Sum] ──▶ loss          forward: values made left to right
    x ◀── [Mul] ◀── [Sum] ◀── 1             backward: each node once, newest first
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray
Edge = tuple["Node | Value", int]  # where a gradient goes next: a node's output, or a leaf (index 0)


class _Mode(threading.local):
    """What is set for this thread only."""

    grad = True  # are operations recorded?
    inference = False  # is that off because of inference_mode?
    watch: Callable | None = None  # a hook for the floors above: called with (node, inputs, outputs) of each record
    guard: Any = None  # another: its begin(roots) and pull(node, grad, create_graph) stand around the walk back


mode = _Mode()


class set_grad_mode:
    """Context manager: record operations (or not) on this thread, then put the old mode back."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __enter__(self) -> None:
        self.before = mode.grad
        mode.grad = self.enabled

    def __exit__(self, *_: object) -> None:
        mode.grad = self.before


class Version:
    """How often a piece of memory was changed in place. Values that share memory share one."""

    __slots__ = ("count", "changed_by", "sharers", "_prune_at")

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.changed_by = ""
        self.sharers: list[weakref.ref[Value]] = []  # a value and its views; empty while there is no view
        self._prune_at = 8

    def add_sharer(self, value: Value) -> None:
        if len(self.sharers) >= self._prune_at:
            self.sharers = [sharer for sharer in self.sharers if sharer() is not None]
            self._prune_at = 2 * len(self.sharers) + 8
        self.sharers.append(weakref.ref(value))

    def beside(self, value: Value) -> list[Value]:
        """Whatever else is still alive and looks at this memory as part of the graph."""
        alive = [sharer() for sharer in self.sharers]
        return [other for other in alive if other is not None and other is not value]


class Value:
    """An array, its gradient, and the way back to where it came from."""

    __slots__ = (
        "array",  # the NumPy or CuPy array
        "tracked",  # does a gradient flow here? (Tensor.requires_grad)
        "node",  # the node that made this value; None for a leaf
        "index",  # which of the node's outputs it is
        "version",  # Version, or None while nobody needed one
        "view_of",  # of a view alone: (the value whose memory this is, the node that shows it, as which output)
        "_grad",
        "_hooks",  # leaf: functions of the gradient, run before it is accumulated
        "_after_hooks",  # leaf: functions of the value, run after its gradient was accumulated
        "__weakref__",
    )

    view_of: tuple[Value, Any, int]

    def __init__(self, array: Array, tracked: bool = False, node: Node | None = None, index: int = 0) -> None:
        self.array = array
        self.tracked = tracked
        self.node = node
        self.index = index
        self.version: Version | None = None
        self._grad: Value | None = None
        self._hooks: dict[int, Callable] | None = None
        self._after_hooks: dict[int, Callable] | None = None

    def edge(self) -> Edge | None:
        """Where the gradient of this value goes; None if it needs none."""
        if not self.tracked:
            return None
        return (self, 0) if self.node is None else (self.node, self.index)

    def changes(self) -> int:
        return 0 if self.version is None else self.version.count

    def share_version(self, view: Value) -> None:
        """`view` looks at this value's memory: from now on a change of one is a change of the other."""
        version = self.own_version()
        if not version.sharers:
            version.add_sharer(self)
        version.add_sharer(view)
        view.version = version

    def own_version(self) -> Version:
        """The counter of this value's memory, made when it is first needed."""
        if self.version is None:
            self.version = Version()
        return self.version

    def bump(self, changed_by: str) -> None:
        """Note that the memory was changed in place."""
        version = self.own_version()
        version.count += 1
        version.changed_by = changed_by

    def accumulate(self, grad: Array | Value) -> None:
        """Add a finished gradient to this leaf's `.grad`: a Value under create_graph, else an array."""
        # A first gradient is copied: it may be a broadcast view, or shared with another input of the same node.
        if isinstance(grad, Value):
            self._grad = grad.clone() if self._grad is None else self._grad + grad  # type: ignore[attr-defined,operator]
        elif self._grad is None:
            self._grad = new_value(grad.copy())
        else:
            self._grad.array += grad
            self._grad.bump("backward")

    def receive(self, grad: Array | Value) -> None:
        """Accumulate the gradient of a whole pass, and tell who waits for it."""
        self.accumulate(grad)
        if self._after_hooks:
            for hook in list(self._after_hooks.values()):
                hook(self)


new_value: Callable[[Array], Any] = Value


def use_value_type(constructor: Callable[[Array], Any]) -> None:
    """The hook of the floor above: how gradients (and an operation's results) are wrapped."""
    global new_value
    new_value = constructor


_next_order = itertools.count().__next__


class Node:
    """One operation that was run: its edges back, and how to pull a gradient through it.

    Subclasses (`minipar.ops.op.Op`) say what is saved and what the vector–Jacobian product is.
    """

    __slots__ = ("edges", "order", "hooks", "retained", "__weakref__")

    outputs = 1  # a node with more takes and gives tuples

    def record(self, edges: tuple[Edge | None, ...]) -> None:
        """Put this node on the tape. A node is always younger than the nodes it points to: `order` sorts the graph."""
        self.edges = edges
        self.order = _next_order()
        self.hooks: dict[int, dict[int, Callable]] | None = None  # output index -> hooks
        self.retained: dict[int, weakref.ref] | None = None  # output index -> the value whose .grad is kept

    def name(self) -> str:
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """For each input the node that made it, or its AccumulateGrad (None without a gradient), and which output."""
        return tuple([_next(edge) for edge in self.edges])

    def pull(self, grad: Any, create_graph: bool) -> Sequence[Any]:
        """The gradients of the inputs, one an edge (None where no gradient is needed), from that of the output."""
        raise NotImplementedError

    def release(self) -> None:
        """Free what was saved for the backward pass."""


class AccumulateGrad:
    """The end of a path through `next_functions`: the leaf whose `.grad` the gradient is added to."""

    __slots__ = ("variable",)

    next_functions = ()

    def __init__(self, variable: Value) -> None:
        self.variable = variable

    def name(self) -> str:
        return "AccumulateGrad"


def _next(edge: Edge | None) -> tuple[Any, int]:
    if edge is None:
        return None, 0
    target, index = edge
    return (AccumulateGrad(target) if isinstance(target, Value) else target), index


def _reachable(starts: Iterable[Node | Value]) -> tuple[list[Node], dict[Value, int]]:
    """Every node that the starts lead to, newest first, and how many edges lead into each leaf."""
    seen: set[Node] = set()
    uses: dict[Value, int] = {}
    stack: list[Node] = []
    for start in starts:
        if isinstance(start, Value):
            uses[start] = uses.get(start, 0) + 1
        elif start not in seen:
            seen.add(start)
            stack.append(start)
    while stack:
        for edge in stack.pop().edges:
            if edge is None:
                continue
            target = edge[0]
            if isinstance(target, Value):
                uses[target] = uses.get(target, 0) + 1
            elif target not in seen:
                seen.add(target)
                stack.append(target)
    return sorted(seen, key=lambda node: -node.order), uses


def _leading_to(nodes: list[Node], wanted: set[tuple[int, int]]) -> set[Node]:
    """The nodes from which a wanted gradient can be reached: oldest first, each asks its edges."""
    leading: set[Node] = set()
    for node in reversed(nodes):
        for edge in node.edges:
            if edge is not None and ((id(edge[0]), edge[1]) in wanted or edge[0] in leading):
                leading.add(node)
                break
    return leading


def run_backward(
    roots: Sequence[Value],
    grads: Sequence[Any],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    wanted: Sequence[Value] | None = None,
) -> list[Any]:
    """Walk from the roots back to the leaves, each node once, newest first (a reverse topological order).

    `grads` are the gradients of the roots: arrays, or Values under `create_graph`. Without `wanted` the leaves'
    `.grad` are added to and an empty list is returned. With `wanted`, only the nodes that lead there are run, nothing
    is accumulated, and the gradients of the wanted values are returned (None where the roots do not depend on one).
    """
    nodes, uses = _reachable([edge[0] for root in roots if (edge := root.edge())])
    captured: dict[tuple[int, int], Any] = {}
    leading = None
    if wanted is not None:
        captured = {(id(edge[0]), edge[1]): None for value in wanted if (edge := value.edge())}
        leading = _leading_to(nodes, set(captured))
    pending: dict[Node | Value, Any] = {}
    guard = mode.guard
    if guard is not None:
        guard.begin(roots)

    def finish_leaf(leaf: Value) -> None:
        """The last edge into the leaf was walked: its gradient of this pass is complete."""
        grad = pending.pop(leaf, None)
        if grad is None or (wanted is not None and (id(leaf), 0) not in captured):
            return
        if leaf._hooks:
            grad = _run_hooks(leaf._hooks, grad)
        if wanted is None:
            leaf.receive(grad)
        else:
            captured[id(leaf), 0] = grad

    def deliver(edge: Edge, grad: Any) -> None:
        target, index = edge
        if isinstance(target, Value):
            if grad is not None:
                before = pending.get(target)
                pending[target] = grad if before is None else before + grad
            uses[target] -= 1
            if not uses[target]:
                finish_leaf(target)
        elif grad is None:
            return
        elif target.outputs == 1:
            before = pending.get(target)
            pending[target] = grad if before is None else before + grad
        else:
            slots = pending.setdefault(target, [None] * target.outputs)
            slots[index] = grad if slots[index] is None else slots[index] + grad

    # As in PyTorch, infinities and NaN arise in silence.
    with set_grad_mode(create_graph), np.errstate(all="ignore"):
        for root, grad in zip(roots, grads):
            edge = root.edge()
            if edge is not None:
                deliver(edge, grad)
        for node in nodes:
            grad = pending.pop(node, None)
            runs = grad is not None and (leading is None or node in leading)
            kept = [index for index in range(node.outputs) if (id(node), index) in captured] if captured else ()
            if grad is not None and (node.hooks or node.retained) and (runs or kept):
                grad = _watch(node, grad)
            for index in kept:
                captured[id(node), index] = grad if grad is None or node.outputs == 1 else grad[index]
            if not runs:
                pulled: Sequence[Any] = (None,) * len(node.edges)
            else:
                pulled = node.pull(grad, create_graph) if guard is None else guard.pull(node, grad, create_graph)
                if not retain_graph:
                    node.release()
            for edge, part in zip(node.edges, pulled):
                if edge is not None:
                    deliver(edge, part)
    if wanted is None:
        return []
    return [captured.get((id(edge[0]), edge[1])) if (edge := value.edge()) else None for value in wanted]


def _run_hooks(hooks: dict[int, Callable], grad: Any) -> Any:
    """Each hook sees the gradient as a value, and may return another in its place."""
    as_array = not isinstance(grad, Value)
    value = new_value(grad) if as_array else grad
    for hook in list(hooks.values()):
        replaced = hook(value)
        if replaced is not None:
            if not isinstance(replaced, Value):
                raise TypeError(f"a hook must return a tensor or None, not {type(replaced).__name__}")
            old, new = value.array, replaced.array
            if new.shape != old.shape or new.dtype != old.dtype:
                raise RuntimeError(
                    f"a hook must return a gradient of shape {old.shape} and dtype {old.dtype.name}, "
                    f"not {new.shape} and {new.dtype.name}"
                )
            value = replaced
    return value.array if as_array else value


def _watch(node: Node, grad: Any) -> Any:
    """Run the hooks of a node's outputs, and keep the gradients that retain_grad() asked for."""
    parts = [grad] if node.outputs == 1 else list(grad)
    for index, hooks in (node.hooks or {}).items():
        if parts[index] is not None:
            parts[index] = _run_hooks(hooks, parts[index])
    for index, reference in (node.retained or {}).items():
        value = reference()
        if value is not None and parts[index] is not None:
            value.accumulate(parts[index])
    return parts[0] if node.outputs == 1 else parts

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
from functools import partial
from heapq import heappop, heappush
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
    lends = False  # during the walk back: may a gradient be computed right where the leaf will keep it?


mode = _Mode()


class _LeafHooks:
    """Has anybody ever asked to be told of a leaf's gradient? If nobody has, all leaves are finished at the end."""

    exist = False


leaf_hooks = _LeafHooks()


class _Places:
    """Arrays may lie on several GPUs, of which one computes: a hook for the floor above (`backend/current_gpu.py`)."""

    following: Callable[[], Any] = staticmethod(lambda: None)  # what goes, in a walk back, to where each gradient lies


places = _Places()


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
        self.sharers: list[weakref.ref[Value]] | tuple[()] = ()  # a value and its views; empty while there is no view
        self._prune_at = 8

    def add_sharer(self, value: Value) -> None:
        if not self.sharers:
            self.sharers = []
        elif len(self.sharers) >= self._prune_at:
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

    def _grad_slot(self) -> Array | None:
        """The array in which a first gradient of this leaf may be computed at once, or None if there is no such."""
        return None

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
_value_type: type[Value] = Value
_create = object.__new__


def use_value_type(kind: type[Value], constructor: Callable[[Array], Any]) -> None:
    """The hook of the floor above: how gradients (and an operation's results) are wrapped."""
    global new_value, _value_type
    new_value, _value_type = constructor, kind


def result_of(node: Node, array: Array, index: int = 0) -> Any:
    """A node's output as a value; tracked if it is floating point."""
    value = _create(_value_type)
    if isinstance(array, np.generic):
        array = np.asarray(array)
    value.array = array
    if array.dtype.kind == "f":
        value.tracked = True
        value.node = node
    else:
        value.tracked = False
        value.node = None
    value.index = index
    value.version = value._grad = value._hooks = value._after_hooks = None
    return value


_next_order = itertools.count().__next__


class Node:
    """One operation that was run: its edges back, and how to pull a gradient through it.

    Subclasses (`minipar.ops.op.Op`) say what is saved and what the vector–Jacobian product is.
    """

    __slots__ = ("edges", "order", "hooks", "retained", "__weakref__")

    outputs = 1  # a node with more takes and gives tuples
    kernels_only = False  # does it pull arrays through compiled kernels alone? (They never warn, as NumPy does.)

    edges: Sequence[Edge | None]
    order: int
    hooks: dict[int, dict[int, Callable]] | None  # output index -> hooks
    retained: dict[int, weakref.ref] | None  # output index -> the value whose .grad is kept

    def record(self, edges: Sequence[Edge | None]) -> None:
        """Put this node on the tape. A node is always younger than the nodes it points to: `order` sorts the graph."""
        self.edges = edges
        self.order = _next_order()
        self.hooks = self.retained = None

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

    def _grad_slot(self) -> Array | None:
        """No leaf: see `Value._grad_slot`."""
        return None


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


def reachable(starts: Iterable[Node | Value]) -> list[Node]:
    """Every node that the starts lead to, newest first."""
    seen: set[Node] = set()
    stack = list(starts)
    while stack:
        target = stack.pop()
        if not isinstance(target, Value) and target not in seen:
            seen.add(target)
            stack += [edge[0] for edge in target.edges if edge is not None]
    return sorted(seen, key=lambda node: -node.order)


def leading_to(nodes: list[Node], wanted: set[tuple[int, int]]) -> set[Node]:
    """The nodes from which a wanted gradient can be reached: oldest first, each asks its edges."""
    leading: set[Node] = set()
    for node in reversed(nodes):
        for edge in node.edges:
            if edge is not None and ((id(edge[0]), edge[1]) in wanted or edge[0] in leading):
                leading.add(node)
                break
    return leading


def _last_users(nodes: list[Node]) -> list[tuple[int, Value]]:
    """(order, leaf) of every leaf, soonest complete first: when that node has been passed, no gradient can follow."""
    last = {edge[0]: node.order for node in nodes for edge in node.edges if edge and isinstance(edge[0], Value)}
    return sorted([(order, leaf) for leaf, order in last.items()], key=lambda pair: pair[0])


class _Errands:
    """What few walks back do besides: stop short of what leads to no wanted value, or finish each leaf in good time."""

    def __init__(self, roots: Sequence[Value], wanted: Sequence[Value] | None, follow: Any) -> None:
        self.follow = follow
        nodes = reachable([edge[0] for root in roots if (edge := root.edge())])
        self.wanted = wanted
        self.found: dict[tuple[int, int], Any] = {}  # the gradients of the wanted values
        self.leading: set[Node] = set()
        self.complete: list[tuple[int, Value]] = []  # the leaves that somebody waits for, soonest complete last
        if wanted is None:
            self.complete = _last_users(nodes)
        else:
            self.found = {(id(edge[0]), edge[1]): None for value in wanted if (edge := value.edge())}
            self.leading = leading_to(nodes, set(self.found))

    def passes(self, node: Node, grad: Any) -> bool:
        """Take the gradient of a wanted output of this node. Must the node be run?"""
        if self.wanted is None:
            return True
        for index in range(node.outputs):
            if (id(node), index) in self.found:
                self.found[id(node), index] = grad if node.outputs == 1 else grad[index]
        return node in self.leading

    def finish(self, node: Node, pending: dict[Any, Any]) -> None:
        """Finish the leaves whose last user this node was."""
        while self.complete and self.complete[-1][0] >= node.order:
            leaf = self.complete.pop()[1]
            if leaf in pending:
                if self.follow is not None:
                    self.follow(pending[leaf])
                _finish(leaf, pending.pop(leaf))

    def take(self, leaf: Value, grad: Any) -> None:
        """Take the complete gradient of a leaf, if it is wanted."""
        if (id(leaf), 0) in self.found:
            self.found[id(leaf), 0] = _run_hooks(leaf._hooks, grad) if leaf._hooks else grad

    def results(self) -> list[Any]:
        """The gradients of the wanted values, in order."""
        edges = [value.edge() for value in self.wanted or ()]
        return [None if edge is None else self.found[id(edge[0]), edge[1]] for edge in edges]


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
    pending: dict[Any, Any] = {}  # the gradients so far, by the node or leaf that they go to
    queue: list[tuple[int, Node]] = []  # the nodes among these: all users of the newest have had their turn
    follow = places.following()
    deliver = _deliver if follow is None else partial(_deliver_there, follow)
    errands = _Errands(roots, wanted, follow) if wanted is not None or leaf_hooks.exist else None
    guard = mode.guard
    if guard is not None:
        guard.begin(roots)
    before = mode.grad, mode.lends
    mode.grad, mode.lends = create_graph, wanted is None and not create_graph
    silence = None
    try:
        deliver([root.edge() for root in roots], grads, pending, queue)
        while queue:
            node = heappop(queue)[1]
            grad = pending.pop(node)
            if follow is not None:
                follow(_any(grad))
            if node.hooks or node.retained:
                grad = _watch(node, grad)
            if errands is None or errands.passes(node, grad):
                if silence is None and (create_graph or not node.kernels_only):
                    silence = np.errstate(all="ignore")  # as in PyTorch, infinities and NaN arise in silence
                    silence.__enter__()
                pulled = node.pull(grad, create_graph) if guard is None else guard.pull(node, grad, create_graph)
                deliver(node.edges, pulled, pending, queue)
                if not retain_graph:
                    node.release()
            if errands is not None:
                errands.finish(node, pending)
        for leaf, grad in pending.items():
            if follow is not None:
                follow(grad)
            if wanted is None:
                _finish(leaf, grad)
            else:
                errands.take(leaf, grad)  # type: ignore[union-attr]
    finally:
        mode.grad, mode.lends = before
        if follow is not None:
            follow.back()
        if silence is not None:
            silence.__exit__(None, None, None)
    return [] if wanted is None else errands.results()  # type: ignore[union-attr]


def _deliver(
    edges: Sequence[Edge | None], grads: Sequence[Any], pending: dict[Any, Any], queue: list[tuple[int, Node]]
) -> None:
    """Add gradients to what is pending where the edges lead."""
    for edge, grad in zip(edges, grads):
        if edge is None or grad is None:
            continue
        target: Any = edge[0]
        new, leaf = target not in pending, isinstance(target, Value)
        if new and not leaf:
            heappush(queue, (-target.order, target))
        if leaf or target.outputs == 1:
            pending[target] = grad if new else pending[target] + grad
        else:
            slots, index = pending.setdefault(target, [None] * target.outputs), edge[1]
            slots[index] = grad if slots[index] is None else slots[index] + grad


def _deliver_there(
    follow: Any, edges: Sequence[Edge | None], grads: Sequence[Any], pending: Any, queue: list[tuple[int, Node]]
) -> None:
    """The same, each gradient where it lies: a node that moves something gives them back to where it took it from."""
    for edge, grad in zip(edges, grads):
        if edge is not None and grad is not None:
            follow(grad)
            _deliver((edge,), (grad,), pending, queue)


def _any(grad: Any) -> Any:
    """One of the gradients of a node's outputs: they lie in one place."""
    return next(part for part in grad if part is not None) if isinstance(grad, list) else grad


def _finish(leaf: Value, grad: Any) -> None:
    """The gradient of this leaf is complete."""
    if leaf._hooks:
        grad = _run_hooks(leaf._hooks, grad)
    if leaf._after_hooks:
        leaf.receive(grad)
    else:
        leaf.accumulate(grad)


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

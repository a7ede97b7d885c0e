"""Remembering what the tape lets go: the value and the gradient of every intermediate result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import tape
from ..tape import Node, Value


class Trace:
    """Watch the operations that this thread records, and keep what they made.

        with Trace() as trace:
            loss = f(x)
        loss.backward()
        graph(loss, trace)

    The tape keeps only what a gradient needs. A trace copies the value of every result, and of every leaf as it is when
    it is used, and adds up the gradients that come back to the results. Meant for small examples, not for training.

    >>> w = minipar.tensor(2.0, requires_grad=True)
    >>> with minipar.viz.Trace() as trace:
    ...     y = (3 * w).exp()
    >>> len(trace.values)
    2
    """

    def __init__(self) -> None:
        self.inputs: dict[Node, tuple[Any, ...]] = {}  # what the operation was called with
        self.values: dict[Node, list[Any]] = {}  # copies of the arrays that it made
        self.grads: dict[Node, list[Any]] = {}  # the gradients of those; None until backward
        self.leaves: dict[Value, Any] = {}  # copies of the arrays of the leaves among the inputs

    def __enter__(self) -> Trace:
        self._before = tape.mode.watch
        tape.mode.watch = self._note
        return self

    def __exit__(self, *_: object) -> None:
        tape.mode.watch = self._before

    def _note(self, node: Node, inputs: tuple[Any, ...], outputs: list[Any]) -> None:
        if self._before is not None:
            self._before(node, inputs, outputs)
        self.inputs[node] = tuple(inputs)
        self.values[node] = [y.array.copy() for y in outputs]
        self.grads[node] = grads = [None] * len(outputs)
        for x in inputs:
            if isinstance(x, Value) and x.node is None and x not in self.leaves:
                self.leaves[x] = x.array.copy()
        for index, y in enumerate(outputs):
            if y.tracked:
                y.register_hook(_keeper(grads, index))

    def __repr__(self) -> str:
        return f"<Trace of {len(self.values)} operations on {len(self.leaves)} leaves>"


def _keeper(grads: list[Any], index: int) -> Callable[[Any], None]:
    """A hook that knows the list and not the trace, which knows the node: so there is no reference cycle."""

    def keep(grad: Any) -> None:
        grads[index] = grad.array.copy() if grads[index] is None else grads[index] + grad.array

    return keep

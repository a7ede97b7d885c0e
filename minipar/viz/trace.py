"""Remembering what the tape lets go: the value and the gradient of every intermediate result."""

from __future__ import annotations

from typing import Any

from .. import tape
from ..tape import Node, Value


class Trace:
    """Watch the operations that this thread records, and keep what they made.

        with Trace() as trace:
            loss = f(x)
        loss.backward()
        graph(loss, trace)

    The tape keeps only what a gradient needs. A trace copies the value of every result and of every leaf as it is when
    it is used, and retains the results' gradients: for looking at small examples, not for training.
    """

    def __init__(self) -> None:
        self.outputs: dict[Node, list[Value]] = {}  # alive, so that backward can leave their gradients in .grad
        self.results: dict[Node, list[Any]] = {}  # copies of the arrays that the node made
        self.inputs: dict[Node, tuple[Any, ...]] = {}  # what the operation was called with
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
        self.outputs[node] = list(outputs)
        self.results[node] = [y.array.copy() for y in outputs]
        for x in inputs:
            if isinstance(x, Value) and x.node is None and x not in self.leaves:
                self.leaves[x] = x.array.copy()
        for y in outputs:
            if y.tracked:
                y.retain_grad()

    def __repr__(self) -> str:
        return f"<Trace of {len(self.outputs)} operations on {len(self.leaves)} leaves>"

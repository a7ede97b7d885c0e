"""One run of a model, written down: every operation that depends on its inputs or parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .. import tape
from ..nn.module import Module
from ..ops.op import Fat
from ..tape import Node, Value

Wire = tuple[int, int]  # a value: (id of the node that made it, which of its outputs), or (id of a leaf, -1)


class Form(NamedTuple):
    """What is known of a value."""

    shape: tuple[int, ...]
    dtype: np.dtype


class Step(NamedTuple):
    """An operation, or a module that is translated as a whole."""

    what: Any  # a Node, or a Module
    inputs: tuple[Any, ...]  # wires; None and arrays as they were given
    outputs: tuple[Wire, ...]


class Recording:
    """The steps of one run, in order.

    An operation without a translation of its own is written down as its composite, where it has one. Integers and
    bools are followed too: here every result is made to look as if a gradient could flow through it.
    """

    def __init__(self, translated: Callable[[Any], bool]) -> None:
        self.translated = translated
        self.steps: list[Step] = []
        self.leaves: dict[Wire, Value] = {}
        self.forms: dict[Wire, Form] = {}
        self._same: dict[Wire, Wire] = {}  # an operation's output -> its composite's
        self._holders: dict[int, Value] = {}  # id of an array -> the value that holds it
        self._alive: list[Any] = []  # whatever was named by its id

    def wire(self, x: Any) -> Any:
        """The name of a value, or of the value that an array belongs to; anything else as it is."""
        x = self._holders.get(id(x), x)
        if not isinstance(x, Value):
            return x
        if x.node is not None:
            wire = id(x.node), x.index
            return self._same.get(wire, wire)
        wire = id(x), -1
        if wire not in self.leaves:
            self.leaves[wire] = x
            self.forms[wire] = _form(x)
        return wire

    def note(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """What the tape calls for each operation that it records."""
        self._alive.append(node)
        for index, y in enumerate(outputs):
            self._hold(y)
            if not y.tracked:
                y.tracked, y.node, y.index = True, node, index
        wires = tuple([(id(node), index) for index in range(len(outputs))])
        if isinstance(node, Fat) and not self.translated(node):
            results = node.composite(*inputs)
            self._same |= zip(wires, [self.wire(y) for y in (results if node.outputs > 1 else (results,))])
            return
        self._append(node, inputs, wires, outputs)

    def _append(self, what: Any, inputs: Sequence[Any], wires: tuple[Wire, ...], outputs: Sequence[Any]) -> None:
        self.forms |= zip(wires, map(_form, outputs))
        self.steps.append(Step(what, tuple([self.wire(x) for x in inputs]), wires))

    def _hold(self, value: Value) -> None:
        self._holders[id(value.array)] = value
        self._alive.append(value.array)

    @contextmanager
    def of(self, model: Module, inputs: Sequence[Value]) -> Iterator[None]:
        """Write down what happens inside: the values that the inputs and the model's parameters lead to."""
        followed = [*inputs, *model.parameters()]
        before = [x.tracked for x in followed]
        watch, tape.mode.watch = tape.mode.watch, self.note
        handles = [
            handle
            for module in model.modules()
            if self.translated(module)
            for handle in (module.register_forward_pre_hook(self._enter), module.register_forward_hook(self._leave))
        ]
        self._entered: list[int] = []
        for x in inputs:
            self._hold(x)
        for x in followed:
            x.tracked = True
        try:
            with tape.set_grad_mode(True):
                yield
        finally:
            tape.mode.watch = watch
            for x, tracked in zip(followed, before):
                x.tracked = tracked
            for handle in handles:
                handle.remove()

    def _enter(self, module: Any, args: Any) -> None:
        self._entered.append(len(self.steps))

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        """The steps inside the module give way to one."""
        del self.steps[self._entered.pop() :]
        self._append(module, args, (self.wire(output),), (output,))


def _form(x: Value) -> Form:
    return Form(tuple(x.array.shape), x.array.dtype)

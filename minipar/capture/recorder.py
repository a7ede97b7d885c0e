"""What happens while a step is recorded.

The step runs as ever, on real numbers, while everything that computes an array tells the recorder: operations and their
gradients (whole, as nodes), NumPy between them (through `Traced` arrays), random draws, gradients that leaves receive,
steps of optimizers. The arrays that come forth stay: a replay writes the new numbers into them. So a view of an array
needs no replay, and what depends on no tensor needs none either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..nn.parameter import Parameter
from ..ops.index import GetItem, is_basic
from ..ops.op import Elementwise, Fat, Op
from ..tape import Value
from .fusion import candidates_ending, note_pull
from .memory import array_slot, data_dependent
from .program import Forward, Pull, attributes
from .raw import Call, Watch
from .tensors import Tensors
from .traced import RAW, TRACE, Traced, arrays_in, plain_of, root_of, untraced

_PULLS = (Op.pull, Elementwise.pull, Fat.pull)


class Recorder(Tensors):
    """The whole, with the part that hears of every operation and of its gradient."""

    def operation(self, original: Callable[..., Any], op: Op, inputs: tuple) -> Any:
        before = attributes(op)
        if isinstance(op, GetItem) and any(x.dtype.kind == "b" and self.varies([x]) for x in before):
            raise data_dependent("an index by a mask")
        args = [array_slot.__get__(x) if isinstance(x, Value) else untraced(x) for x in inputs]
        for x in inputs:
            if isinstance(x, Value):
                x.array  # noqa: B018 - tells which tensors from outside are used
        earlier = {id(array) for array in before}
        result, watch = self._watched(lambda: original(op, *inputs))
        single = not isinstance(result, (tuple, list))
        parts = [result] if single else list(result)
        outs = [array_slot.__get__(y) if isinstance(y, Value) else plain_of(y) for y in parts]
        outs = [np.asarray(y) if isinstance(y, np.generic) else y for y in outs]
        after = attributes(op)
        aside = [array for array in after if id(array) not in earlier]
        forward = self._forward(op, args, outs, aside, watch, before)
        if forward is not None:
            forward.settled, forward.aside = before, aside
            self.forwards[op] = self.makers[id(outs[0])] = forward
            self.plainly(self._find_fusions, forward)
            if aside:
                attributes(op, lambda x: x if id(x) in earlier else self.aside(x, forward))
        traced = [y if isinstance(y, Value) else self.traced(array) for y, array in zip(parts, outs)]
        return traced[0] if single else type(result)(traced)

    def _watched(self, run: Callable[[], Any]) -> tuple[Any, Watch]:
        watch = self.watch = Watch()
        mode, self.mode = self.mode, RAW
        try:
            return run(), watch
        finally:
            self.mode, self.watch = mode, None

    def aside(self, array: np.ndarray, forward: Forward) -> Traced:
        """What an operation keeps of its forward is traced too, for who reads it there (batch norm's statistics)."""
        self.vary(array)
        self.kept_by[self.owner(array)] = forward
        return self.traced(array)

    def _forward(self, op: Op, args: list, outs: list, aside: list, watch: Watch, before: list) -> Forward | None:
        given = arrays_in(args)
        roots = {self.owner(array) for array in given}
        fresh = [i for i, y in enumerate(outs) if self.owner(y) not in roots]
        if not fresh or not self.varies(given + before):
            return None
        results = [outs[i] for i in fresh] + [x for x in aside if x.dtype.kind == "f" and self.owner(x) not in roots]
        calls = self._calls(watch, results, roots | set(map(self.owner, before)))
        forward = Forward(op, args, outs, calls, fresh)
        self.add(forward, [outs[i] for i in fresh])
        return forward

    def _calls(self, watch: Watch, results: list[np.ndarray], known: set[int]) -> list[Call] | None:
        """The kernel calls that stand for what was watched, if they do."""
        return watch.calls if self.plainly(watch.again, results, known) else None

    def begin(self, roots: Any) -> None:
        """The hook of the walk back (`tape.mode.guard`)."""

    def pull(self, node: Any, grad: Any, create_graph: bool) -> Any:
        """The hook of the walk back: node.pull(grad, create_graph)."""
        if self.mode != TRACE or create_graph or type(node).pull not in _PULLS:
            return node.pull(grad, create_graph)
        grad = tuple([untraced(g) for g in grad]) if node.outputs > 1 else plain_of(grad)
        saved = untraced(node._unpack(False))
        known = attributes(node)
        traced = tuple([self.traced(g) for g in grad]) if node.outputs > 1 else self.traced(grad)
        pulled, watch = self._watched(lambda: node.pull(traced, False))
        outs = [plain_of(g) for g in pulled]
        outs = [np.asarray(g) if isinstance(g, np.generic) else g for g in outs]
        self._pulled(node, grad, saved, outs, watch, known)
        return [self.traced(g) for g in outs]

    def _pulled(self, node: Any, grad: Any, saved: list, outs: list, watch: Watch, attributes: list) -> None:
        given = arrays_in(grad) + arrays_in(saved)
        roots = {self.owner(array) for array in given}
        fresh = [i for i, g in enumerate(outs) if g is not None and self.owner(g) not in roots]
        if not fresh or not self.varies(given + attributes):
            return
        forward = self.forwards.get(node)
        settled = list(attributes)
        if forward is not None:  # what forward kept is known only where its kernels wrote it
            settled = forward.settled + [
                x for call in forward.calls or () for x in [*arrays_in(call.args), *arrays_in(call.named)]
            ]
        known = roots | {self.owner(array) for array in settled}
        loose = {self.owner(array) for array in attributes} - known
        slots = {self.owner(outs[i]) for i in fresh if self._is_slot(node, i, outs[i])}
        calls = None
        if not loose & set(watch.before):
            calls = self._calls(watch, [outs[i] for i in fresh], known | slots) or _put_back(node, grad, outs[0])
        inputs = [array_slot.__get__(x) if isinstance(x, Value) else x for x in getattr(node, "inputs", ())]
        pull = Pull(node, grad, saved, inputs, outs, calls, fresh, forward, node.aux)
        if forward is not None:
            forward.pulls.append(pull)
        self.add(pull, [outs[i] for i in fresh])
        for candidate in self.candidates:
            if candidate.parts[0] is forward and candidate.walked_back():
                self.plainly(note_pull, candidate, self._tried)

    def _find_fusions(self, last: Forward) -> None:
        for candidate in candidates_ending(last, self.makers, self._tried):
            whole = candidate.whole
            attributes(whole.op, lambda x: self.aside(x, whole))  # noqa: B023 - called right here
            self.candidates.append(candidate)

    def _tried(self, function: Callable[..., Any], args: Sequence[Any]) -> tuple[list[Any], Watch]:
        """What function(*args) gives, and what it does: for a trial beside the step."""
        made, watch = self._watched(lambda: function(*[self.traced(x) for x in args]))
        return [plain_of(x) for x in made] if isinstance(made, tuple) else [plain_of(made)], watch

    def _is_slot(self, node: Any, i: int, array: np.ndarray) -> bool:
        leaf = node.edges[i][0] if node.edges[i] is not None else None
        return isinstance(leaf, Parameter) and leaf.buffer is not None and root_of(array) is leaf.buffer.grad

    def let_go(self) -> None:
        """The step is over: what the nodes saved for a walk back is not needed any more."""
        for node in {step.op: None for step in self.program if isinstance(step, (Forward, Pull))}:
            if hasattr(node, "edges"):
                node.release()
                node.edges = ()


def _put_back(node: Op, grad: Any, out: np.ndarray) -> list[Call] | None:
    """The gradient of a basic index: zeros around what comes."""
    if type(node) is not GetItem or not is_basic(node.index) or not isinstance(out[node.index], np.ndarray):
        return None
    return [Call(np.copyto, (out, 0), {}, None), Call(np.copyto, (out[node.index], grad), {}, None)]

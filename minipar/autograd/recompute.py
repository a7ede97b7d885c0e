"""Trading time for memory: a part of the graph that forgets what it saved, and computes it again in backward.

    h = checkpoint(block, x)        # forward as usual, but nothing inside `block` stays in memory

T. Chen et al., "Training deep nets with sublinear memory cost", 2016. The nodes stay on the tape, so gradients flow to
everything that `block` uses, parameters included, and can be differentiated again; only the arrays that they saved are
let go. The first node that is asked for them runs the function once more and hands every node its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import tape
from ..backend.random import Generator, default_generator, drawing_from
from ..tape import Node, Value


class CheckpointError(RuntimeError):
    """The function did something else when it was run again."""


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, of which nothing is kept for backward but the arguments.

    What random numbers were drawn is drawn again (unless not `preserve_rng_state`), so dropout is the same. The
    function must do the same both times: CheckpointError if it runs other operations. Effects such as running
    statistics of a batch norm happen twice, as in PyTorch. `use_reentrant=True` (PyTorch's older form, which cannot do
    as much) raises NotImplementedError.

    >>> from minipar.utils.checkpoint import checkpoint
    >>> x = minipar.tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x).sqrt() * x, x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    if use_reentrant:
        raise NotImplementedError("checkpoint: use_reentrant=True is not supported; leave it out")
    if not tape.mode.grad:
        return function(*args, **kwargs)
    region = _Region(function, args, kwargs, default_generator() if preserve_rng_state else None)
    nodes: list[Any] = []
    with _recording(nodes):
        result = function(*args, **kwargs)
    region.forget(nodes)
    return result


def checkpoint_sequential(functions: Iterable[Callable], segments: int, input: Any, **options: Any) -> Any:
    """The functions one after the other, in `segments` parts of equal length, all but the last of them checkpointed.

    ValueError unless there are 1 to len(functions) segments.

    >>> from minipar.utils.checkpoint import checkpoint_sequential
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), nn.Tanh())
    >>> checkpoint_sequential(model, 2, minipar.ones(5, 2)).shape
    (5, 1)
    """
    steps = list(functions)
    if not 1 <= segments <= len(steps):
        raise ValueError(f"checkpoint_sequential: segments must be 1 to {len(steps)} (the functions), not {segments}")
    size = len(steps) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(_chain, steps[start : start + size], input, **options)
    return _chain(steps[size * (segments - 1) :], input)


def _chain(steps: list[Callable], x: Any) -> Any:
    for step in steps:
        x = step(x)
    return x


class _Forgotten:
    """Stands for a saved value: where it was on the tape, without its array."""

    def __init__(self, value: Value) -> None:
        self.tracked, self.node, self.index = value.tracked, value.node, value.index

    def again(self, value: Value) -> Value:
        alias = tape.new_value(value.array)
        alias.tracked, alias.node, alias.index = self.tracked, self.node, self.index
        return alias


class _Region:
    """One checkpointed call, and the nodes that it recorded."""

    def __init__(self, function: Callable, args: tuple, kwargs: dict, generator: Generator | None) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.generator = generator
        self.state = None if generator is None else generator.get_state()
        self.grown = {id(x) for x in (*args, *kwargs.values())}  # what is alive anyway
        self.nodes: list[weakref.ref[Any]] = []  # weak, for every node knows this region

    def forget(self, nodes: list[Any]) -> None:
        self.nodes = [weakref.ref(node) for node in nodes]
        for node in nodes:
            node.defer(self.remember, self._forgotten)

    def _forgotten(self, x: Any) -> Any:
        made_here = isinstance(x, Value) and id(x) not in self.grown and not (x.tracked and x.node is None)
        return _Forgotten(x) if made_here else x

    def remember(self) -> None:
        """Run the function again, and give every node of the first run what its twin has saved."""
        again: list[Any] = []
        with tape.set_grad_mode(True), _recording(again), self._same_numbers():
            self.function(*self.args, **self.kwargs)
        nodes = [node() for node in self.nodes]
        if len(again) != len(nodes) or any(
            node is not None and node.name() != twin.name() for node, twin in zip(nodes, again)
        ):
            raise CheckpointError(
                f"checkpoint: the function recorded {len(nodes)} operations in forward and {len(again)} (or others) "
                "when it was run again in backward; it must do the same both times"
            )
        for node, twin in zip(nodes, again):
            if node is not None:
                node.recall(twin, lambda old, new: old.again(new) if isinstance(old, _Forgotten) else old)

    @contextmanager
    def _same_numbers(self) -> Iterator[None]:
        if self.generator is None:
            yield
            return
        with drawing_from(self.generator):
            now = self.generator.get_state()
            self.generator.set_state(self.state)  # type: ignore[arg-type]
            try:
                yield
            finally:
                self.generator.set_state(now)


@contextmanager
def _recording(nodes: list[Any]) -> Iterator[None]:
    """Note every node that is recorded inside."""
    before = tape.mode.watch

    def note(node: Node, inputs: Any, outputs: Any) -> None:
        if before is not None:
            before(node, inputs, outputs)
        nodes.append(node)

    tape.mode.watch = note
    try:
        yield
    finally:
        tape.mode.watch = before

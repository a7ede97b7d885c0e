"""A backward pass in two parts: first the gradients that another stage waits for, later those of the weights.

    y = x Wᵀ            part one:  ∂x = G W        on to the node before, and so to the stage's input
                        part two:  ∂W = Gᵀ x       at any later time: G and x are kept until then

Part one is the walk back (tape.py) that goes only where an input of the stage can be reached. What a node has besides,
on edges that lead to weights alone, is put off. Linear layers, convolutions and matrix products compute the gradient of
either operand by itself, and are asked for one now and for the other later: that is where the time goes. Every other
node (a norm, an embedding, a recurrent layer) is pulled once; what it has for the weights is kept, and handed on later.

Part two is an ordinary walk that starts from these nodes. Gradients meet in the order in which one walk would have
added them, so both parts together give the same bits. (Zero bubble: Qi et al., arXiv 2401.10241.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ... import tape
from ...ops.conv import ConvInput, Convolution
from ...ops.linalg import MatMul
from ...ops.linear import Linear
from ...ops.linear_chain import LinearChain
from ...tape import Edge, Node
from ...tensor import Tensor, wrap

IN_TWO_PARTS = (Linear, LinearChain, Convolution, ConvInput, MatMul)  # each gradient is a kernel of its own


class SplitBackward:
    """The backward pass from `roots`, (output, its gradient) each, in two parts.

    `inputs(leaves)` returns the gradients of the leaves that are given, None where there is none, and touches no
    `.grad`; then `weights()` adds those of all other leaves to their `.grad`. Without a call of `inputs` before it,
    `weights()` is the whole backward pass. Each can be called once; the graph is freed as in any backward.

    >>> from minipar.parallel.pipeline.split_backward import SplitBackward
    >>> layer, x = nn.Linear(2, 1, bias=False), minipar.ones(1, 2, requires_grad=True)
    >>> late = SplitBackward([(layer(x), minipar.ones(1, 1))])
    >>> (grad,) = late.inputs([x])
    >>> bool((grad == layer.weight).all()), layer.weight.grad
    (True, None)
    >>> late.weights()
    >>> layer.weight.grad
    tensor([[1., 1.]])
    """

    def __init__(self, roots: Sequence[tuple[Tensor | Root, Tensor]]) -> None:
        self._starts: list[tuple[Edge, Any]] = []  # where part two starts, with the gradients there
        for root, grad in roots:
            edge = root.edge()
            if edge is not None:
                self._starts.append((edge, grad.array))
        self._leading: set[Any] = set()  # the nodes from which an input can be reached
        self._inputs: set[tuple[int, int]] = set()
        self._kept: dict[Node, list[Any]] = {}  # what these nodes gave to the weights

    def inputs(self, leaves: Sequence[Tensor]) -> list[Tensor | None]:
        self._inputs = {(id(leaf), 0) for leaf in leaves}
        self._leading = tape.leading_to(tape.reachable([edge[0] for edge, _ in self._starts]), self._inputs)
        now = [start for start in self._starts if self._leads_to_an_input(start[0])]
        self._starts = [start for start in self._starts if not self._leads_to_an_input(start[0])]
        with _pulled_by(self._pull_inputs):
            found = tape.run_backward(_values(now), _grads(now), retain_graph=True, wanted=leaves)
        return [None if grad is None else wrap(grad) for grad in found]

    def weights(self) -> None:
        with _pulled_by(self._pull_weights):
            tape.run_backward(_values(self._starts), _grads(self._starts))

    def _leads_to_an_input(self, edge: Edge | None) -> bool:
        return edge is not None and (edge[0] in self._leading or (id(edge[0]), edge[1]) in self._inputs)

    def _pull_inputs(self, pull: Any, node: Any, grad: Any) -> Sequence[Any]:
        now = [self._leads_to_an_input(edge) for edge in node.edges]
        late = [edge is not None and not leads for edge, leads in zip(node.edges, now)]
        if not any(late):
            pulled = pull(node, grad, False)
            node.release()
            return pulled
        parts = [grad] if node.outputs == 1 else grad
        self._starts += [((node, index), part) for index, part in enumerate(parts) if part is not None]
        node.hooks = node.retained = None  # they have had their turn
        if isinstance(node, IN_TWO_PARTS):
            node.needs = now
            pulled = pull(node, grad, False)
            node.needs = late
            return pulled
        pulled = pull(node, grad, False)
        node.release()
        self._kept[node] = [g if later else None for g, later in zip(pulled, late)]
        return pulled  # of which this walk drops what leads to no input

    def _pull_weights(self, pull: Any, node: Node, grad: Any) -> Sequence[Any]:
        return self._kept.pop(node) if node in self._kept else pull(node, grad, False)


class Root:
    """What the walk back takes for a root: all that it asks is where the gradient goes. So an array may go before."""

    def __init__(self, edge: Edge | None) -> None:
        self.edge = lambda: edge


def _values(starts: list[tuple[Edge, Any]]) -> list[Any]:
    return [Root(edge) for edge, _ in starts]


def _grads(starts: list[tuple[Edge, Any]]) -> list[Any]:
    return [grad for _, grad in starts]


class _Guard:
    """Stands around the walk back (`tape.mode.guard`), in front of another that may stand there."""

    def __init__(self, pull: Any, before: Any) -> None:
        self._pull, self._before = pull, before

    def begin(self, roots: Sequence[Any]) -> None:
        if self._before is not None:
            self._before.begin(roots)

    def pull(self, node: Any, grad: Any, create_graph: bool) -> Sequence[Any]:
        before = type(node).pull if self._before is None else self._before.pull
        return self._pull(before, node, grad)


@contextmanager
def _pulled_by(pull: Any) -> Iterator[None]:
    before = tape.mode.guard
    tape.mode.guard = _Guard(pull, before)
    try:
        yield
    finally:
        tape.mode.guard = before

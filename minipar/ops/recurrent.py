"""What the recurrent networks share: one layer in one direction, over all steps of all sequences, as one node.

Sequences of one length are a block (T, B, I) or (B, T, I). Of others, packed, the rows of all steps lie one after the
other, `batch_sizes[t]` of them for step t. Backwards in time each sequence starts at its own end. One call of a kernel
walks all steps, and one more walks them back and computes every gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend.dispatch import kernel
from ..tape import Value
from .accepts import tensor_dtype
from .join import cat, stack
from .op import Fat, check_dtypes
from .shape import unsqueeze


class Recurrent(Fat):
    """Base. Inputs: x, one (B, H) for each state, w_ih (G·H, I), w_hh (G·H, H), b_ih and b_hh (G·H,) or None, ….

    x is (T, B, I), or (B, T, I) with `batch_first`, and then `batch_sizes` is None; or it is the rows (N, I) of packed
    sequences. Outputs: the hidden state after each step, in x's order of axes, then each state (B, H) after its
    sequence's last step. States may come as (1, B, H), as a layer's user has them; then they leave so too.
    """

    __slots__ = ("batch_sizes", "reverse", "batch_first", "leading")

    sequence = ""  # the name of the kernel; that of the gradient ends in _backward
    leading: bool  # do the states have an axis of size 1 in front?

    def __init__(self, batch_sizes: Sequence[int] | None, reverse: bool = False, batch_first: bool = False) -> None:
        self.batch_sizes, self.reverse, self.batch_first = batch_sizes, reverse, batch_first

    def walk(self) -> tuple[Any, ...]:
        """How the kernel is to walk: its arguments after the weights."""
        return self.batch_sizes, self.batch_first, self.reverse

    def forward(self, x, *states_and_weights):
        states = self.outputs - 1
        self.leading = states_and_weights[0].ndim == 3
        if self.leading:
            states_and_weights = (*[s[0] for s in states_and_weights[:states]], *states_and_weights[states:])
        h, *last, self.aux = kernel(self.sequence, x)(x, *states_and_weights, *self.walk())
        return (h, *[s[None] for s in last]) if self.leading else (h, *last)

    def vjp(self, grads, x, *weights):
        backward, states = kernel(f"{self.sequence}_backward", x), self.outputs - 1
        if self.leading:
            grads = (grads[0], *[None if g is None else g[0] for g in grads[1:]])
        rooms = self.rooms(1 + states)
        dx, *others = backward(*grads, x, self.aux, *weights, *self.walk(), self.needs, rooms)
        if self.leading:
            others[:states] = [None if g is None else g[None] for g in others[:states]]
        return dx, *others

    def step(self, x: Any, *states_and_weights: Any) -> tuple[Any, ...]:
        """The new states of one step, in simple differentiable operations: the formula."""
        raise NotImplementedError

    def composite(self, x, *states_and_weights):
        states = list(states_and_weights[: self.outputs - 1])
        weights = states_and_weights[self.outputs - 1 :]
        leading = len(states[0].shape) == 3
        if leading:
            states = [state[0] for state in states]
        if self.batch_sizes is not None:
            ends = [sum(self.batch_sizes[: t + 1]) for t in range(len(self.batch_sizes))]
            steps = [x[end - size : end] for size, end in zip(self.batch_sizes, ends)]
        else:
            steps = [x[:, t] if self.batch_first else x[t] for t in range(x.shape[1 if self.batch_first else 0])]
        hidden = []
        for inputs in reversed(steps) if self.reverse else steps:
            size = len(inputs)
            new = self.step(inputs, *[state[:size] for state in states], *weights)
            hidden.append(new[0])
            states = [n if len(s) == size else cat((n, s[size:])) for n, s in zip(new, states)]
        hidden = hidden[::-1] if self.reverse else hidden
        if leading:
            states = [unsqueeze(state, 0) for state in states]
        return (cat(hidden) if self.batch_sizes is not None else stack(hidden, int(self.batch_first))), *states

    def rooms(self, first: int) -> tuple[Any, ...]:
        """Where the gradients of w_ih, w_hh, b_ih and b_hh, the inputs from `first` on, may be computed, or None."""
        return tuple([self.room(i) if self.needs[i] else None for i in range(first, first + 4)])


def check_walk(name: str, batch_sizes: Sequence[int] | None, batch_first: bool, x: Any, *others: Any) -> None:
    """RuntimeError for sequences without steps, and unless all have one floating-point dtype."""
    array = x.array if isinstance(x, Value) else x
    if not (array.shape[1 if batch_first else 0] if batch_sizes is None else len(batch_sizes)):
        raise RuntimeError(f"{name}: expected sequences of 1 or more steps, got input of shape {tuple(x.shape)}")
    real = tensor_dtype(array)
    well = real.kind == "f"
    for other in others:
        if other is not None and tensor_dtype(other) != real:
            well = False
    if not well:
        check_dtypes(name, x, *others)

"""What the recurrent networks share: one layer in one direction, over all steps of all sequences, as one node.

The rows of all steps lie one after the other, `batch_sizes[t]` of them for step t (a packed sequence; [B] · T where all
sequences have T steps). Backwards in time each sequence starts at its own end. What the input contributes to the gates
is one matrix product for all steps, and so is each weight's gradient; the kernels walk the steps between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend.dispatch import kernel
from .join import cat
from .op import Fat, check_dtypes


class Recurrent(Fat):
    """Base. Inputs: x (N, I), one (B, H) for each state, w_ih (G·H, I), w_hh (G·H, H), b_ih and b_hh (G·H,) or None.

    Outputs: the hidden state after each step (N, H), then each state (B, H) after its sequence's last step.
    """

    __slots__ = ("batch_sizes", "reverse")

    def __init__(self, batch_sizes: Sequence[int], reverse: bool = False) -> None:
        self.batch_sizes, self.reverse = batch_sizes, reverse

    def step(self, x: Any, *states_and_weights: Any) -> tuple[Any, ...]:
        """The new states of one step, in simple differentiable operations: the formula."""
        raise NotImplementedError

    def composite(self, x, *states_and_weights):
        states = list(states_and_weights[: self.outputs - 1])
        weights = states_and_weights[self.outputs - 1 :]
        ends = [sum(self.batch_sizes[: t + 1]) for t in range(len(self.batch_sizes))]
        walk = list(zip(self.batch_sizes, ends))
        hidden = []
        for size, end in reversed(walk) if self.reverse else walk:
            new = self.step(x[end - size : end], *[state[:size] for state in states], *weights)
            hidden.append(new[0])
            states = [n if len(s) == size else cat((n, s[size:])) for n, s in zip(new, states)]
        return cat(hidden[::-1] if self.reverse else hidden), *states

    def gates(self, x: Any, w_ih: Any, *biases: Any) -> Any:
        """x W_ihᵀ + biases: what every step's input contributes."""
        a = kernel("matmul", x)(x, w_ih.T)
        for bias in biases:
            if bias is not None:
                a += bias
        return a

    def gradients(self, da: Any, db: Any, x: Any, before: Any, w_ih: Any, weights_at: int) -> tuple[Any, tuple]:
        """dx, and the gradients of w_ih, w_hh, b_ih, b_hh (the inputs from `weights_at` on), where they are wanted.

        `da` (N, G·H) is the gradient of what the input contributed to the gates, `db` of what the states did.
        """
        matmul = kernel("matmul", da)
        needs = self.needs[weights_at:]
        dx = matmul(da, w_ih) if self.needs[0] else None
        return dx, (
            matmul(da.T, x) if needs[0] else None,
            matmul(db.T, before) if needs[1] else None,
            da.sum(0) if needs[2] else None,
            db.sum(0) if needs[3] else None,
        )


def check_walk(name: str, batch_sizes: Sequence[int], x: Any, *others: Any) -> None:
    """RuntimeError for sequences without steps, and unless all have one floating-point dtype."""
    if not batch_sizes:
        raise RuntimeError(f"{name}: expected sequences of 1 or more steps, got input of shape {tuple(x.shape)}")
    check_dtypes(name, x, *others)

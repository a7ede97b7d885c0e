"""Sequences of several lengths without padding: the rows of every step, one step after the other.

Sequences are sorted, the longest first, and ``batch_sizes[t]`` of them have a step t. Their rows are stacked by time:
for lengths 3, 2, 1 the batch sizes are 3, 2, 1 and the rows a0 b0 c0 | a1 b1 | a2. Sequences of one length T are the
case [B] * T. Backwards in time, a begins alone, b joins at its own end, then c: each starts with its last step.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

Array = Any


def packed_steps(batch_sizes: Sequence[int], reverse: bool) -> list[tuple[slice, int]]:
    """(rows of the step, number of sequences that have it), in the order in which the steps are walked."""
    steps = [(slice(end - size, end), size) for size, end in zip(batch_sizes, accumulate(batch_sizes))]
    return steps[::-1] if reverse else steps


def rows_by_time(x: Array, batch_first: bool) -> Array:
    """x (T, B, …), or (B, T, …) with `batch_first`, as rows (T·B, …); what is rows (N, F) already as it is."""
    if x.ndim == 2:
        return x
    if batch_first:
        x = x.swapaxes(0, 1)
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def as_given(rows: Array, x: Array, batch_first: bool) -> Array:
    """Rows by time in the order of axes that x has."""
    if x.ndim == 2:
        return rows
    if batch_first:
        return rows.reshape(x.shape[1], x.shape[0], rows.shape[1]).swapaxes(0, 1)
    return rows.reshape(*x.shape[:2], rows.shape[1])


def sizes_of(x: Array, batch_sizes: Sequence[int] | None, batch_first: bool) -> Sequence[int]:
    """The batch sizes: those given (x is rows), or those of the block that x is."""
    if batch_sizes is not None:
        return batch_sizes
    return [x.shape[0]] * x.shape[1] if batch_first else [x.shape[1]] * x.shape[0]


def gates_of_inputs(x: Array, w_ih: Array, *biases: Array | None) -> Array:
    """x W_ihᵀ + biases for rows x: what every step's input contributes, as one product."""
    a = x @ w_ih.T
    for bias in biases:
        if bias is not None:
            a += bias
    return a


def gradients_of_weights(
    da: Array, db: Array, x: Array, before: Array, needs: Sequence[bool], out: Sequence[Array | None]
) -> tuple[Array | None, ...]:
    """The gradients of w_ih, w_hh, b_ih and b_hh, each where it is needed, written to where `out` says.

    `da` (N, G·H) is the gradient of what the input contributed to the gates, `db` of what the states `before` did.
    """
    made = (lambda: da.T @ x, lambda: db.T @ before, lambda: da.sum(0), lambda: db.sum(0))
    return tuple([_placed(make(), place) if need else None for make, need, place in zip(made, needs, out)])


def _placed(array: Array, place: Array | None) -> Array:
    if place is None:
        return array
    place[...] = array
    return place

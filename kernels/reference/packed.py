"""Sequences of several lengths without padding: the rows of every step, one step after the other.

Sequences are sorted, the longest first, and ``batch_sizes[t]`` of them have a step t. Their rows are stacked by time:
for lengths 3, 2, 1 the batch sizes are 3, 2, 1 and the rows a0 b0 c0 | a1 b1 | a2. Sequences of one length T are the
case [B] * T. Backwards in time, a begins alone, b joins at its own end, then c: each starts with its last step.
"""

from collections.abc import Sequence
from itertools import accumulate


def packed_steps(batch_sizes: Sequence[int], reverse: bool) -> list[tuple[slice, int]]:
    """(rows of the step, number of sequences that have it), in the order in which the steps are walked."""
    steps = [(slice(end - size, end), size) for size, end in zip(batch_sizes, accumulate(batch_sizes))]
    return steps[::-1] if reverse else steps

"""A graph as text: what each result was computed from, indented below it."""

from __future__ import annotations

import numpy as np

from .history import Box
from .numbers import is_small, norm, short


def tree(boxes: list[Box]) -> str:
    """One line a box, the first box first. A box that was written before is only named again, with its number."""
    uses = [0] * len(boxes)
    for box in boxes:
        for source in set(box.inputs):
            uses[source] += 1
    written: dict[int, int] = {}  # a box with several uses -> its number
    lines = []
    stack = [(0, "", "")]  # a box, what stands before it, and before those below it
    while stack:
        place, before, below = stack.pop()
        box = boxes[place]
        if place in written:
            lines.append(f"{before}{box.title}  (#{written[place]} above)")
            continue
        mark = ""
        if uses[place] > 1:
            written[place] = len(written) + 1
            mark = f"#{written[place]} "
        lines.append(f"{before}{mark}{describe(box)}")
        last = len(box.inputs) - 1
        for i in range(last, -1, -1):
            branch, rest = ("└─ ", "   ") if i == last else ("├─ ", "│  ")
            stack.append((box.inputs[i], below + branch, below + rest))
    return "\n".join(lines)


def describe(box: Box) -> str:
    """Title, shape, value and gradient in one line."""
    parts = [" ".join([box.title, *map(str, box.shapes)])]
    parts += [f"= {_inline(value)}" for value in box.values if value is not None]
    parts += [f"grad {_inline(grad)}" for grad in box.grads if grad is not None]
    return "  ".join(parts)


def _inline(array: np.ndarray) -> str:
    if is_small(array):
        return np.array2string(array, separator=", ", formatter={"all": short}).replace("\n", "")
    return f"(norm {short(norm(array))})"

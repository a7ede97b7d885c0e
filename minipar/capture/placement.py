"""Where results lie while a program is replayed: memory whose last reader is done serves the next result.

Each result has its own array when a step is recorded. A replay would run through all of that memory every time, and
find little of it in the cache. But from the program it is known when each is made and read last: so all are placed in
one piece, such that no two that are alive at once overlap (first fit, in the order in which they are made).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tape import Value
from .memory import array_slot
from .program import Computed, Forward, Grad, Outside, Pull, attributes
from .traced import arrays_in, root_of

_ALIGNED = 64  # bytes: a line of the cache, and a vector register
_PARTS = ("args", "kwargs", "outs", "out", "grad", "saved", "inputs", "aux", "array")


class Placement:
    """Which results are placed, and where."""

    def __init__(self, program: Sequence[Any], inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        spans: dict[int, list[Any]] = {}  # id of the owner -> [owner, first step, last step]
        stay = {id(root_of(array)) for array in inputs}
        for place, step in enumerate(program):
            made = {id(array) for array in _results(step)}
            for array in _arrays(step):
                root = root_of(array)
                if id(root) in spans:
                    spans[id(root)][2] = place
                elif id(array) in made and array.nbytes == root.nbytes and not _is_slot(array):
                    spans[id(root)] = [root, place, place]
                else:  # something that was there before
                    stay.add(id(root))
                    spans[id(root)] = [root, place, place]
            stay |= {id(root_of(array)) for array in _held(step)}
        for array in outputs:
            if id(root_of(array)) in spans:
                spans[id(root_of(array))][2] = len(program)
        self.roots = {key: span[0] for key, span in spans.items() if key not in stay}
        self.offsets: dict[int, int] = {}
        taken: list[tuple[int, int, int]] = []  # (offset, end, last step)
        size = 0
        for key in sorted(self.roots, key=lambda key: spans[key][1]):
            root, first, last = spans[key]
            taken = sorted(block for block in taken if block[2] >= first)
            needed, offset = -(-root.nbytes // _ALIGNED) * _ALIGNED, 0
            for start, end, _ in taken:
                if offset + needed <= start:
                    break
                offset = max(offset, end)
            taken.append((offset, offset + needed, last))
            self.offsets[key] = offset
            size = max(size, offset + needed)
        memory = np.empty(size + _ALIGNED, np.uint8)
        start = -memory.__array_interface__["data"][0] % _ALIGNED
        self.memory = memory[start : start + size]

    def __call__(self, array: np.ndarray) -> np.ndarray | None:
        """The array at its new place, if it has one."""
        root = root_of(array)
        offset = self.offsets.get(id(root))
        if offset is None or self.roots[id(root)] is not root:
            return None
        offset += array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return np.ndarray(array.shape, array.dtype, self.memory, offset, array.strides)


def _is_slot(array: Any) -> bool:
    """Is it a parameter's part of a flat buffer? (Between the two stands a memoryview.)"""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, memoryview)


def _results(step: Any) -> list[np.ndarray]:
    """The arrays that the step makes and fills."""
    if isinstance(step, (Forward, Pull)):
        return [step.outs[i] for i in step.fresh]
    return arrays_in(step.out) if isinstance(step, Computed) else []


def _arrays(step: Any) -> list[np.ndarray]:
    found = [array for part in _PARTS for array in arrays_in(getattr(step, part, None))]
    for call in getattr(step, "calls", None) or ():
        found += [*arrays_in(call.args), *arrays_in(call.named)]
    if isinstance(step, Pull) and step.forward is not None:  # which may have to be run once more
        found += _arrays(step.forward)
    return found


def _held(step: Any) -> list[np.ndarray]:
    """Arrays that somebody else refers to, and so must stay: an operation, a tensor."""
    if isinstance(step, (Forward, Pull)):
        return [*attributes(step.op), *getattr(step, "settled", ()), *getattr(step, "aside", ())]
    if isinstance(step, Grad):
        return arrays_in(step.array)
    given = [*step.args, *step.kwargs.values()] if isinstance(step, (Computed, Outside)) else []
    return [array_slot.__get__(x) for x in given if isinstance(x, Value)]

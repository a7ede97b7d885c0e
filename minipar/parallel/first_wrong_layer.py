"""Where a forward pass goes wrong: the first layer whose output, on some rank, is not one process's.

A rank has a part of it: some samples, rows, features. Its samples are known. Along any other axis that is shorter than
in one process, the ranks of an axis of the mesh lie side by side, if their sizes add up:

    one process     (6 samples, 8 features)
    rank 0          (6, 4) of features 0 … 3       tensor ranks: 4 + 4 = 8
    rank 1          (6, 4) of features 4 … 7

So no layer need say how it is split. A part that would fit in several places is held against each, and the nearest
counts: a layer that is right is never named. One that fits nowhere is passed over, and the message says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from .layer_outputs import HeldOutputs, LayerOutput, Samples

Call = tuple[str, int]  # a layer, and the number of its call on the same samples: some run more than once a batch
SMALL = 0.01  # of what layers before gave: an output that is smaller still may be nothing but their rounding
SHOWN = 5  # names of layers in a message


class Part(NamedTuple):
    """What a rank has of a call's output, and what the ranks beside it, along each axis of the mesh, have."""

    rank: int
    samples: Samples | None
    arrays: list[np.ndarray]
    beside: list[tuple[int, list[list[np.ndarray]]]]  # of each axis: this rank's number there, and the arrays of all


def first_wrong_layer(expected: Sequence[LayerOutput], held: Sequence[HeldOutputs], tolerance: float) -> str:
    """For people: the first of the `expected` outputs of one process that those `held`, by rank, differ from.

    By more than `tolerance`, relative to the whole output's norm (or, if it is next to nothing, to a hundredth of the
    largest before it).

    >>> from minipar.parallel.layer_outputs import HeldOutputs, LayerOutput
    >>> def held(rank, samples, *numbers):
    ...     outputs = [LayerOutput(str(i), "ReLU", False, samples, [np.array(x)]) for i, x in enumerate(numbers)]
    ...     return HeldOutputs({"data": rank, "tensor": 0}, outputs)
    >>> one = held(0, None, [3.0, 4.0], [6.0, 8.0]).outputs
    >>> two = [held(0, (0, 1, 2), [3.0], [6.0]), held(1, (1, 1, 2), [4.0], [8.5])]
    >>> minipar.parallel.first_wrong_layer.first_wrong_layer(one, two, 1e-10)
    "the output of layer '1' (ReLU) differs first: by 0.05 on rank 1"
    """
    parts = _parts_of_calls(held)
    runs = Counter(output.layer for output in expected)
    largest = 0.0
    passed_over: list[str] = []
    for (layer, number), output in _numbered(expected):
        scales = [max(_norm(whole), SMALL * largest * math.sqrt(whole.size)) for whole in output.arrays]
        largest = max([largest, *map(_root_mean_square, output.arrays)])
        found = [(part.rank, _difference(part, output.arrays, scales)) for part in parts.get((layer, number), [])]
        for rank, difference in found:
            if difference is not None and not difference <= tolerance:
                call = f", in call {number + 1} of {runs[layer]}" if runs[layer] > 1 else ""
                return f"the output of {_shown(output)} differs first: by {difference:.2g} on rank {rank}{call}" + (
                    _but_for(passed_over)
                )
        if any(difference is None for _, difference in found) or not (found or output.has_layers):
            passed_over.append(_shown(output))
    right = "the outputs of all layers are one process's while they are watched: look at the loss and its denominator"
    return right + _but_for(passed_over)


def _but_for(layers: Sequence[str]) -> str:
    names = list(dict.fromkeys(layers))
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return f" (could not be compared: {shown})" if names else ""


def _shown(output: LayerOutput) -> str:
    return f"layer {output.layer!r} ({output.kind})" if output.layer else f"the whole model ({output.kind})"


def _numbered(outputs: Sequence[LayerOutput]) -> Iterator[tuple[Call, LayerOutput]]:
    """Each with its call. (A stage that is recomputed in backward calls its layers once more than one process does.)"""
    seen: Counter[tuple[str, Samples | None]] = Counter()
    for output in outputs:
        key = output.layer, output.samples
        yield (output.layer, seen[key]), output
        seen[key] += 1


def _parts_of_calls(held: Sequence[HeldOutputs]) -> dict[Call, list[Part]]:
    """By call, what the ranks have of it. Parts without a sample say nothing."""
    kept: dict[tuple[Call, Samples | None], dict[int, list[np.ndarray]]] = {}
    for rank, of_rank in enumerate(held):
        for call, output in _numbered(of_rank.outputs):
            if output.samples is None or output.samples[1]:
                kept.setdefault((call, output.samples), {})[rank] = output.arrays
    parts: dict[Call, list[Part]] = {}
    rows = [_row(held, rank) for rank in range(len(held))]
    for (call, samples), arrays in kept.items():
        for rank, own in arrays.items():
            beside = [(row.index(rank), [arrays[r] for r in row]) for row in rows[rank] if arrays.keys() >= set(row)]
            parts.setdefault(call, []).append(Part(rank, samples, own, beside))
    return {call: sorted(found, key=lambda part: part.rank) for call, found in parts.items()}


def _row(held: Sequence[HeldOutputs], rank: int) -> list[list[int]]:
    """Along each axis of the mesh: the ranks that differ from this one along that axis alone, itself among them."""
    own = held[rank].coordinates
    return [
        [r for r, other in enumerate(held) if all(other.coordinates[a] == own[a] for a in own if a != axis)]
        for axis in own
    ]


def _difference(part: Part, wholes: Sequence[np.ndarray], scales: Sequence[float]) -> float | None:
    """The largest of a call's tensors, relative to their scales; None if one of them fits nowhere."""
    if len(part.arrays) != len(wholes):
        return None
    largest = 0.0
    for i, (array, whole, scale) in enumerate(zip(part.arrays, wholes, scales)):
        distances = [_distance(array, whole[place]) for place in _places(part, i, whole.shape)]
        if not distances:
            return None
        nearest = min(distances)
        largest = max(largest, 0.0 if nearest == 0.0 else nearest / scale if scale else math.inf)
    return largest


def _places(part: Part, i: int, whole: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Wherever in an output of shape `whole` tensor `i` of a part may stand."""
    shape = part.arrays[i].shape
    if len(shape) != len(whole):
        return
    along_axes: list[list[slice]] = []
    for axis, (size, total) in enumerate(zip(shape, whole)):
        starts = {0} if size == total else set()
        if part.samples is not None:
            start, count, samples = part.samples
            each, rest = divmod(total, samples)  # rows of this axis that a sample has
            if not rest and size == each * count:
                starts.add(each * start)
        for number, row in part.beside:
            shapes = [arrays[i].shape for arrays in row if i < len(arrays)]
            sizes = [shape[axis] for shape in shapes if len(shape) == len(whole)]
            if len(sizes) == len(row) and sum(sizes) == total:
                starts.add(sum(sizes[:number]))
        along_axes.append([slice(start, start + size) for start in sorted(starts)])
    yield from product(*along_axes)


def _distance(got: np.ndarray, expected: np.ndarray) -> float:
    """‖got − expected‖₂; infinite, where one is infinite or NaN and the other is not the same."""
    same = (got == expected) | ((got != got) & (expected != expected))
    with np.errstate(all="ignore"):
        distance = _norm_of(np.where(same, 0.0, _wide(got) - _wide(expected)))
    return distance if math.isfinite(distance) else math.inf


def _norm(array: np.ndarray) -> float:
    """‖array‖₂ of its finite numbers."""
    wide = _wide(array)
    return _norm_of(wide[np.isfinite(wide)])


def _root_mean_square(array: np.ndarray) -> float:
    """Of what is computed: numbers of classes, say, are exact."""
    return _norm(array) / math.sqrt(max(1, array.size)) if array.dtype.kind in "fc" else 0.0


def _norm_of(wide: np.ndarray) -> float:
    return float(np.linalg.norm(wide.reshape(-1)))


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.result_type(array.dtype, np.float64), copy=False)

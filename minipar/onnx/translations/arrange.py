"""Shapes, axes, parts, joining, indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.embedding import Embedding
from ...ops.index import GetItem, PutItem
from ...ops.join import Cat, Stack
from ...ops.shape import Expand, Permute, Reshape
from ...ops.split import Split, Unbind
from ..graph import Graph
from ..recording import Step
from .table import translates

TO_THE_END = np.iinfo(np.int64).max


@translates(Reshape)
def reshape(graph: Graph, step: Step, x: str) -> str:
    return graph.sized("Reshape", x, graph.form(step.inputs[0]).shape, graph.form(step.outputs[0]).shape)


@translates(Expand)
def expand(graph: Graph, step: Step, x: str) -> str:
    return graph.sized("Expand", x, graph.form(step.inputs[0]).shape, step.what.shape)


@translates(Permute)
def permute(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Transpose", x, perm=list(step.what.dims))


@translates(Cat)
def cat(graph: Graph, step: Step, *parts: str) -> str:
    return graph.add("Concat", *parts, axis=step.what.dim)


@translates(Stack)
def stack(graph: Graph, step: Step, *parts: str) -> str:
    axis = step.what.dim % len(graph.form(step.outputs[0]).shape)
    return graph.add("Concat", *[graph.add("Unsqueeze", part, graph.ints([axis])) for part in parts], axis=axis)


@translates(Split)
def split(graph: Graph, step: Step, x: str) -> Any:
    if len(step.outputs) == 1:
        return x
    return graph.add("Split", x, graph.ints(step.what.sizes), axis=step.what.dim, outputs=len(step.outputs))


@translates(Unbind)
def unbind(graph: Graph, step: Step, x: str) -> list[str]:
    picks = [graph.constant(i, np.int64) for i in range(len(step.outputs))]
    return [graph.add("Gather", x, pick, axis=step.what.dim) for pick in picks]


# ── indexing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@translates(Embedding)
def embedding(graph: Graph, step: Step, weight: str) -> str:
    return graph.add("Gather", weight, graph.name_of(graph.recording.wire(step.what.index)), axis=0)


def spelled_out(index: Any, rank: int) -> list[Any]:
    """An index with `…` and what is left out written as slices."""
    parts = list(index) if isinstance(index, tuple) else [index]
    given = len([part for part in parts if part is not None and part is not Ellipsis])
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    return parts[:at] + [slice(None)] * (rank - given) + parts[at + 1 :]


@translates(GetItem)
def getitem(graph: Graph, step: Step, x: str) -> str:
    """Slices first, then integers and at most one array of them, from the last axis to the first, then new axes."""
    parts = spelled_out(step.what.index, len(graph.form(step.inputs[0]).shape))
    on_axes = [part for part in parts if part is not None]
    arrays = [part for part in on_axes if not isinstance(part, (slice, int))]
    if len(arrays) > 1 or any(isinstance(part, bool) or part.dtype.kind == "b" for part in arrays):
        raise NotImplementedError("export: an index with several tensors, or with a mask, has no translation to ONNX")
    if arrays and any(part is None for part in parts):
        raise NotImplementedError("export: an index with a tensor and None has no translation to ONNX")
    cuts = [(axis, part) for axis, part in enumerate(on_axes) if isinstance(part, slice) and part != slice(None)]
    if cuts:
        starts = graph.ints([part.start or 0 for _, part in cuts])
        ends = graph.ints([TO_THE_END if part.stop is None else part.stop for _, part in cuts])
        steps = graph.ints([part.step or 1 for _, part in cuts])
        x = graph.add("Slice", x, starts, ends, graph.ints([axis for axis, _ in cuts]), steps)
    for axis in reversed(range(len(on_axes))):
        part = on_axes[axis]
        if not isinstance(part, slice):
            pick = graph.constant(part, np.int64) if isinstance(part, int) else _indices(graph, part)
            x = graph.add("Gather", x, pick, axis=axis)
    new = [axis for axis, part in enumerate(part for part in parts if not isinstance(part, int)) if part is None]
    return graph.add("Unsqueeze", x, graph.ints(new)) if new else x


def _indices(graph: Graph, index: Any) -> str:
    return graph.name_of(graph.recording.wire(index))


@translates(PutItem)
def pad(graph: Graph, step: Step, x: str) -> str:
    """Zeros around x: what F.pad and padding="same" make."""
    shape = graph.form(step.outputs[0]).shape
    parts = spelled_out(step.what.index, len(shape))
    if not all(isinstance(part, slice) and part.step in (None, 1) for part in parts):
        raise NotImplementedError("export: writing at an index that is no frame has no translation to ONNX")
    bounds = [part.indices(n)[:2] for part, n in zip(parts, shape)]
    frame = [start for start, _ in bounds] + [n - stop for (_, stop), n in zip(bounds, shape)]
    return graph.add("Pad", x, graph.ints(frame))

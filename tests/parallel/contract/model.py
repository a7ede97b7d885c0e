"""What every rank must get, computed by one process from the inputs of all: NumPy, and nothing of minipar."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.parallel.contract.arrays import same_bits, values
from tests.parallel.contract.steps import (
    Barrier,
    Collective,
    Exchange,
    ObjectCollective,
    Split,
    input_shape,
    members,
    object_of,
)

Path = tuple[Any, ...]  # of a call in a program: (3,) is step 3, (3, "before", 1, 0) the first one of colour 1 in it
UFUNCS = {"sum": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


def allowed(op: str, dtype: str) -> bool:
    """Whether NumPy can do this without leaving the dtype: no mean of integers, no largest complex number."""
    kind = np.dtype(dtype).kind
    return not (op == "mean" and kind not in "fc") and not (op in ("max", "min") and kind == "c")


def reduced(arrays: list[np.ndarray], op: str) -> np.ndarray:
    """((rank 0 + rank 1) + rank 2) + …, in the arrays' own dtype."""
    total = functools.reduce(UFUNCS[op], arrays)
    if op == "mean":
        total = total / len(arrays)
    return np.asarray(total, dtype=arrays[0].dtype)


def results(step: Collective, arrays: list[Any]) -> list[Any]:
    """What each rank gets, from what each rank put in; None where that is nothing."""
    ranks = range(len(arrays))
    verb, root = step.verb, step.root
    if verb == "broadcast":
        return [arrays[root] for _ in ranks]
    if verb == "all_reduce":
        total = reduced(arrays, step.op)
        return [total for _ in ranks]
    if verb == "reduce":
        return [reduced(arrays, step.op) if rank == root else None for rank in ranks]
    if verb in ("all_gather", "gather"):
        table = np.array(arrays, dtype=step.dtype)
        return [table if verb == "all_gather" or rank == root else None for rank in ranks]
    if verb == "scatter":
        return [arrays[root][rank, ...] for rank in ranks]
    if verb == "reduce_scatter":
        return [reduced([array[rank, ...] for array in arrays], step.op) for rank in ranks]
    if verb == "all_to_all":
        return [np.array([array[rank] for array in arrays], dtype=step.dtype) for rank in ranks]
    raise ValueError(verb)


@dataclass(frozen=True)
class Expected:
    """Of one call on one rank: its result, whose memory that lies in, and the rank's array afterwards."""

    result: Any
    lies_in: str  # "array" or "out", as passed; "new"; "nothing"
    array: Any = None
    tolerance: Any = None  # how far the result may be off; None: not a bit
    same_bits: bool = False  # whether all ranks get the same, even where a tolerance is allowed


def expected(steps: tuple[Any, ...], size: int) -> list[dict[Path, Expected]]:
    """For each rank, what each of its calls must give."""
    found: list[dict[Path, Expected]] = [{} for _ in range(size)]
    for number, step in enumerate(steps):
        for rank, outcomes in enumerate(_of_step(step, size)):
            found[rank].update({(number, *path): outcome for path, outcome in outcomes.items()})
    return found


def _of_step(step: Any, size: int) -> list[dict[Path, Expected]]:
    if isinstance(step, Barrier):
        return [{(): Expected(None, "nothing")} for _ in range(size)]
    if isinstance(step, Collective):
        return [{(): outcome} for outcome in _of_collective(step, size)]
    if isinstance(step, ObjectCollective):
        return [{(): Expected(thing, "new")} for thing in _objects(step, size)]
    if isinstance(step, Exchange):
        return _of_exchange(step, size)
    return _of_split(step, size)


def _of_collective(step: Collective, size: int) -> list[Expected]:
    shapes = [input_shape(step, rank, size) for rank in range(size)]
    arrays = [
        None if shape is None else values(step.seed, rank, shape, step.dtype) for rank, shape in enumerate(shapes)
    ]
    with np.errstate(all="ignore"):
        gotten = results(step, arrays)
        tolerance = _tolerance(step, arrays)
    outcomes = []
    for array, result, out in zip(arrays, gotten, step.outs):
        in_place = step.verb in ("broadcast", "all_reduce", "reduce") and out is None and result is not None
        lies_in = "nothing" if result is None else "array" if in_place else "new" if out is None else "out"
        outcomes.append(Expected(result, lies_in, result if in_place else array, tolerance, step.verb == "all_reduce"))
    return outcomes


def _tolerance(step: Collective, arrays: list[Any]) -> Any:
    """None where every bit is promised: by the default algorithm, and for what does not depend on the order.

    Else some roundings of the largest intermediate result. NumPy's product of complex numbers may be fused or not, from
    one element of an array to the next.
    """
    kind = np.dtype(step.dtype).kind
    fused = kind == "c" and step.op == "prod"
    if kind not in "fc" or step.op in ("max", "min") or not (step.algorithm or fused):
        return None
    if step.verb not in ("all_reduce", "reduce", "reduce_scatter"):
        return None
    sizes = [np.abs(np.where(np.isfinite(array), array, 1)) for array in arrays]
    largest = functools.reduce(np.multiply if step.op == "prod" else np.add, sizes)
    return 4 * len(arrays) * np.finfo(step.dtype).eps * largest.max(initial=0)


def _objects(step: ObjectCollective, size: int) -> list[Any]:
    things = [object_of(step.seed, rank) for rank in range(size)]
    everywhere = [things] * size
    return {
        "broadcast_object": [things[step.root]] * size,
        "all_gather_object": everywhere,
        "gather_object": [things if rank == step.root else None for rank in range(size)],
        "scatter_object": things,
    }[step.verb]


def _of_exchange(step: Exchange, size: int) -> list[dict[Path, Expected]]:
    found: list[dict[Path, Expected]] = [{} for _ in range(size)]
    for number, message in enumerate(step.messages):
        if message.dtype is None:
            arrived = Expected(object_of(message.seed, message.source), "new")
        else:
            sent = values(message.seed, message.source, message.shape, message.dtype)
            arrived = Expected(sent, "out" if message.out else "new")
        found[message.source][("sent", number)] = Expected(None, "nothing")
        found[message.dest][("received", number)] = arrived
    return found


def _of_split(step: Split, size: int) -> list[dict[Path, Expected]]:
    found: list[dict[Path, Expected]] = [{("split",): Expected(None, "nothing")} for _ in range(size)]
    for color in sorted({color for color in step.colors if color is not None}):
        group = members(step.colors, step.keys, color)
        for part, steps in (("before", step.before[color]), ("after", step.after[color])):
            for rank, outcomes in zip(group, expected(steps, len(group))):
                found[rank].update({(part, color, *path): outcome for path, outcome in outcomes.items()})
        for place, rank in enumerate(group):
            found[rank][("split",)] = Expected((place, len(group)), "new")
    for rank, outcomes in enumerate(expected(step.meanwhile, size)):
        found[rank].update({("meanwhile", *path): outcome for path, outcome in outcomes.items()})
    return found


def is_right(actual: Any, wanted: Any, tolerance: Any = None) -> bool:
    if not isinstance(wanted, np.ndarray):
        return type(actual) is type(wanted) and actual == wanted
    if not isinstance(actual, np.ndarray) or (actual.dtype, actual.shape) != (wanted.dtype, wanted.shape):
        return False
    if tolerance is None:
        return same_bits(actual, wanted)
    return np.allclose(actual, wanted, rtol=0, atol=tolerance, equal_nan=True)

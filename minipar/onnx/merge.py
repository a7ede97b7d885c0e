"""Which sizes are free: two graphs of one model, made from inputs of different sizes and values, compared.

What is equal in both does not depend on the input. A target of Reshape that differs is written so that it follows the
input: 0 copies the source's size, -1 takes what is left. Anything else that differs cannot be said in the file, and is
an error: so nothing of the example that was given to `export` is frozen into the model unnoticed.
"""

from __future__ import annotations

import numpy as np

from .graph import Graph, Sizes


def merge(one: Graph, other: Graph) -> None:
    """Make `one` fit both runs. NotImplementedError, saying what depends on the input, where that cannot be."""
    if len(one.nodes) != len(other.nodes):
        raise _error("which operations are run")
    for a, b in zip(one.nodes, other.nodes):
        if a != b:
            raise _error(f"{a.op} ({_difference(a.attributes, b.attributes)})")
    for name, array in one.constants.items():
        if name in one.sizes:
            one.constants[name] = np.array(_joined(one.sizes[name], other.sizes[name]), np.int64)
        elif not _equal(array, other.constants[name]):
            users = ", ".join(node.op for node in one.nodes if name in node.inputs)
            raise _error(f"a constant of shape {array.shape} that goes into {users}")


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _difference(a: dict, b: dict) -> str:
    return ", ".join(f"{key} {a[key]} and {b.get(key)}" for key in a if a[key] != b.get(key)) or "its operands"


def _joined(a: Sizes, b: Sizes) -> list[int]:
    """The target with the sizes that differ made to follow the source."""
    target = list(a.target)
    for i, (n, m) in enumerate(zip(a.target, b.target)):
        if n == m:
            continue
        if a.op == "Expand":
            place = i - len(a.target) + len(a.source)
            follows, target[i] = place >= 0 and (a.source[place], b.source[place]) == (n, m), 1
        else:
            follows = i < len(a.source) and (a.source[i], b.source[i]) == (n, m)
            target[i] = 0 if follows else -1
            follows = target.count(-1) < 2
        if not follows:
            raise _error(f"{a.op} from shape {a.source} to {a.target}")
    return target


def _error(what: str) -> NotImplementedError:
    return NotImplementedError(
        f"export: {what} depends on the sizes of dynamic_axes, or on the input's values, in a way that cannot be "
        "written into the file; name fewer dynamic axes, or make the model depend on its input by operations alone"
    )

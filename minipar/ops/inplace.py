"""Changing a tensor's memory in place, so that the tape notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import tape
from ..tape import Value


def in_place(x: Value, name: str, operation: Callable[[Any], Any]) -> Any:
    """x ← operation(x), in x's own memory. Returns x, which now stands where the operation's result would.

    Raises RuntimeError where the tape would be left wrong: for a leaf that requires grad (outside no_grad), for a view
    and for memory of which a view was taken when a gradient must flow, and where shape or dtype do not fit.
    """
    if tape.mode.grad and x.tracked and x.node is None:
        raise RuntimeError(
            f"{name}: a leaf tensor that requires grad cannot be changed in place while operations are recorded; "
            "use `with minipar.no_grad():`"
        )
    after = operation(_before(x))
    check_fits(x, name, after)
    if after.tracked:
        if x.version is not None and x.version.viewed:
            raise RuntimeError(
                f"{name}: a tensor that shares its memory with a view cannot be changed in place while a gradient flows "
                "through it; change a copy instead: x = x.clone()"
            )
        x.tracked, x.node, x.index = True, after.node, after.index
    write(x, name, after.array)
    return x


def write(x: Value, name: str, array: Any, index: Any = ...) -> None:
    """x[index] ← array, in memory, and say so to whoever saved x."""
    try:
        x.array[index] = array
    except ValueError as error:
        if "read-only" not in str(error):
            raise RuntimeError(f"{name}: {error}") from error
        raise RuntimeError(
            f"{name}: several elements of this tensor (of an expand) share one place in memory; x = x.clone() first"
        ) from error
    x.bump(name)


def check_fits(x: Value, name: str, value: Any) -> None:
    if value.shape != x.array.shape:
        raise RuntimeError(
            f"{name}: the result's shape {tuple(value.shape)} is not this tensor's {tuple(x.array.shape)}"
        )
    if not np.can_cast(value.dtype, x.array.dtype, "same_kind"):
        raise RuntimeError(f"{name}: a result of dtype {value.dtype.name} cannot be stored as {x.array.dtype.name}")


def _before(x: Value) -> Value:
    """x as it stands now: what the operation reads, so that its node does not point to x itself (a cycle)."""
    alias = tape.new_value(x.array)
    alias.tracked, alias.node, alias.index = x.tracked, x.node, x.index
    if x.version is None:
        x.version = tape.Version()
    alias.version = x.version
    return alias

"""Changing a tensor's memory in place, so that the tape notices."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import tape
from ..tape import Value
from .index import assign
from .op import cast


def in_place(x: Value, name: str, operation: Callable[[Any], Any]) -> Any:
    """x ← operation(x), in x's own memory. Returns x, which now stands where the operation's result would.

    Raises RuntimeError where the tape would be left wrong: for a leaf that requires grad (outside no_grad), for a view
    and for memory of which a view is in use when a gradient must flow, and where shape or dtype do not fit.
    """
    if tape.mode.grad and x.tracked and x.node is None:
        raise RuntimeError(
            f"{name}: a leaf tensor that requires grad cannot be changed in place while operations are recorded; "
            "use `with minipar.no_grad():`"
        )
    before = _before(x)
    after = operation(before)
    _check_fits(x, name, after)
    if after.tracked:
        if x.own_version().shared_beside(x):
            raise RuntimeError(
                f"{name}: a tensor that shares its memory with a view cannot be changed in place while a gradient "
                "flows through it; change a copy instead: x = x.clone()"
            )
        after = cast(after, x.array.dtype)
        saved = weakref.ref(before)
        del before
        _own_memory(saved())
        _move_retained(x, after)
        x.tracked, x.node, x.index = True, after.node, after.index
    write(x, name, after.array)
    return x


def write(x: Value, name: str, array: Any, index: Any = ...) -> None:
    """x[index] ← array, in memory, and say so to whoever saved x."""
    try:
        assign(x.array, index, array)
    except ValueError as error:
        if "read-only" not in str(error):
            raise RuntimeError(f"{name}: {error}") from error
        why = "several elements share one place in it (expand)" if 0 in x.array.strides else "it is read-only"
        raise RuntimeError(f"{name}: this tensor's memory cannot be written: {why}; x = x.clone() first") from error
    x.bump(name)


def _check_fits(x: Value, name: str, value: Any) -> None:
    old, new = x.array.dtype, value.dtype
    if value.shape != x.array.shape:
        raise RuntimeError(
            f"{name}: the result's shape {tuple(value.shape)} is not this tensor's {tuple(x.array.shape)}"
        )
    if not np.can_cast(new, old, "same_kind") and new.kind + old.kind != "iu":
        raise RuntimeError(f"{name}: a result of dtype {new.name} cannot be stored as {old.name}")


def _before(x: Value) -> Value:
    """x as it stands now: what the operation reads, so that its node does not point to x itself (a cycle)."""
    alias = tape.new_value(x.array)
    alias.tracked, alias.node, alias.index = x.tracked, x.node, x.index
    alias.version = x.own_version()
    return alias


def _own_memory(before: Value | None) -> None:
    """What the operation saved of the old value (if anything) is about to be overwritten: it gets a copy."""
    if before is not None:
        before.array = before.array.copy()
        before.version = tape.Version(before.changes())


def _move_retained(x: Value, after: Value) -> None:
    """retain_grad() keeps the gradient of what x is when backward runs, as in PyTorch."""
    if x.node is not None and x.node.retained:
        kept = x.node.retained.get(x.index)
        if kept is not None and kept() is x:
            del x.node.retained[x.index]
            after.node.retained = {after.index: kept}  # type: ignore[union-attr]

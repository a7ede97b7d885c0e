"""Changing a tensor's memory in place, so that the tape notices."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import copied, on_gpu_of, on_its_gpu
from ..tape import Value
from .accepts import needs_tensors
from .index import SetItem, assign
from .op import cast
from .shape import reshape


def in_place(x: Value, name: str, operation: Callable[[Any], Any]) -> Any:
    """x ← operation(x), in x's own memory. Returns x, which now stands where the operation's result would.

    Where x shares its memory with views, or is one, all of them see the change, and so do their gradients: every one
    stands, from now on, where it would if it had been made after the change.

    Raises RuntimeError where the tape would be left wrong: for a leaf that requires grad, or a view of one (outside
    no_grad), and where shape or dtype do not fit; then nothing is changed.
    """
    _check_leaf(x, name)
    before = _before(x)
    after = operation(before)
    if after.tracked and any(base_of(other) is before for other in x.own_version().beside(x)):
        before = _copied(x)  # the operation keeps views of what is about to be overwritten: it gets a copy to look at
        after = operation(before)
    _check_fits(x, name, after)
    if not after.tracked:
        write(x, name, after.array)
        return x
    after = cast(after, x.array.dtype)
    base, views = _sharing(x, name)
    saved = weakref.ref(before)
    del before
    _own_memory(saved())
    whole = after if base is x else _written_through(base, x, after)
    write(x, name, after.array)
    _take_place(base, whole)
    renewed = {base}
    for view in views:
        _renew(view, renewed)
    return x


def _check_leaf(x: Value, name: str) -> None:
    needs_tensors(x)
    base = base_of(x)
    if tape.mode.grad and base.tracked and base.node is None:
        raise RuntimeError(
            f"{name}: {'a view of ' if base is not x else ''}a leaf tensor that requires grad cannot be changed in "
            "place while operations are recorded; use `with minipar.no_grad():`"
        )


def _sharing(x: Value, name: str) -> tuple[Value, list[Value]]:
    """The value that x is a view of (x itself, if it is none), and every view of that one that is alive."""
    version = x.own_version()
    others = version.beside(x)
    bases = {base_of(value) for value in (x, *others)}
    if len(bases) > 1:
        raise RuntimeError(
            f"{name}: this tensor shares its memory with another that was made under no_grad or by a Function, and "
            "neither knows the other's gradient; change a copy instead: x = x.clone()"
        )
    (base,) = bases
    return base, [value for value in (x, *others) if value is not base]


def base_of(x: Value) -> Value:
    """What x is a view of, in the end; x itself if it is none."""
    while (recipe := getattr(x, "view_of", None)) is not None:
        x = recipe[0]
    return x


@on_its_gpu
def _written_through(base: Value, view: Value, written: Value) -> Any:
    """base with `written` where `view` looks: what base becomes when the view is changed.

    Where that is, is found by taking the same views of the numbers of base's elements.
    """
    steps = []
    while view is not base:
        view, step, place = view.view_of
        steps.append((step, place))
    places = namespace(base.array).arange(base.array.size).reshape(base.array.shape)
    for step, place in reversed(steps):
        places = _output(copy(step).forward(places), step, place)
    flat = SetItem(places.reshape(-1))(reshape(_before(base), (-1,)), reshape(written, (-1,)))
    return reshape(flat, base.array.shape)


def _output(results: Any, step: Any, place: int) -> Any:
    return results if step.outputs == 1 else results[place]


def _renew(view: Value, renewed: set[Value]) -> None:
    """Make the view again, of what it is a view of as that stands now."""
    if view not in renewed:
        source, step, place = view.view_of
        _renew(source, renewed)
        _take_place(view, _output(step.again(source), step, place))
        renewed.add(view)


def _take_place(x: Value, after: Any) -> None:
    """x stands where `after` does."""
    _move_retained(x, after)
    x.tracked, x.node, x.index = True, after.node, after.index


def write(x: Value, name: str, array: Any, index: Any = ...) -> None:
    """x[index] ← array, in memory, and say so to whoever saved x."""
    try:
        if type(x.array) is np.ndarray:
            assign(x.array, index, array)
        else:
            with on_gpu_of(x.array):
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


def _copied(x: Value) -> Value:
    """x as it stands now, in memory of its own."""
    alias = _before(x)
    alias.array, alias.version = copied(x.array), tape.Version()
    return alias


def _own_memory(before: Value | None) -> None:
    """What the operation saved of the old value (if anything) is about to be overwritten: it gets a copy."""
    if before is not None:
        before.array = copied(before.array)
        before.version = tape.Version(before.changes())


def _move_retained(x: Value, after: Value) -> None:
    """retain_grad() keeps the gradient of what x is when backward runs, as in PyTorch."""
    if x.node is not None and x.node.retained:
        kept = x.node.retained.get(x.index)
        if kept is not None and kept() is x:
            del x.node.retained[x.index]
            after.node.retained = {after.index: kept}  # type: ignore[union-attr]

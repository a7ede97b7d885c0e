"""What a replay does, in order. Every array in it is the one that was there when the step was recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ops.op import Elementwise, Op, unbroadcast
from .raw import Call
from .traced import arrays_in, plain_of, root_of, with_arrays


@dataclass(eq=False)
class Computed:
    """out ← function(*args); or, without `out`, function(*args) changes its arguments."""

    function: Any
    args: tuple
    kwargs: dict
    out: Any = None  # an array, or a list of arrays


@dataclass(eq=False)
class Forward:
    """An operation: its kernel calls, or its forward with the results copied to where they were."""

    op: Op
    args: list[Any]
    outs: list[np.ndarray]
    calls: list[Call] | None
    fresh: list[int]  # which outs are not the memory of an argument
    pulls: list[Pull] = field(default_factory=list)
    settled: list[np.ndarray] = field(default_factory=list)  # arrays that the operation had before
    aside: list[np.ndarray] = field(default_factory=list)  # arrays that it keeps of its forward
    read_aside: bool = False  # has anybody but itself read those?
    raw: bool = False  # is it replayed as its calls?

    def all_raw(self) -> bool:
        return self.calls is not None and all(pull.calls is not None for pull in self.pulls)

    def run(self) -> None:
        made = self.op.forward(*self.args)
        store(self.op, self.outs, self.fresh, (made,) if self.op.outputs == 1 else made)
        if self.read_aside:
            earlier = {id(array) for array in self.settled}
            now = [array for array in attributes(self.op) if id(array) not in earlier]
            for old, new in zip(self.aside, now, strict=True):
                np.copyto(old, new)


@dataclass(eq=False)
class Pull:
    """An operation's gradient; as Forward."""

    op: Op
    grad: Any
    saved: list[Any]
    inputs: list[Any]  # all that a Fat operation had
    outs: list[Any]
    calls: list[Call] | None
    fresh: list[int]
    forward: Forward | None
    aux: Any  # what the operation kept, where its forward is not replayed
    raw: bool = False

    def all_raw(self) -> bool:
        return self.calls is not None and (self.forward is None or self.forward.all_raw())

    def run_whole(self) -> None:
        """Where the operation's kernels ran instead of its forward, it has not kept what its gradient needs."""
        if self.forward is not None:
            self.forward.run()
        self.run()

    def run(self) -> None:
        if self.forward is None:
            self.op.aux = self.aux
        if self.inputs:
            self.op.inputs = self.inputs  # type: ignore[attr-defined]
        pulled = self.op.vjp(self.grad, *self.saved)
        pulled = pulled if isinstance(pulled, tuple) else (pulled,)
        if isinstance(self.op, Elementwise):
            pulled = [None if g is None else unbroadcast(g, shape) for g, shape in zip(pulled, self.op.shapes)]
        store(self.op, self.outs, self.fresh, pulled)


@dataclass(eq=False)
class Grad:
    """value.grad ← None; the slot of its buffer; or a copy of `array`."""

    value: Any
    array: Any  # None, or where the gradient's numbers are
    in_buffer: bool


@dataclass(eq=False)
class Outside:
    """Something that is called as it is: a step of an optimizer or a scheduler."""

    function: Any
    args: tuple
    kwargs: dict


_OWN = frozenset(["saved", "inputs", "result", "edges", "hooks", "retained", "__weakref__"])


def attributes(op: Op, replace: Callable[[Any], Any] = plain_of) -> list[np.ndarray]:
    """The arrays that an operation keeps besides its inputs, with their traces taken off, or else replaced."""
    found: list[np.ndarray] = []
    names = [name for kind in type(op).__mro__ for name in getattr(kind, "__slots__", ()) if name not in _OWN]
    for name in [*names, *getattr(op, "__dict__", ())]:
        kept = getattr(op, name, None)
        arrays = arrays_in(kept)
        if arrays:
            found += arrays
            setattr(op, name, with_arrays(kept, replace))
    return found


def may_warn(step: Any) -> bool:
    """Might NumPy warn of infinities here, on the way back, where eager keeps it silent?"""
    if isinstance(step, Pull):
        return not step.all_raw() or any(call.named for call in step.calls or ())
    return isinstance(step, Computed) and isinstance(step.function, np.ufunc)


def store(op: Op, outs: list[Any], fresh: list[int], made: Any) -> None:
    for i in fresh:
        if made[i].shape != outs[i].shape:
            raise RuntimeError(
                f"minipar.compile: {op.name()} gave shape {made[i].shape}, and {outs[i].shape} when the step was "
                "recorded: a shape that depends on the numbers cannot be replayed; call the step without compile"
            )
        out = outs[i]
        if not out.flags.writeable:  # one number that stands for many (broadcast_to)
            root = root_of(out)
            offset = out.__array_interface__["data"][0] - root.__array_interface__["data"][0]
            out = np.ndarray(out.shape, out.dtype, root, offset, out.strides)
        np.copyto(out, made[i])

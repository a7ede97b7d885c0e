"""A recording as one straight-line Python function: the quickest that Python can go through a list of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..tensor import wrap
from .placement import Placement
from .program import Computed, Forward, Grad, Outside, Pull
from .raw import Call
from .source import Source
from .traced import arrays_in, root_of

_base = np.ndarray.base.__get__


def replay_of(
    program: Sequence[Any], inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
) -> Callable[..., Any]:
    """run(arrays) does what was recorded, with the arrays' numbers in the place of `inputs`.

    Returns copies of `outputs`, as tensors in a tuple.
    """
    writer = _Writer(Placement(program, inputs, outputs))
    for i, array in enumerate(inputs):
        writer.line(f"{writer.name(np.copyto)}({writer.name(array)}, arrays[{i}])")
    operations = [step for step in program if isinstance(step, (Forward, Pull))]
    for step in operations:
        step.raw = step.all_raw()
    for step in program:
        _WRITE[type(step)](writer, step)
    kept = ", ".join(f"{writer.name(wrap)}({writer.name(array)}.copy())" for array in outputs)
    writer.line(f"return ({kept}{',' if outputs else ''})")
    for step in operations:  # nothing must hold on to a slot's own array
        step.calls = None
        if isinstance(step, Forward):
            step.pulls, step.settled = [], writer.unwatched(step.settled)
    return writer.source.function("arrays", writer.lines)


class _Writer:
    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.source = Source()
        self.lines: list[str] = []
        self.aliases: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.checks = 0
        self.flags: dict[int, str] = {}  # of a Forward whose kernels return numbers: were they the same again?

    def line(self, text: str) -> None:
        self.lines.append(text)

    def name(self, x: Any) -> str:
        return self.source.name(self.unwatched(x))

    def unwatched(self, x: Any) -> Any:
        """Arrays where they are to lie; those in a flat buffer as others at the same place, for to hold the slots' own
        is to look at them."""
        kind = type(x)
        if kind is tuple or kind is list:
            return kind([self.unwatched(part) for part in x]) if arrays_in(x) else x
        if kind is dict:
            return {name: self.unwatched(part) for name, part in x.items()} if arrays_in(x) else x
        if kind is not np.ndarray:
            return x
        if id(x) not in self.aliases:
            placed = self.placement(x)
            if placed is not None:
                self.aliases[id(x)] = x, placed
                return placed
            if not _in_flat_buffer(x):
                return x
            root = root_of(x)
            offset = x.__array_interface__["data"][0] - root.__array_interface__["data"][0]
            alias = np.ndarray(x.shape, x.dtype, root, offset, x.strides)
            self.aliases[id(x)] = x, alias
        return self.aliases[id(x)][1]

    def call(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> str:
        given = [self.name(x) for x in args] + [f"{key}={self.name(x)}" for key, x in kwargs.items()]
        return f"{self.name(function)}({', '.join(given)})"

    def computed(self, step: Computed) -> None:
        out, function = step.out, step.function
        if out is None:
            self.line(self.call(function, step.args, step.kwargs))
        elif isinstance(function, np.ufunc) and function.nout == 1 and isinstance(out, np.ndarray):
            self.line(self.call(function, step.args, {**step.kwargs, "out": out}))
        else:
            self.line(f"{self.name(_keep)}({self.name(out)}, {self.call(function, step.args, step.kwargs)})")

    def forward(self, step: Forward) -> None:
        again = self._again(step, "run", ("args", "outs"))
        if not step.raw:
            self.line(again)
            return
        flag = self._flag(step.calls or ())
        self._kernels(step.calls or (), flag)
        if flag is not None:
            self.flags[id(step)] = flag
            self.line(f"if not {flag}: {again}")

    def pull(self, step: Pull) -> None:
        again = self._again(step, "run", ("grad", "saved", "inputs", "outs", "aux"))
        if not step.raw:
            self.line(again)
            return
        flag, forward = self._flag(step.calls or ()), self.flags.get(id(step.forward))
        if forward is None:
            self._kernels(step.calls or (), flag)
        else:
            self.line(f"if {forward}:")
            self._kernels(step.calls or (), flag, "    ")
            self.line(f"else: {again}")
        if flag is not None:
            self.line(f"if not {flag}: {self.source.name(step.run_whole)}()")

    def _flag(self, calls: Sequence[Call]) -> str | None:
        """A variable for whether the calls return the same numbers again, if they return any."""
        if all(call.returned is None for call in calls):
            return None
        flag = f"same{self.checks}"
        self.checks += 1
        self.line(f"{flag} = True")
        return flag

    def _kernels(self, calls: Sequence[Call], flag: str | None, indent: str = "") -> None:
        for call in calls:
            text = self.call(call.kernel, call.args, call.named)
            if call.returned is not None:
                text = f"if {text} != {self.name(call.returned)}: {flag} = False"
            self.line(indent + text)

    def _again(self, step: Any, method: str, parts: Sequence[str]) -> str:
        for part in parts:
            setattr(step, part, self.unwatched(getattr(step, part)))
        return f"{self.source.name(getattr(step, method))}()"

    def grad(self, step: Grad) -> None:
        value = self.name(step.value)
        if step.array is None:
            self.line(f"{value}._grad = None")
        elif step.in_buffer:
            view = f"{self.source.name(step.value.buffer.grad_views)}[{step.value.slot}]"
            self.line(f"if {value}._grad is None or {value}._grad.array is not {view}: "
                      f"{value}._grad = {self.name(wrap)}({view})")  # fmt: skip
        else:
            self.line(f"{value}._grad = {self.name(wrap)}({self.name(step.array)}.copy())")

    def outside(self, step: Outside) -> None:
        self.line(self.call(step.function, step.args, step.kwargs))


_WRITE: dict[type, Callable[..., None]] = {
    Computed: _Writer.computed,
    Forward: _Writer.forward,
    Pull: _Writer.pull,
    Grad: _Writer.grad,
    Outside: _Writer.outside,
}


def _in_flat_buffer(x: np.ndarray) -> bool:
    while isinstance(x, np.ndarray):
        x = _base(x)
    return isinstance(x, memoryview)


def _keep(outs: Any, made: Any) -> None:
    """Copy what a function made to where it was when the step was recorded."""
    for out, part in zip(outs, made) if isinstance(outs, (list, tuple)) else ((outs, made),):
        if not isinstance(out, np.ndarray):
            continue
        if out.shape != np.shape(part):
            raise RuntimeError(
                f"minipar.compile: a computation gave shape {np.shape(part)}, and {out.shape} when the step was "
                "recorded: a shape that depends on the numbers cannot be replayed; call the step without compile"
            )
        np.copyto(out, part)

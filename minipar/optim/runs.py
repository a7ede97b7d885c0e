"""What one optimizer step consists of: a few runs, each a stretch of memory that one kernel call updates.

    buffer.data   [ fc.bias | fc.weight | conv.bias | conv.weight ]     all have gradients: one run
    buffer.data   [ fc.bias | fc.weight | ///////// | conv.weight ]     conv.bias has none: two runs

Working out the runs takes longer than a small step. So a Plan remembers them with the evidence that they rest on, and
is asked before each step whether all of it is still so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from itertools import chain, groupby
from operator import attrgetter, is_
from typing import Any

from ..backend import namespace
from ..nn.parameter import FlatBuffer, Parameter
from ..tensor import Tensor
from .flat_state import NUMBERS, STEP, FlatState, settle

State = MutableMapping[Tensor, dict[str, Any]]  # optimizer.state: of each parameter, name → tensor
Shelf = Callable[[FlatBuffer], FlatState]  # where the state of a buffer's parameters lies


class _Run:
    """What a step needs of a run besides `data` and `grad`; what it changes of it, it changes in place."""

    fresh: bool  # is this the parameters' first step?
    moments: list[Any]  # the state that is like the parameters, in the order of the optimizer's `_state`
    numbers: dict[str, Any]  # the state that is one number a parameter; all of a run have the same

    def count_step(self) -> int:
        """One step more. Returns how many there are then."""
        steps = self.numbers[STEP]
        count = steps.item(0) + 1
        steps.fill(count)  # in place: the parameters' "step" entries are views of it
        return int(count)

    def agreed(self) -> bool:
        """Do the parameters still have the same numbers?"""
        return all(len(set(numbers.tolist())) == 1 for numbers in self.numbers.values())


class FlatRun(_Run):
    """Neighbours in one buffer whose gradients lie in it too: views of both, and of their state."""

    def __init__(self, parameters: list[Parameter], flat: FlatState, names: Iterable[str], fresh: bool) -> None:
        buffer: FlatBuffer = parameters[0].buffer  # type: ignore[assignment]
        first, last = parameters[0].slot, parameters[-1].slot
        start, end = buffer.spans[first][0], buffer.spans[last][1]
        self.parameters, self.fresh = parameters, fresh
        self.data_views, self.grad_views = (
            buffer.data_views,
            buffer.grad_views,
        )  # lists: to hold a view is to look at it
        self.slots = [(p, p.slot) for p in parameters]
        self.data, self.grad = buffer.data[start:end], buffer.grad[start:end]
        self.moments = [flat.arrays[name][start:end] for name in names if name not in NUMBERS]
        self.numbers = {name: flat.arrays[name][first : last + 1] for name in names if name in NUMBERS}

    def holds(self) -> bool:
        """Do all parameters and their gradients still lie in the buffer?"""
        try:
            for p, slot in self.slots:
                if p.array is not self.data_views[slot] or p._grad.array is not self.grad_views[slot]:  # type: ignore[union-attr]
                    return False
        except AttributeError:  # one has no gradient
            return False
        return True

    def finish(self, changed_by: str) -> None:
        for p in self.parameters:
            version = p.version
            if version is None:
                p.bump(changed_by)
            else:
                version.count += 1
                version.changed_by = changed_by


class LoneRun(_Run):
    """One parameter that lies, or whose gradient lies, outside of any buffer. It is looked up again for each step."""

    def __init__(self, p: Tensor, entry: dict[str, Any], names: Iterable[str], fresh: bool) -> None:
        self.parameters, self.fresh = [p], fresh
        self.moments = [entry[name].array.reshape(-1) for name in names if name not in NUMBERS]
        self.numbers = {name: entry[name].array.reshape(-1) for name in names if name in NUMBERS}

    @property
    def grad(self) -> Any:
        (p,) = self.parameters
        grad: Any = p.grad
        if grad.shape != p.shape:
            raise RuntimeError(f"the gradient has shape {tuple(grad.shape)}, its parameter {tuple(p.shape)}")
        return namespace(p.array).ascontiguousarray(grad.array, p.dtype).reshape(-1)

    @property
    def data(self) -> Any:
        """The parameter as one row: its own memory, or, of a transposed or sliced array, a copy to be put back."""
        self.row = self.parameters[0].array.reshape(-1)
        return self.row

    def finish(self, changed_by: str) -> None:
        (p,) = self.parameters
        if not p.array.flags.c_contiguous:
            p.array[...] = self.row.reshape(p.shape)
        p.bump(changed_by)


class Plan:
    """The runs of one parameter group, and what must be unchanged for them to serve again."""

    def __init__(self, parameters: list[Tensor], start: dict[str, float], state: State, shelf: Shelf) -> None:
        self.start = start
        self.parameters = list(parameters)
        self.runs: list[FlatRun | LoneRun] = []
        self.fresh = False  # does a parameter take its first step?
        self.stateful: list[Tensor] = []
        in_buffer: dict[FlatBuffer, list[Parameter]] = {}
        for p in self.parameters:
            situation = _situation(p)
            if type(situation) is FlatBuffer:
                in_buffer.setdefault(situation, []).append(p)  # type: ignore[arg-type]
                continue
            if situation is not None:
                home = p.buffer if isinstance(p, Parameter) and p.in_buffer() else None
                fresh, *_ = self._age(p, state, None if home is None else shelf(home))
                self.runs.append(LoneRun(p, state[p] if start else {}, start, bool(fresh)))
        for buffer, members in in_buffer.items():
            members.sort(key=lambda p: p.slot)
            flat = shelf(buffer)
            ages = [self._age(p, state, flat) for p in members]
            # Neighbours of one age: along a stretch, slot and position grow together.
            for (_, (fresh, *_)), stretch in groupby(
                range(len(members)),
                lambda i: (members[i].slot - i, ages[i]),  # noqa: B023 - used at once
            ):
                self.runs.append(FlatRun([members[i] for i in stretch], flat, start, fresh))
        self._take_evidence(state)

    def _age(self, p: Tensor, state: State, flat: FlatState | None) -> tuple[float, ...]:
        """Settle the state of `p`. Is this its first step, and which are its numbers? One call has one answer."""
        if not self.start:
            return (False,)
        entry = state[p]
        fresh = settle(entry, self.start, p, flat)
        self.fresh = self.fresh or fresh
        self.stateful.append(p)
        return fresh, *(entry[name].item() for name in NUMBERS if name in self.start)

    def _take_evidence(self, state: State) -> None:
        """Note which objects stand where: one that has been replaced is another object."""
        self.flat = [run for run in self.runs if isinstance(run, FlatRun)]
        in_runs = {p for run in self.flat for p in run.parameters}
        self.others = [(p, _situation(p)) for p in self.parameters if p not in in_runs]
        self.entries = [state[p] for p in self.stateful]
        self.values = list(chain.from_iterable(map(dict.values, self.entries)))
        self.tensors = [entry[name] for entry in self.entries for name in self.start]
        self.arrays = [tensor.array for tensor in self.tensors]

    def holds(self, parameters: list[Tensor], start: dict[str, float], state: State | None) -> bool:
        """Is everything as it was when the plan was made? `state` is None where nobody can have changed it.

        Asked before every step, so it must be quick.
        """
        if self.fresh or start != self.start or len(parameters) != len(self.parameters):
            return False
        if not _same(parameters, self.parameters):
            return False
        for run in self.flat:
            if not run.holds():
                return False
        for p, situation in self.others:
            if _situation(p) != situation:
                return False
        return state is None or self._remembers(state)

    def _remembers(self, state: State) -> bool:
        """Is the state the one that the runs look at?"""
        values = list(chain.from_iterable(map(dict.values, self.entries)))
        return (
            _same(map(state.get, self.stateful), self.entries)
            and len(values) == len(self.values)
            and _same(values, self.values)
            and _same(map(_array_of, self.tensors), self.arrays)
            and all(run.agreed() for run in self.runs)
        )


_array_of = attrgetter("array")


def _same(these: Iterable[Any], those: Iterable[Any]) -> bool:
    """Are these, one by one, the same objects as those? (== would compare the elements of tensors.)"""
    return all(map(is_, these, those))


def _situation(p: Tensor) -> Any:
    """How a parameter can be stepped: not at all (None), within a run of its buffer, or alone (its shape and dtype)."""
    if p.grad is None:
        return None
    if isinstance(p, Parameter) and p.grad_in_buffer():
        return p.buffer
    return p.shape, p.dtype

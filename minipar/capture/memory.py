"""The memory that a recorded step works on, and the program that comes of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops.op import Op
from ..tape import Value
from .program import Computed, Forward
from .traced import PLAIN, RAW, TRACE, Traced, root_of, trace

array_slot: Any = vars(Value)["array"]
grad_slot: Any = vars(Value)["_grad"]


class Memory:
    """What is known of each array: a replay finds it at the same place, with other numbers in it or with the same."""

    def __init__(self) -> None:
        self.mode = TRACE
        self.watch: Any = None  # in mode RAW: what the operation does
        self.program: list[Any] = []
        self.traces: dict[int, Traced] = {}  # by id of the plain array
        self.owners: dict[int, np.ndarray] = {}  # keeps what ids stand for
        self.varying: set[int] = set()  # owners of memory that holds other numbers in each replay
        self.made: dict[int, int] = {}  # owner -> the place in the program that made it
        self.born: dict[int, weakref.ref] = {}  # values that were made meanwhile
        self.live: dict[int, tuple[Value, np.ndarray, bool]] = {}  # values that were there: (it, its array, tracked)
        self.entries: dict[int, tuple[Value, bool]] = {}  # gradients that were asked for first: (value, was there one?)
        self.grads: dict[int, Value] = {}  # values whose .grad was set, since the last call of something outside
        self.touched: dict[int, Value] = {}  # …and ever
        self.old_grads: dict[int, weakref.ref] = {}  # the gradients among these that are not None
        self.modules: dict[int, Any] = {}
        self.forwards: dict[Op, Forward] = {}
        self.makers: dict[int, Forward] = {}  # id of an operation's first result -> the operation
        self.candidates: list[Any] = []  # for fusion
        self.kept_by: dict[int, Forward] = {}  # owner of an array that an operation keeps -> the operation

    def traced(self, x: Any) -> Any:
        """A plain array (or a scalar that NumPy made of arrays) with its trace."""
        if isinstance(x, np.generic):
            x = np.asarray(x)
        if type(x) is not np.ndarray:
            return x
        known = self.traces.get(id(x))
        if known is None:
            known = self.traces[id(x)] = trace(x)
        return known

    def owner(self, array: np.ndarray) -> int:
        root = root_of(array)
        self.owners[id(root)] = root
        return id(root)

    def varies(self, arrays: list[np.ndarray]) -> bool:
        return any(self.owner(array) in self.varying for array in arrays)

    def vary(self, array: np.ndarray) -> None:
        self.varying.add(self.owner(array))

    def looked_at(self, plain: np.ndarray, name: str) -> None:
        """Python is about to look at numbers."""
        if self.mode == TRACE and self.varies([plain]):
            raise data_dependent(name)
        if self.mode == RAW and self.varies([plain]):
            self.watch.computes = True

    def plainly(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """function(*args), which is not to be recorded."""
        mode, self.mode = self.mode, PLAIN
        try:
            return function(*args, **kwargs)
        finally:
            self.mode = mode

    def add(self, step: Any, outs: list[np.ndarray] = ()) -> None:  # type: ignore[assignment]
        for out in outs:
            self.vary(out)
            self.made[self.owner(out)] = len(self.program)
        self.program.append(step)

    def before_write(self, target: np.ndarray, given: list[np.ndarray]) -> None:
        """Memory that was made by no tensor's numbers is about to get some: each replay starts from what is there."""
        owner = self.owner(target)
        if owner not in self.varying and self.varies(given):
            root = self.owners[owner]
            self.add(Computed(np.copyto, (root, root.copy()), {}), [root])


class Identities:
    """Membership by `is`: == would compare elements."""

    def __init__(self, objects: Any) -> None:
        self.ids = {id(x) for x in objects}

    def __contains__(self, x: Any) -> bool:
        return id(x) in self.ids


def data_dependent(name: str) -> RuntimeError:
    return RuntimeError(
        f"minipar.compile: the step turns a tensor's numbers into Python ({name.strip('_')}), and what Python then "
        "does with them a replay could not do again: return the tensor from the step and look at it outside"
    )

"""Memory that several threads see: every element remembers who wrote it, who read it and who updated it atomically."""

import sys
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

import numpy as np

from .clock import Clock, Turn
from .errors import KernelError, here, kernel_frame, line_of
from .memory import Memory
from .traffic import Traffic

# Element -> the last write, or all reads and all atomic updates so far as one: whose turn it was, and where in the
# kernel. (An instruction and not a line: Python finds a line's number by walking through all the lines before it.)
Log = dict[Any, tuple[Turn, CodeType, int]]


class CommonMemory(Memory):
    """An array in ``space`` "global" or "constant", which has been written before, or "shared".

    It begins ``start`` bytes behind a multiple of 256 bytes. ``traffic`` counts the accesses.
    """

    def __init__(
        self,
        name: str,
        array: np.ndarray,
        alignment: int,
        space: str,
        clock: Clock,
        traffic: Traffic | None,
        start: int = 0,
    ):
        super().__init__(name, array, alignment)
        self.space, self.clock, self.traffic, self.start = space, clock, traffic, start
        self.writes: Log = {}
        self.reads: Log = {}
        self.atomics: Log = {}

    def __getitem__(self, index: Any) -> Any:
        frame = sys._getframe(1)
        if index not in self.reads:  # what has been read lies inside, and was written
            self._check_written(index)
        if self.traffic is not None:
            self._count("load", index, 1, frame)
        return self._read(index, frame)

    def __setitem__(self, index: Any, value: Any) -> None:
        frame = sys._getframe(1)
        if index not in self.writes:
            self._check_bounds(index)
        if self.traffic is not None:
            self._count("store", index, 1, frame)
        self._write(index, value, frame)

    def load_vector(self, index: int, count: int) -> tuple:
        frame, elements = kernel_frame(), range(index, index + count)
        self._check_vector(index, count)
        for element in elements:
            self._check_written(element)
        self._count("load", index, count, frame)
        return tuple(self._read(element, frame) for element in elements)

    def store_vector(self, index: int, values: Sequence[Any]) -> None:
        frame = kernel_frame()
        self._check_vector(index, len(values))
        self._count("store", index, len(values), frame)
        for i, value in enumerate(values):
            self._write(index + i, value, frame)

    def update(self, index: Any, function: Callable[[Any], Any]) -> Any:
        """An atomic read-modify-write, which does not race with others of its kind. Returns the element as it was."""
        frame = kernel_frame()
        self._check_written(index)
        self._count("atomic", index, 1, frame)
        self._check_order(index, "written", self.writes, "updated atomically")
        self._check_order(index, "read", self.reads, "updated atomically")
        self._log(self.atomics, index, frame)
        old = self._value(index)
        self._put(index, function(old))
        return old

    def _read(self, index: Any, frame: FrameType) -> Any:
        self._check_order(index, "written", self.writes, "read")
        if self.atomics:
            self._check_order(index, "updated atomically", self.atomics, "read")
        self._log(self.reads, index, frame)
        return self._value(index)

    def _write(self, index: Any, value: Any, frame: FrameType) -> None:
        for kind, log in (("written", self.writes), ("read", self.reads), ("updated atomically", self.atomics)):
            self._check_order(index, kind, log, "written")
        self.writes[index] = self.clock.now, frame.f_code, frame.f_lasti
        self._put(index, value)

    def _log(self, log: Log, index: Any, frame: FrameType) -> None:
        """Add an access to what is known of its kind."""
        now, earlier = self.clock.now, log.get(index)
        if earlier is None:
            log[index] = now, frame.f_code, frame.f_lasti
        elif earlier[0] is not now:
            log[index] = earlier[0].joined(now), frame.f_code, frame.f_lasti

    def _check_written(self, index: Any) -> None:
        if self.space == "shared":
            super()._check_written(index)
        else:
            self._check_bounds(index)

    def _check_order(self, index: Any, kind: str, log: Log, what: str) -> None:
        earlier, now = log.get(index), self.clock.now
        if earlier is not None and earlier[0].may_swap(now):
            turn, code, instruction = earlier
            unordered = "with no barrier between" if turn.block == now.block else "blocks run in any order"
            raise KernelError(
                f"data race: {self._element(index)} is {kind} by {self.clock.name_of(turn)} in line "
                f"{line_of(code, instruction)} and, {unordered}, {what}{here()}"
            )

    def _count(self, access: str, index: Any, count: int, frame: FrameType) -> None:
        if self.traffic is not None:
            first = index if type(index) is not tuple else int(np.ravel_multi_index(index, self.shape))
            self.traffic.record(self, access, first, count, frame)


class ConstantMemory(CommonMemory):
    """``cuda.const.array_like(…)``, or an array of the kernel's surroundings: as it is when the kernel starts."""

    def __init__(self, name: str, array: np.ndarray, clock: Clock, traffic: Traffic | None):
        super().__init__(name, array, array.itemsize, "constant", clock, traffic)

    def _write(self, index: Any, value: Any, frame: FrameType) -> None:
        raise KernelError(f"{self._element(index)} is written, but {self.name} lies in constant memory{here()}")

    def update(self, index: Any, function: Callable[[Any], Any]) -> Any:
        raise KernelError(f"{self._element(index)} is updated, but {self.name} lies in constant memory{here()}")

"""An array as a kernel sees it: every element remembers who wrote it, who read it and who updated it atomically."""

from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import numpy as np

from .clock import Clock, Turn
from .errors import KernelError, here, kernel_frame
from .scalars import Scalar
from .traffic import Traffic

VECTOR_BYTES = 16

# Element -> the last write, or all reads and all atomic updates so far as one: whose turn it was, and in which line.
Log = dict[Any, tuple[Turn, int]]


class Memory:
    """One array of a kernel. ``origin``: given (in global memory), shared or local.

    It begins ``start`` bytes behind a multiple of 256 bytes; its address is known to be a multiple of ``alignment``.
    ``traffic`` counts the accesses.
    """

    def __init__(
        self,
        name: str,
        array: np.ndarray,
        clock: Clock,
        origin: str,
        alignment: int,
        traffic: Traffic | None,
        start: int = 0,
    ):
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} must be C-contiguous, got strides {array.strides} of shape {array.shape}")
        self.name, self.array, self.clock, self.origin, self.alignment = name, array, clock, origin, alignment
        self.start, self.space = start, "global" if origin == "given" else origin
        self.traffic = traffic if origin != "local" else None  # a thread's own array mostly lies in registers
        self.shape, self.cast = array.shape, Scalar(array.dtype)
        self.writes: Log = {}
        self.reads: Log = {}
        self.atomics: Log = {}

    @property
    def size(self) -> int:
        return self.array.size

    @property
    def dtype(self) -> Scalar:
        return self.cast

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        frame = kernel_frame()
        self._check_bounds(index)
        self._count("load", index, 1, frame)
        return self._read(index, frame.f_lineno)

    def __setitem__(self, index: Any, value: Any) -> None:
        frame = kernel_frame()
        self._check_bounds(index)
        self._count("store", index, 1, frame)
        self._write(index, value, frame.f_lineno)

    def load_vector(self, index: int, count: int) -> tuple:
        """``count`` neighbouring elements by one instruction."""
        frame = kernel_frame()
        self._check_vector(index, count)
        self._count("load", index, count, frame)
        return tuple(self._read(index + i, frame.f_lineno) for i in range(count))

    def store_vector(self, index: int, values: Sequence[Any]) -> None:
        """Neighbouring elements by one instruction."""
        frame = kernel_frame()
        self._check_vector(index, len(values))
        self._count("store", index, len(values), frame)
        for i, value in enumerate(values):
            self._write(index + i, value, frame.f_lineno)

    def update(self, index: Any, function: Callable[[Any, Any], Any], value: Any) -> Any:
        """An atomic read-modify-write, which does not race with others of its kind. Returns the element as it was."""
        frame = kernel_frame()
        self._check_bounds(index)
        self._count("store", index, 1, frame)
        self._check_written(index)
        for kind, log in (("written", self.writes), ("read", self.reads)):
            self._check_order(index, kind, log, "updated atomically")
        self._log(self.atomics, index, frame.f_lineno)
        old = self._value(index)
        self.array[index] = self.cast(function(old, value))
        return old

    def _read(self, index: Any, line: int) -> Any:
        self._check_written(index)
        if self.origin != "local":
            self._check_order(index, "written", self.writes, "read")
            if self.atomics:
                self._check_order(index, "updated atomically", self.atomics, "read")
            self._log(self.reads, index, line)
        return self._value(index)

    def _write(self, index: Any, value: Any, line: int) -> None:
        if self.origin != "local":
            for kind, log in (("written", self.writes), ("read", self.reads), ("updated atomically", self.atomics)):
                self._check_order(index, kind, log, "written")
        self.writes[index] = self.clock.now, line
        self.array[index] = self.cast(value)

    def _log(self, log: Log, index: Any, line: int) -> None:
        """Add an access to what is known of its kind."""
        now, earlier = self.clock.now, log.get(index)
        if earlier is None:
            log[index] = now, line
        elif earlier[0] is not now:
            log[index] = earlier[0].joined(now), line

    def _value(self, index: Any) -> Any:
        """Integers as Python's, so that NumPy's rules of wrapping do not apply to them."""
        value = self.array[index]
        return value if self.cast.limits is None else int(value)

    def _element(self, index: Any) -> str:
        return f"{self.name}[{', '.join(map(str, index)) if type(index) is tuple else index}]"

    def _check_bounds(self, index: Any) -> None:
        shape = self.shape
        if type(index) is int and len(shape) == 1 and 0 <= index < shape[0]:
            return  # quick for what is most frequent
        indices = index if type(index) is tuple else (index,)
        if len(indices) != len(shape):
            raise KernelError(f"{self.name} has {len(shape)} axes, indexed by {index}{here()}")
        for i, size in zip(indices, shape):
            if not 0 <= i < size:
                what = "negative index" if i < 0 else "index out of bounds"
                raise KernelError(f"{what}: {self._element(index)}, its shape is {shape}{here()}")

    def _check_vector(self, index: int, count: int) -> None:
        self._check_bounds(index)
        self._check_bounds(index + count - 1)
        if index % count:
            raise KernelError(f"misaligned vector: {self._element(index)}, no multiple of {count}{here()}")
        if self.alignment % VECTOR_BYTES:
            raise KernelError(
                f"misaligned vector: {self.name} starts at a multiple of {self.alignment} bytes, "
                f"alignment={VECTOR_BYTES} is needed{here()}"
            )

    def _check_written(self, index: Any) -> None:
        if self.origin != "given" and index not in self.writes:
            raise KernelError(f"uninitialised read of {self._element(index)}{here()}")

    def _check_order(self, index: Any, kind: str, log: Log, what: str) -> None:
        earlier, now = log.get(index), self.clock.now
        if earlier is not None and earlier[0].may_swap(now):
            turn, line = earlier
            raise KernelError(
                f"data race: {self._element(index)} is {kind} by {turn.who} in line {line} and, with no "
                f"barrier between, {what} by thread {now.thread} of block {now.block}{here()}"
            )

    def _count(self, access: str, index: Any, count: int, frame: FrameType) -> None:
        if self.traffic is not None:
            first = index if type(index) is not tuple else int(np.ravel_multi_index(index, self.array.shape))
            self.traffic.record(self, access, first, count, frame)

"""A rank's GPU, as the NCCL backend uses it: streams of its own, and waits for what they are to complete.

CuPy gives memory out again as soon as the host has let go of it, to whoever next allocates in the stream that it was
allocated in; for that stream will have come past what used it. So whatever a call hands out is allocated in its
caller's stream, and what is the caller's is kept until the GPU has completed the call.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from typing import Any

from .nccl_link import Given
from .work import ANYBODY, Steps, Waiting

# NumPy's codes of what NCCL reduces. A complex number is two floats, of which it can take the sum.
_TYPES = {
    "b": "INT8", "B": "UINT8", "i": "INT32", "I": "UINT32", "l": "INT64", "L": "UINT64", "q": "INT64", "Q": "UINT64",
    "e": "FLOAT16", "f": "FLOAT32", "d": "FLOAT64", "F": "FLOAT32", "D": "FLOAT64",
}  # fmt: skip
_OPERATIONS = {"sum": "SUM", "mean": "SUM", "prod": "PROD", "max": "MAX", "min": "MIN"}


CONNECTIONS = "CUDA_DEVICE_MAX_CONNECTIONS"  # queues of the GPU's, which CUDA reads when a process first uses one
MOST_CONNECTIONS = "32"
_with_stream: weakref.WeakSet[GPU] = weakref.WeakSet()
_counting = threading.Lock()  # ranks may be threads


class InNCCL(Waiting):
    """A wait for a call that NCCL was given: nobody knows for which rank, unless it is a message of `peer`'s."""

    __slots__ = ("given", "is_last")

    def __init__(self, given: Given, peer: int = ANYBODY, *, is_last: bool = False) -> None:
        super().__init__(peer, given.is_over)
        self.given = given
        self.is_last = is_last  # when the communicator is closed: others may have finished


class GPU:
    """The GPU with this number, for one communicator. Its calls run in `stream`, beside what the rank computes."""

    def __init__(self, number: int) -> None:
        import cupy
        from cupy.cuda import nccl

        self.number = number
        self.nccl = nccl
        self.cuda = cupy.cuda
        self._empty = cupy.empty
        self._caller: Any = None  # the stream of who made the call that is being carried out

    @cached_property
    def stream(self) -> Any:
        """Of this communicator's calls. Made when there is one: streams that share a queue hold each other up."""
        with _counting:
            _with_stream.add(self)
            used = sum(gpu.number == self.number for gpu in _with_stream)
        queues = os.environ.get(CONNECTIONS, "8")
        if queues.isdecimal() and used >= int(queues):  # one more is the caller's
            warnings.warn(
                f"over_nccl: {used} streams on cuda:{self.number} are more than the {queues} queues of this process, "
                "so a message that waits for its recv may hold up other calls until the timeout: set "
                f"{CONNECTIONS}={MOST_CONNECTIONS} before the process uses a GPU, close groups that are not needed, or "
                "receive before sending more",
                RuntimeWarning,
                stacklevel=2,
            )
        with self.cuda.Device(self.number):
            return self.cuda.Stream(non_blocking=True)

    def end(self) -> None:
        """The stream is not used any more."""
        with _counting:
            _with_stream.discard(self)

    def empty(self, shape: Any, dtype: Any) -> tuple[Any, Any]:
        """A new array of the caller's, and the event after which the memory is not used any more."""
        with self.cuda.Device(self.number):
            if self._caller is None:
                return self._empty(shape, dtype), self.now()
            with self._caller:
                return self._empty(shape, dtype), self._caller.record()

    def current(self) -> AbstractContextManager[Any]:
        """Inside, what CuPy does goes to this GPU and its `stream`."""
        stack = ExitStack()
        stack.enter_context(self.cuda.Device(self.number))
        stack.enter_context(self.stream)
        return stack

    def holds(self, array: Any) -> bool:
        return array.device.id == self.number

    def beside(self, steps: Steps) -> Steps:
        """The steps of a call, in `stream`: they begin when all that the current stream was given by now is done.

        At their end the host has waited for the stream: any other may go on with what they have made.
        """
        given = self.now()
        with self.cuda.Device(self.number):
            caller = self.cuda.get_current_stream()

        def inside() -> Steps:
            self.stream.wait_event(given)
            try:
                while True:
                    self._caller = caller
                    try:
                        with self.current():
                            waiting = next(steps)
                    except StopIteration as end:
                        result = end.value
                        break
                    finally:
                        self._caller = None
                    yield waiting
            finally:
                steps.close()
            yield from self._finished()
            return result

        return inside()

    def _finished(self) -> Steps:
        """Wait until all that `stream` was given is done: what is left is work of this GPU's own."""
        rest = Given()
        rest.reached = rest.done = self.mark()
        waiting = InNCCL(rest)
        while not rest.is_over():
            yield waiting

    def now(self) -> Any:
        """An event that happens when all that the current stream was given by now is done."""
        with self.cuda.Device(self.number):
            return self.cuda.get_current_stream().record()

    def mark(self) -> Any:
        """An event that happens when all that `stream` was given by now is done."""
        with self.current():
            return self.stream.record()

    def reduction(self, op: str, array: Any) -> tuple[int, int, int] | None:
        """How NCCL calls it: count, type, operation. None for what it lacks, or does otherwise than NumPy.

        (Its largest of a NaN and a number is the one or the other.)
        """
        kind, code = array.dtype.kind, array.dtype.char
        if code not in _TYPES or (op in ("max", "min") and kind == "f") or (op == "prod" and kind == "c"):
            return None
        count = array.size * (2 if kind == "c" else 1)
        return count, getattr(self.nccl, f"NCCL_{_TYPES[code]}"), getattr(self.nccl, f"NCCL_{_OPERATIONS[op]}")

    def as_bytes(self, array: Any) -> tuple[int, int, int]:
        """What only travels: where it begins, how many bytes, and NCCL's type of a byte."""
        return array.data.ptr, array.nbytes, self.nccl.NCCL_INT8

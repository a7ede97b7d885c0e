"""A rank's GPU, as the NCCL backend uses it: a stream of its own, and calls of NCCL's that wait for other ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from .work import ANYBODY, Steps, Waiting

# NumPy's codes of what NCCL reduces. A complex number is two floats, of which it can take the sum.
_TYPES = {
    "b": "INT8", "B": "UINT8", "i": "INT32", "I": "UINT32", "l": "INT64", "L": "UINT64", "q": "INT64", "Q": "UINT64",
    "e": "FLOAT16", "f": "FLOAT32", "d": "FLOAT64", "F": "FLOAT32", "D": "FLOAT64",
}  # fmt: skip
_OPERATIONS = {"sum": "SUM", "mean": "SUM", "prod": "PROD", "max": "MAX", "min": "MIN"}


class InNCCL(Waiting):
    """A wait for other ranks inside of NCCL: nobody knows for which."""

    __slots__ = ("_reached", "is_last")

    def __init__(self, ready: Callable[[], bool], reached: Any = None, *, is_last: bool = False) -> None:
        super().__init__(ANYBODY, ready)
        self._reached = reached
        self.is_last = is_last  # when the communicator is closed: others may have finished

    def is_reached(self) -> bool:
        """Whether this rank's GPU has come so far that it waits for others."""
        return self._reached is None or self._reached.done


class GPU:
    """The GPU with this number, for one communicator. Its calls run in `stream`, beside what the rank computes."""

    def __init__(self, number: int) -> None:
        import cupy
        from cupy.cuda import nccl

        self.number = number
        self.nccl = nccl
        self.cuda = cupy.cuda
        self.empty = cupy.empty
        with self.cuda.Device(number):
            self.stream = self.cuda.Stream(non_blocking=True)

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

        def inside() -> Steps:
            self.stream.wait_event(given)
            try:
                while True:
                    with self.current():
                        try:
                            waiting = next(steps)
                        except StopIteration as end:
                            result = end.value
                            break
                    yield waiting
            finally:
                steps.close()
            yield from self.finished()
            return result

        return inside()

    def finished(self, reached: Any = None) -> Steps:
        """Wait until all that `stream` was given is done; the time counts from the event `reached` on."""
        done = self.mark()
        waiting = InNCCL(lambda: done.done, reached)
        while not done.done:
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


class Elsewhere:
    """A call that waits for other ranks inside of NCCL, in a thread of its own.

    So the rank's own thread waits as it always does: with a timeout, and hearing of ranks that have failed. (Then the
    call goes on in its thread, as long as the process does.)
    """

    def __init__(self, gpu: GPU, call: Callable[[], Any], then: Callable[[Any], None] | None = None) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._over = threading.Event()

        def run() -> None:
            try:
                with gpu.current():
                    self._result = call()
                    if then is not None:
                        then(self._result)
            except BaseException as error:  # told by `result`
                self._error = error
            self._over.set()

        threading.Thread(target=run, name="minipar waits inside NCCL", daemon=True).start()

    def is_over(self) -> bool:
        return self._over.is_set()

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result

    def made(self) -> Any:
        """The result, if there is one by now."""
        return self._result

    def wait(self, peer: int = ANYBODY, *, is_last: bool = False) -> Steps:
        """For the result, until which `peer` has something to do."""
        waiting = InNCCL(self.is_over, is_last=is_last) if peer == ANYBODY else Waiting(peer, self.is_over)
        while not self.is_over():
            yield waiting
        return self.result()

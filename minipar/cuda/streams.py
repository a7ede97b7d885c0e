"""Streams and events: a GPU does what one stream was given in order, and what several were given at the same time.

The host does not wait for either. Each thread has a current stream of each GPU. What is computed goes into that of the
tensors' GPU, backward into those that are current when it is called; a copy from one GPU to another is made between
what both their current streams were given before and what they are given after. Otherwise, what one stream makes and
another reads needs `wait_stream` or `wait_event` between; and as freed memory goes back to the stream that made it,
keep such a tensor until the reader is done.
"""

from __future__ import annotations

from typing import Any

from ..backend import device as Device
from .devices import on_gpu


class Stream:
    """A new stream of a GPU (the current one by default); those of a lower `priority` go first.

    It does not wait for the default stream. TypeError or ValueError if `device` is no GPU or `priority` no int,
    RuntimeError if there is no such GPU.

    >>> if minipar.cuda.is_available():
    ...     side = minipar.cuda.Stream()
    ...     with minipar.cuda.stream(side):
    ...         x = minipar.ones(3, device="cuda") * 2
    ...     minipar.cuda.current_stream().wait_stream(side)
    """

    __slots__ = ("_stream", "device")

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        if not isinstance(priority, int) or isinstance(priority, bool):
            raise TypeError(f"Stream: priority must be an int, not {priority!r}")
        with on_gpu(device, "Stream") as cupy:
            self._stream: Any = cupy.cuda.Stream(non_blocking=True, priority=priority)
            self.device = Device("cuda", cupy.cuda.runtime.getDevice())

    @classmethod
    def _of(cls, stream: Any, number: int) -> Stream:
        """CuPy's stream of this GPU, as ours."""
        made = cls.__new__(cls)
        made._stream, made.device = stream, Device("cuda", number)
        return made

    @property
    def cuda_stream(self) -> int:
        """CUDA's handle, for other libraries; 0 is the default stream."""
        return self._stream.ptr

    @property
    def priority(self) -> int:
        return self._stream.priority

    def query(self) -> bool:
        """Whether all that it was given is done."""
        return self._stream.done

    def synchronize(self) -> None:
        """Let the host wait until all that it was given is done."""
        self._stream.synchronize()

    def record_event(self, event: Event | None = None) -> Event:
        """The event (a new one by default), which happens when all that this stream was given until now is done."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """What this stream is given from now on waits for the event; the host does not. One never recorded is past."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """What this stream is given from now on waits for all that the other was given until now."""
        self.wait_event(stream.record_event())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.device, self.cuda_stream) == (other.device, other.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.device, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<minipar.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A moment in a stream's work, to wait for, or with `enable_timing=True` to measure from.

    With `blocking=True` the host sleeps while it waits (it spins otherwise). RuntimeError where there is no GPU;
    NotImplementedError for `interprocess=True`.

    >>> if minipar.cuda.is_available():
    ...     start, end = (minipar.cuda.Event(enable_timing=True) for _ in range(2))
    ...     start.record()
    ...     x = minipar.ones(1000, device="cuda") * 2
    ...     end.record()
    ...     end.synchronize()
    ...     assert start.elapsed_time(end) > 0  # milliseconds
    """

    __slots__ = ("_blocking", "_event", "_timing")

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        if interprocess:
            raise NotImplementedError("Event: interprocess=True is not supported; processes talk through parallel")
        with on_gpu(None, "Event"):
            pass
        self._timing, self._blocking = enable_timing, blocking
        self._event: Any = None  # made when it is recorded, on the GPU of the stream

    def record(self, stream: Stream | None = None) -> None:
        """Happen when all that the stream (the current one by default) was given until now is done."""
        import cupy

        with cupy.cuda.Device(None if stream is None else stream.device.index):
            if self._event is None:
                self._event = cupy.cuda.Event(block=self._blocking, disable_timing=not self._timing)
            self._event.record(None if stream is None else stream._stream)

    def wait(self, stream: Stream | None = None) -> None:
        """What the stream (the current one by default) is given from now on waits for this; the host does not."""
        if self._event is not None:
            (current_stream() if stream is None else stream)._stream.wait_event(self._event)

    def query(self) -> bool:
        """Whether it has happened; one never recorded has."""
        return self._event is None or self._event.done

    def synchronize(self) -> None:
        """Let the host wait for it."""
        if self._event is not None:
            self._event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to `end_event`.

        ValueError unless both have `enable_timing=True` and are recorded, RuntimeError unless both have happened.
        """
        for event, which in ((self, "the first"), (end_event, "end_event")):
            if not event._timing:
                raise ValueError(f"elapsed_time: {which} was made without enable_timing=True")
            if event._event is None:
                raise ValueError(f"elapsed_time: {which} was never recorded")
            if not event.query():
                raise RuntimeError(f"elapsed_time: {which} has not happened yet; synchronize() waits for it")
        import cupy

        return cupy.cuda.get_elapsed_time(self._event, end_event._event)


def current_stream(device: Any = None) -> Stream:
    """This thread's current stream of a GPU: the default one, or that of the `stream` block around.

    TypeError or ValueError if `device` is no GPU, RuntimeError if there is no such one.

    >>> if minipar.cuda.is_available():
    ...     assert minipar.cuda.current_stream().query() in (True, False)
    """
    with on_gpu(device, "current_stream") as cupy:
        return Stream._of(cupy.cuda.get_current_stream(), cupy.cuda.runtime.getDevice())


class stream:
    """Context manager: inside, this stream is the thread's current one, and its GPU too. Nothing changes for None.

    TypeError if `stream` is neither a Stream nor None.

    >>> with minipar.cuda.stream(minipar.cuda.Stream() if minipar.cuda.is_available() else None):
    ...     x = minipar.ones(3) * 2
    """

    def __init__(self, stream: Stream | None) -> None:
        if not isinstance(stream, (Stream, type(None))):
            raise TypeError(f"stream must be a minipar.cuda.Stream or None, not {stream!r}")
        self._stream = stream
        self._inside: list[Any] = []  # a stack: the same object may be entered again inside itself

    def __enter__(self) -> None:
        if self._stream is not None:
            import cupy

            gpu = cupy.cuda.Device(self._stream.device.index)
            gpu.__enter__()
            self._stream._stream.__enter__()
            self._inside.append(gpu)

    def __exit__(self, *error: Any) -> None:
        if self._stream is not None:
            self._stream._stream.__exit__(*error)
            self._inside.pop().__exit__(*error)

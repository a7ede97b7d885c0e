"""What stands for `cupy.cuda`: two GPUs, their streams, events and memory, with CuPy's names and arguments.

Nothing is asynchronous. A stream remembers what it was given and waited for (`given`), a pool what it was told and how
many bytes arrays hold of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

GPUS = 2
MEMORY = 2**30  # bytes of each
PROPERTIES = {
    "name": b"Stand-in", "major": 9, "minor": 0, "totalGlobalMem": MEMORY, "multiProcessorCount": 4, "warpSize": 32,
    "sharedMemPerBlock": 49152, "regsPerMultiprocessor": 65536, "l2CacheSize": 2**22,
}  # fmt: skip


class _Current(threading.local):
    """What CUDA keeps for each thread."""

    def __init__(self) -> None:
        self.gpu = 0
        self.streams: list[list[Stream]] = [[Stream.null] for _ in range(GPUS)]  # of each GPU, the last is current


class Device:
    """Stands for cupy.cuda.Device."""

    def __init__(self, device: int | None = None) -> None:
        self.id = current.gpu if device is None else int(device)
        self._before: list[int] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None  # type: ignore[assignment]

    def use(self) -> Device:
        if not 0 <= self.id < GPUS:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        current.gpu = self.id
        return self

    def synchronize(self) -> None:
        pass

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{self.id:02X}:00.0"

    @property
    def attributes(self) -> dict[str, int]:
        return {"ComputeMode": 0}

    @property
    def mem_info(self) -> tuple[int, int]:
        return MEMORY // 4, MEMORY

    def __enter__(self) -> Device:
        self._before.append(current.gpu)
        return self.use()

    def __exit__(self, *_: object) -> None:
        current.gpu = self._before.pop()


class Event:
    """Stands for cupy.cuda.Event; `done` from the start, unless a test says otherwise."""

    done = True

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.block, self.disable_timing, self.device_id = block, disable_timing, current.gpu
        self.recorded: Stream | None = None

    def record(self, stream: Stream | None = None) -> None:
        stream = get_current_stream() if stream is None else stream
        if self.device_id != stream._gpu():
            raise RuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
        self.recorded = stream
        stream.given.append(("record", self))

    def synchronize(self) -> None:
        pass


class Stream:
    """Stands for cupy.cuda.Stream."""

    null: Stream
    done = True
    _handles = count(1)

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None
    ) -> None:
        self.ptr, self.device_id = (0, -1) if null else (next(self._handles), current.gpu)
        self.is_non_blocking, self.priority = non_blocking, priority or 0
        self.given: list[tuple[str, Any]] = []

    def _gpu(self) -> int:
        return current.gpu if self.device_id == -1 else self.device_id

    def use(self) -> Stream:
        self._check()
        current.streams[current.gpu][-1] = self
        return self

    def _check(self) -> None:
        if self._gpu() != current.gpu:
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with the current "
                f"device ({current.gpu})"
            )

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        self.given.append(("wait", event))

    def synchronize(self) -> None:
        self.given.append(("synchronize", None))

    def __enter__(self) -> Stream:
        self._check()
        current.streams[current.gpu].append(self)
        return self

    def __exit__(self, *_: object) -> None:
        current.streams[current.gpu].pop()


Stream.null = Stream(null=True)
current = _Current()


def get_current_stream(device_id: int = -1) -> Stream:
    return current.streams[current.gpu if device_id == -1 else device_id][-1]


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    if start_event.disable_timing or end_event.disable_timing:
        raise RuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
    return 1.5


class PooledMemory:
    """Stands for cupy.cuda.memory.PooledMemory: goes back to its pool when nobody refers to it."""

    def __init__(self, pool: MemoryPool, size: int) -> None:
        self.size, self._pool, self._gpu = size, pool, current.gpu
        self._stream = get_current_stream()  # which alone is given it again
        pool.used[self._gpu] += size
        pool.total[self._gpu] = max(pool.total[self._gpu], pool.used[self._gpu])

    def __del__(self) -> None:
        self._pool.used[self._gpu] -= self.size


class MemoryPool:
    """Stands for cupy.cuda.MemoryPool: every call is about the current GPU."""

    def __init__(self, allocator: Any = None) -> None:
        self.used, self.total, self.limits = [0] * GPUS, [0] * GPUS, [0] * GPUS

    def malloc(self, size: int) -> SimpleNamespace:
        """A MemoryPointer's `mem` and `device_id`: the numbers themselves are NumPy's to keep."""
        return SimpleNamespace(mem=PooledMemory(self, -(-size // 512) * 512), device_id=current.gpu)

    def used_bytes(self) -> int:
        return self.used[current.gpu]

    def total_bytes(self) -> int:
        return self.total[current.gpu]

    def free_all_blocks(self, stream: Stream | None = None) -> None:
        self.total[current.gpu] = self.used[current.gpu]

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at the same time")
        self.limits[current.gpu] = int(MEMORY * (fraction or 0)) if size is None else size

    def get_limit(self) -> int:
        return self.limits[current.gpu]


def get_allocator() -> Callable[[int], Any]:
    return current_allocator[-1]


def set_allocator(allocator: Callable[[int], Any] | None = None) -> None:
    current_allocator[:] = [MemoryPool().malloc if allocator is None else allocator]


current_allocator: list[Callable[[int], Any]] = []  # of all threads


def alloc(size: int) -> Any:
    return get_allocator()(size)


def make_cuda(pool: MemoryPool) -> SimpleNamespace:
    """The module `cupy.cuda`, which allocates from this pool."""
    current.__dict__.update(vars(_Current()))
    set_allocator(pool.malloc)
    runtime = SimpleNamespace(
        getDeviceCount=lambda: GPUS,
        getDevice=lambda: current.gpu,
        setDevice=lambda device: Device(device).use(),
        getDeviceProperties=lambda device: {**PROPERTIES, "name": b"Stand-in %d" % device},
        memGetInfo=lambda: Device().mem_info,
        deviceSynchronize=lambda: None,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
    )
    return SimpleNamespace(
        alloc=alloc, get_allocator=get_allocator, set_allocator=set_allocator, Device=Device, Event=Event,
        MemoryPool=MemoryPool, Stream=Stream, get_current_stream=get_current_stream,
        get_elapsed_time=get_elapsed_time, is_available=lambda: True, runtime=runtime,
    )  # fmt: skip

"""Which GPUs there are, which of them is current, and what they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..backend import device as Device
from ..backend.device import cupy_for
from ..kernels.cuda import detect


def gpu(place: Any, function: str) -> Device:
    """The GPU that a user wrote as a number, a string or a device; None is this thread's current one.

    TypeError or ValueError, which name the function, for what is no GPU. Whether there is such a one is not asked.
    """
    if place is None:
        return Device("cuda")
    if isinstance(place, int) and not isinstance(place, bool):
        return Device("cuda", place)
    found = Device(place)
    if found.type != "cuda":
        raise ValueError(f"{function}: device must be a GPU, not {str(place)!r}")
    return found


@contextmanager
def on_gpu(place: Any, function: str) -> Iterator[Any]:
    """Inside, that GPU is the current one; gives the module CuPy. RuntimeError, which says why, if it cannot be."""
    wanted = gpu(place, function)
    cupy = cupy_for(wanted, function)
    with cupy.cuda.Device(wanted.index):
        yield cupy


def is_available() -> bool:
    """Whether tensors can be moved to "cuda" here. Never raises.

    >>> minipar.cuda.is_available() == (minipar.cuda.device_count() > 0)
    True
    """
    return detect.status()[0]


def device_count() -> int:
    """The number of GPUs; 0 where none can be used.

    >>> minipar.cuda.device_count() >= 0
    True
    """
    if not is_available():
        return 0
    import cupy

    return cupy.cuda.runtime.getDeviceCount()


def current_device() -> int:
    """The number of this thread's current GPU. RuntimeError where there is none.

    >>> if minipar.cuda.is_available():
    ...     with minipar.cuda.device(0):
    ...         assert minipar.cuda.current_device() == 0
    """
    with on_gpu(None, "current_device") as cupy:
        return cupy.cuda.runtime.getDevice()


def set_device(device: Any) -> None:
    """Make a GPU this thread's current one: a number, "cuda:1" or a device. `minipar.cuda.device` does it for a block.

    TypeError or ValueError if `device` is no GPU, RuntimeError if there is no such one.

    >>> if minipar.cuda.is_available():
    ...     minipar.cuda.set_device(minipar.cuda.current_device())
    """
    wanted = gpu(device, "set_device")
    cupy_for(wanted, "set_device").cuda.Device(wanted.index).use()


class device:
    """Context manager: inside, this GPU is the thread's current one (None: the one that is, already).

    TypeError or ValueError if `device` is no GPU; RuntimeError, on entering, if there is no such one.

    >>> if minipar.cuda.is_available():
    ...     with minipar.cuda.device("cuda:0"):
    ...         assert minipar.ones(2, device="cuda").device.index == 0
    """

    def __init__(self, device: Any) -> None:
        self._place = gpu(device, "device")
        self._inside: list[Any] = []  # a stack: the same object may be entered again inside itself

    def __enter__(self) -> None:
        inside = cupy_for(self._place, "device").cuda.Device(self._place.index)
        inside.__enter__()
        self._inside.append(inside)

    def __exit__(self, *error: Any) -> None:
        self._inside.pop().__exit__(*error)


class DeviceProperties(NamedTuple):
    """What `get_device_properties` tells of a GPU: by PyTorch's names."""

    name: str
    major: int
    minor: int
    total_memory: int  # bytes
    multi_processor_count: int
    warp_size: int
    shared_memory_per_block: int  # bytes
    regs_per_multiprocessor: int  # of 32 bits each


def get_device_properties(device: Any = None) -> DeviceProperties:
    """A GPU's `name`, compute capability (`major`, `minor`), `total_memory` in bytes, `multi_processor_count`, ….

    TypeError or ValueError if `device` is no GPU, RuntimeError if there is no such one.

    >>> if minipar.cuda.is_available():
    ...     assert minipar.cuda.get_device_properties(0).warp_size == 32
    """
    return _properties(device, "get_device_properties")


def _properties(device: Any, function: str) -> DeviceProperties:
    wanted = gpu(device, function)
    runtime = cupy_for(wanted, function).cuda.runtime
    told = runtime.getDeviceProperties(runtime.getDevice() if wanted.index is None else wanted.index)
    return DeviceProperties(
        name=told["name"].decode(),
        major=told["major"],
        minor=told["minor"],
        total_memory=told["totalGlobalMem"],
        multi_processor_count=told["multiProcessorCount"],
        warp_size=told["warpSize"],
        shared_memory_per_block=told["sharedMemPerBlock"],
        regs_per_multiprocessor=told["regsPerMultiprocessor"],
    )


def get_device_name(device: Any = None) -> str:
    """What its maker calls a GPU: "NVIDIA H200". Errors as of `get_device_properties`.

    >>> if minipar.cuda.is_available():
    ...     assert minipar.cuda.get_device_name()
    """
    return _properties(device, "get_device_name").name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """A GPU's compute capability: (9, 0) is sm_90. Errors as of `get_device_properties`.

    >>> if minipar.cuda.is_available():
    ...     assert minipar.cuda.get_device_capability() >= (7, 0)
    """
    told = _properties(device, "get_device_capability")
    return told.major, told.minor


def synchronize(device: Any = None) -> None:
    """Wait until the GPU (the current one, or `device`) has done all that it was given; before reading a clock.

    TypeError or ValueError if `device` is no GPU, RuntimeError if there is no such one; IndexError for a class number
    that was wrong in a loss computed on a GPU.

    >>> if minipar.cuda.is_available():
    ...     minipar.cuda.synchronize()
    """
    with on_gpu(device, "synchronize") as cupy:
        from ..kernels.cuda import wrong_targets  # not before there is a GPU: `import minipar` would take the longer

        cupy.cuda.runtime.deviceSynchronize()
        wrong_targets.tell()

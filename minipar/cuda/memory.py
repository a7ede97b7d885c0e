"""A GPU's memory: how much is taken, how much there is, how much may be taken.

CuPy's pool asks the driver for memory when a tensor needs it and keeps what tensors give back (TensorFlow calls this
"memory growth" and must be told to; PyTorch's is such a pool too). The pool counts what every library in this process
has taken through CuPy, in blocks of 512 bytes. Peaks are counted from the first use of a GPU on
(`backend/gpu_memory.py`).
"""

from __future__ import annotations

from typing import Any

from ..backend.gpu_memory import watched
from .devices import gpu, is_available, on_gpu


def memory_allocated(device: Any = None) -> int:
    """The bytes of a GPU that tensors hold, in blocks of 512; 0 where there is no GPU.

    TypeError or ValueError if `device` is no GPU, RuntimeError if there are others only.

    >>> minipar.cuda.memory_allocated() <= minipar.cuda.memory_reserved()
    True
    """
    return _of_pool("used_bytes", device, "memory_allocated")


def memory_reserved(device: Any = None) -> int:
    """The bytes of a GPU that this process has of the driver: what tensors hold, and what `empty_cache` would return.

    0 where there is no GPU; errors as of `memory_allocated`.

    >>> minipar.cuda.memory_reserved() >= 0
    True
    """
    return _of_pool("total_bytes", device, "memory_reserved")


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes of a GPU that tensors have held at once, since the first one or `reset_peak_memory_stats`.

    0 where there is no GPU; errors as of `memory_allocated`.

    >>> minipar.cuda.max_memory_allocated() >= minipar.cuda.memory_allocated()
    True
    """
    return _peaks(device, "max_memory_allocated")[0]


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes of a GPU that this process has had of the driver, since the first or `reset_peak_memory_stats`.

    What CuPy gave back by itself, because memory had run out, may have been more. 0 where there is no GPU; errors as of
    `memory_allocated`.

    >>> minipar.cuda.max_memory_reserved() >= minipar.cuda.max_memory_allocated()
    True
    """
    return _peaks(device, "max_memory_reserved")[1]


def _peaks(device: Any, function: str) -> tuple[int, int]:
    place = gpu(device, function)
    if not is_available():
        return 0, 0
    with on_gpu(place, function) as cupy:
        return watched(cupy).peaks(cupy.cuda.runtime.getDevice())


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let `max_memory_allocated` and `max_memory_reserved` of a GPU begin anew, at what is held now.

    TypeError or ValueError if `device` is no GPU, RuntimeError if there is no such one.

    >>> if minipar.cuda.is_available():
    ...     minipar.cuda.reset_peak_memory_stats()
    ...     assert minipar.cuda.max_memory_allocated() == minipar.cuda.memory_allocated()
    """
    with on_gpu(device, "reset_peak_memory_stats") as cupy:
        watched(cupy).reset(cupy.cuda.runtime.getDevice())


def _of_pool(count: str, device: Any, function: str) -> int:
    place = gpu(device, function)
    if not is_available():
        return 0
    with on_gpu(place, function) as cupy:
        return getattr(cupy.get_default_memory_pool(), count)()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """(free, total) bytes of a GPU, as the driver counts them: of all processes.

    TypeError or ValueError if `device` is no GPU, RuntimeError if there is no such one.

    >>> if minipar.cuda.is_available():
    ...     free, total = minipar.cuda.mem_get_info()
    ...     assert 0 <= free <= total
    """
    with on_gpu(device, "mem_get_info") as cupy:
        free, total = cupy.cuda.runtime.memGetInfo()
    return free, total


def empty_cache() -> None:
    """Give the memory of the current GPU that no tensor holds any longer back to the driver. Nothing without a GPU.

    >>> minipar.cuda.empty_cache()
    """
    if is_available():
        with on_gpu(None, "empty_cache") as cupy:
            watched(cupy).peaks(cupy.cuda.runtime.getDevice())  # the pool is about to have less
            cupy.get_default_memory_pool().free_all_blocks()


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let this process take at most `fraction`, of (0, 1], of a GPU's memory; a tensor beyond that is a MemoryError.

    Without a limit, memory is taken as tensors need it (TensorFlow's "memory growth"). The limit is on tensors: CUDA
    itself and the kernels take some hundred MiB more. TypeError if `fraction` is no
    number, ValueError if it is not of (0, 1]; TypeError or ValueError if `device` is no GPU, RuntimeError if there is
    no such one.

    >>> if minipar.cuda.is_available():
    ...     minipar.cuda.set_per_process_memory_fraction(1.0)
    """
    if not isinstance(fraction, (int, float)) or isinstance(fraction, bool):
        raise TypeError(f"fraction must be a number, not {type(fraction).__name__}")
    if not 0 < fraction <= 1:  # to CuPy, 0 means that there is no limit
        raise ValueError(f"fraction must be more than 0 and at most 1, not {fraction!r}")
    with on_gpu(device, "set_per_process_memory_fraction") as cupy:
        cupy.get_default_memory_pool().set_limit(fraction=float(fraction))

"""A GPU's memory: how much is taken, how much there is, how much may be taken.

CuPy's pool asks the driver for memory when a tensor needs it and keeps what tensors give back (TensorFlow calls this
"memory growth" and must be told to; PyTorch's is such a pool too). The pool counts what every library in this process
has taken through CuPy, in blocks of 512 bytes.
"""

from __future__ import annotations

from typing import Any

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
        import cupy

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

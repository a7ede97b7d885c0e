"""Is there a GPU that minipar can use? (`minipar.cuda`, spelled as `torch.cuda`.)

"Usable" means all of it: a driver, a device, CuPy, and the libraries that compile the CUDA kernels. Why not, if not,
says `minipar doctor`.
"""

from __future__ import annotations

from typing import Any

from .backend import device as Device
from .backend import random
from .kernels.cuda import detect

__all__ = ["device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all", "synchronize"]


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


def manual_seed(seed: int) -> None:
    """`minipar.manual_seed`: one generator serves every device. TypeError or ValueError as there.

    >>> minipar.cuda.manual_seed(3)
    >>> minipar.initial_seed()
    3
    """
    random.manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """The same, however many GPUs there are.

    >>> minipar.cuda.manual_seed_all(3)
    """
    random.manual_seed(seed)


def synchronize(device: Any = None) -> None:
    """Wait until the GPU (the current one, or `device`) has done all that it was given; before reading a clock.

    ValueError if `device` is no GPU, RuntimeError where there is none.

    >>> if minipar.cuda.is_available():
    ...     minipar.cuda.synchronize()
    """
    place = Device("cuda" if device is None else device)
    if place.type != "cuda":
        raise ValueError(f"synchronize: device must be a GPU, not {device!r}")
    if not is_available():
        raise RuntimeError("synchronize: there is no usable GPU; `minipar doctor` says why")
    import cupy

    with cupy.cuda.Device(place.index):
        cupy.cuda.runtime.deviceSynchronize()


def empty_cache() -> None:
    """Give the GPU memory that no tensor holds any longer back to the driver. Nothing to do where there is no GPU.

    >>> minipar.cuda.empty_cache()
    """
    if is_available():
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()

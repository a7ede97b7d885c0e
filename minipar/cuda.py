"""Is there a GPU that minipar can use? (`minipar.cuda`, spelled as `torch.cuda`.)

"Usable" means all of it: a driver, a device, CuPy, and the libraries that compile the CUDA kernels. Why not, if not,
says `minipar doctor`.
"""

from __future__ import annotations

from .kernels.cuda import detect

__all__ = ["device_count", "is_available"]


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

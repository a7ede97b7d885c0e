"""Launches a planned kernel on the GPU: its cubin is loaded by CuPy and runs on CuPy's current stream."""

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import cubin_cache
from .plan import Kernel, Plan

_loading = threading.Lock()


def launch(planner: Callable[..., Plan], first: Any, *operands: Any) -> Any:
    """The result of the launch that ``planner`` plans for these operands, on the device of the first.

    The result is complete once CuPy's current stream of that device has got there; the host does not wait. Raises
    TypeError if ``first`` is no CuPy array, and whatever the planner raises.
    """
    import cupy

    if not isinstance(first, cupy.ndarray):
        raise TypeError(f"the CUDA kernels take CuPy arrays, got {type(first).__name__}")
    with first.device:
        plan = planner(first, *operands)
        if plan.blocks:
            # CuPy passes a Python int as 64 bits; the kernels take 32.
            args = tuple(np.int32(value) if isinstance(value, int) else value for value in plan.args)
            _loaded(plan.kernel, first.device.id)((plan.blocks,), (plan.kernel.threads,), args)
    return plan.result


def capability_of(device: Any) -> tuple[int, int]:
    """The compute capability of CuPy's device, (9, 0) for an H100."""
    digits = device.compute_capability  # "90" is 9.0, "120" is 12.0
    return int(digits[:-1]), int(digits[-1])


@cache
def _loaded(kernel: Kernel, device: int) -> Callable[..., None]:
    """The kernel ready to run on a device; the threads that ask for it first wait for one of them to compile it."""
    import cupy

    with _loading:
        cubin = cubin_cache.cubin_file(kernel, capability_of(cupy.cuda.Device(device)))
        return cupy.RawModule(path=str(cubin)).get_function(kernel.name)

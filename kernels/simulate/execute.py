"""Runs a whole grid, block after block."""

import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from .blocks import Block
from .clock import Clock
from .common import CommonMemory
from .device import DYNAMIC_BYTES, Device
from .extent import Index3, positions
from .traffic import Traffic
from .translate import Lines, Translation

Dimensions = int | tuple[int, ...]

BLOCK_LIMITS = Index3(1024, 1024, 64)
GRID_LIMITS = Index3(2**31 - 1, 65535, 65535)
THREADS = 1024

# What CuPy's and Numba's allocators give the start of their memory; a view may begin anywhere in it.
ALIGNMENT = 256


class Ran(NamedTuple):
    """A launch that is over: the ``barriers`` that its blocks passed in all; the ``lines`` of the kernel's source."""

    name: str
    grid: Index3
    block: Index3
    barriers: int
    lines: Lines


def execute(
    kernel: Callable[..., None],
    grid: Dimensions,
    block: Dimensions,
    args: Sequence[Any],
    traffic: Traffic | None = None,
    shared_mem: int = 0,
) -> Ran:
    """Run ``kernel`` on ``grid`` x ``block`` threads, block after block; ``traffic`` counts the accesses.

    ``shared_mem``: the bytes of shared memory of each block whose arrays have a dynamic size.
    """
    source = getattr(kernel, "py_func", kernel)
    if not isinstance(source, FunctionType) or source.__name__ == "<lambda>":
        raise TypeError(f"kernel must be a function made by def, or such decorated by cuda.jit, got {kernel!r}")
    grid, block = _extent("grid", grid, GRID_LIMITS), _extent("block", block, BLOCK_LIMITS)
    if block.x * block.y * block.z > THREADS:
        raise ValueError(f"block may have {THREADS} threads, got {tuple(block)}")
    if not isinstance(shared_mem, (int, np.integer)) or not 0 <= shared_mem <= DYNAMIC_BYTES:
        raise ValueError(f"shared_mem must be a number of bytes from 0 to {DYNAMIC_BYTES}, got {shared_mem!r}")
    clock = Clock(grid, block)
    device = Device(grid, block, clock, traffic, int(shared_mem))
    translation = Translation(device, clock)
    thread = translation.kernel(source)
    operands = _operands(inspect.signature(source).bind(*args).arguments, clock, traffic)
    threads, barriers = positions(block), 0
    with np.errstate(all="ignore"):  # floats overflow to infinity, silently, on a GPU too
        for number, index in enumerate(positions(grid)):
            device.enter_block(index)
            running = Block(number, lambda: thread(*operands), threads, device, clock)
            running.run(traffic)
            barriers += running.barriers
    return Ran(source.__name__, grid, block, barriers, translation.lines)


def _operands(given: dict[str, Any], clock: Clock, traffic: Traffic | None) -> list[Any]:
    """The arguments as a kernel sees them. An array that is given twice is one memory, so that its races are seen."""
    operands: list[Any] = []
    for name, value in given.items():
        if not isinstance(value, np.ndarray):
            operands.append(_number(name, value))
            continue
        array = _given(name, value, clock, traffic)
        for other in operands:
            if isinstance(other, CommonMemory) and np.may_share_memory(value, other.array):
                if _place(value) != _place(other.array):
                    raise ValueError(
                        f"{name} shares memory with {other.name} but is another view of it: copy one of them"
                    )
                array = other
        operands.append(array)
    return operands


def _place(array: np.ndarray) -> tuple:
    return array.ctypes.data, array.shape, array.dtype


def _given(name: str, array: np.ndarray, clock: Clock, traffic: Traffic | None) -> CommonMemory:
    """An argument, in global memory. It lies in the memory of its owner as it would on a GPU."""
    owner: Any = array
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    offset = array.ctypes.data - owner.ctypes.data if isinstance(owner, np.ndarray) else 0
    start = offset % ALIGNMENT
    return CommonMemory(name, array, start & -start or ALIGNMENT, "global", clock, traffic, start)


def _number(name: str, value: Any) -> Any:
    if not isinstance(value, (int, float, complex, np.number, np.bool_)):
        raise TypeError(f"{name} must be a NumPy array or a number, got {type(value).__name__}")
    if isinstance(value, (int, np.integer)):
        return int(value)
    return np.float64(value) if isinstance(value, float) else value


def _extent(name: str, size: Dimensions, limits: Index3) -> Index3:
    sizes = size if isinstance(size, tuple) else (size,)
    if not 1 <= len(sizes) <= 3 or not all(isinstance(n, (int, np.integer)) for n in sizes):
        raise TypeError(f"{name} must be a whole number or a tuple of up to three, got {size!r}")
    extent = Index3(*sizes)
    if not all(0 < n <= limit for n, limit in zip(extent, limits)):
        raise ValueError(f"{name} must have 1 to {tuple(limits)} along x, y, z, got {tuple(extent)}")
    return extent

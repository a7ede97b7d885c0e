"""Runs a whole grid, block after block."""

import inspect
import itertools
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from .blocks import Block
from .clock import Clock
from .common import CommonMemory
from .device import Device, Index3
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
) -> Ran:
    """Run ``kernel`` on ``grid`` x ``block`` threads, block after block; ``traffic`` counts the accesses."""
    source = getattr(kernel, "py_func", kernel)
    if not isinstance(source, FunctionType) or source.__name__ == "<lambda>":
        raise TypeError(f"kernel must be a function made by def, or such decorated by cuda.jit, got {kernel!r}")
    grid, block = _extent("grid", grid, GRID_LIMITS), _extent("block", block, BLOCK_LIMITS)
    if block.x * block.y * block.z > THREADS:
        raise ValueError(f"block may have {THREADS} threads, got {tuple(block)}")
    clock = Clock()
    operands = [
        _given(name, value, clock, traffic) if isinstance(value, np.ndarray) else _number(name, value)
        for name, value in inspect.signature(source).bind(*args).arguments.items()
    ]
    device = Device(grid, block, clock, traffic)
    translation = Translation(device)
    thread = translation.kernel(source)
    positions, barriers = _positions(block), 0
    with np.errstate(all="ignore"):  # floats overflow to infinity, silently, on a GPU too
        for number, index in enumerate(_positions(grid)):
            device.enter_block(index)
            running = Block(number, lambda: thread(*operands), positions, device, clock)
            running.run(traffic)
            barriers += running.barriers
    return Ran(source.__name__, grid, block, barriers, translation.lines)


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
    return int(value) if isinstance(value, (int, np.integer)) else value


def _extent(name: str, size: Dimensions, limits: Index3) -> Index3:
    sizes = size if isinstance(size, tuple) else (size,)
    if not 1 <= len(sizes) <= 3 or not all(isinstance(n, (int, np.integer)) for n in sizes):
        raise TypeError(f"{name} must be a whole number or a tuple of up to three, got {size!r}")
    extent = Index3(*sizes)
    if not all(0 < n <= limit for n, limit in zip(extent, limits)):
        raise ValueError(f"{name} must have 1 to {tuple(limits)} along x, y, z, got {tuple(extent)}")
    return extent


def _positions(extent: Index3) -> list[Index3]:
    z, y, x = (range(size) for size in reversed(extent))
    return [Index3(i, j, k) for k, j, i in itertools.product(z, y, x)]

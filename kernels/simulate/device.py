"""Stands in for the module ``numba.cuda`` inside a kernel."""

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from . import stops
from .clock import Clock
from .collectives import COLLECTIVES, WARP
from .common import CommonMemory
from .errors import KernelError, here, kernel_frame, place
from .memory import Memory
from .scalars import dtype_of
from .traffic import Traffic

SHARED_BYTES = 48 * 1024  # what a block may have without asking for more at its launch


class Index3(NamedTuple):
    """A position in, or the extent of, a block or a grid."""

    x: int = 1
    y: int = 1
    z: int = 1


class Device:
    """The names of ``cuda`` that kernels use. ``threadIdx`` and ``blockIdx`` are set before a thread runs."""

    warpsize = WARP

    def __init__(self, grid: Index3, block: Index3, clock: Clock, traffic: Traffic | None):
        self.gridDim, self.blockDim = grid, block
        self._clock, self._traffic = clock, traffic
        self.blockIdx = self.threadIdx = Index3(0, 0, 0)
        self.shared = _Names("shared", array=self._shared_array)
        self.local = _Names("local", array=self._local_array)
        self.atomic = _Names("atomic", **{name: _atomic(function) for name, function in ATOMICS.items()})
        self.syncthreads = stops.barrier
        for name in COLLECTIVES:
            setattr(self, name, stops.collective(name))

    def __getattr__(self, name: str) -> Any:
        raise _unknown(name)

    def enter_block(self, index: Index3) -> None:
        self.blockIdx = index
        self._shared_arrays: dict[Any, CommonMemory] = {}

    @property
    def laneid(self) -> int:
        return self._clock.now.thread % WARP

    def grid(self, axes: int) -> int | tuple[int, ...]:
        """This thread's position in the whole grid along the first ``axes`` axes."""
        position = tuple(b * n + t for b, n, t in zip(self.blockIdx, self.blockDim, self.threadIdx))
        return position[0] if axes == 1 else position[:axes]

    def gridsize(self, axes: int) -> int | tuple[int, ...]:
        """The threads of the whole grid along the first ``axes`` axes."""
        size = tuple(b * n for b, n in zip(self.gridDim, self.blockDim))
        return size[0] if axes == 1 else size[:axes]

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return a * b + c  # rounded twice here, once on the GPU

    def _shared_array(self, shape: Any, dtype: Any, alignment: int | None = None, name: str = "") -> CommonMemory:
        frame = kernel_frame()
        where = place(frame)  # one array a place in the source, the same for the whole block
        if where not in self._shared_arrays:
            name = name or f"shared array of line {frame.f_lineno}"
            array = _array(name, shape, dtype)
            self._shared_arrays[where] = CommonMemory(
                name, array, alignment or array.itemsize, "shared", self._clock, self._traffic
            )
            total = sum(memory.array.nbytes for memory in self._shared_arrays.values())
            if total > SHARED_BYTES:
                raise KernelError(f"{total} bytes of shared memory, a block has {SHARED_BYTES}{here()}")
        return self._shared_arrays[where]

    def _local_array(self, shape: Any, dtype: Any, alignment: int | None = None, name: str = "") -> Memory:
        array = _array(name := name or f"local array of line {kernel_frame().f_lineno}", shape, dtype)
        return Memory(name, array, alignment or array.itemsize)


class _Names(SimpleNamespace):
    """``cuda.shared``, ``cuda.local`` or ``cuda.atomic``."""

    def __init__(self, name: str, **known: Any):
        super().__init__(**known)
        self._name = name

    def __getattr__(self, name: str) -> Any:
        raise _unknown(f"{self._name}.{name}")


def _unknown(name: str) -> Exception:
    if "__" in name:
        return AttributeError(name)  # Python looks for its own
    return NotImplementedError(f"the simulator does not know cuda.{name}{here()}")


def _array(name: str, shape: Any, dtype: Any) -> np.ndarray:
    if not np.prod(shape):
        raise NotImplementedError(f"{name}: the simulator has no dynamic shared memory, only constant shapes{here()}")
    return np.zeros(shape, dtype_of(dtype))


def _atomic(function: Callable[[Any, Any], Any]) -> Callable[[Memory, Any, Any], Any]:
    return lambda array, index, value: array.update(index, function, value)


ATOMICS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "max": max,
    "min": min,
    "and_": operator.and_,
    "or_": operator.or_,
    "xor": operator.xor,
    "exch": lambda old, new: new,
}

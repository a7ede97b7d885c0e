"""Stands in for the module ``numba.cuda`` inside a kernel."""

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import stops
from .bits import BITS
from .clock import Clock
from .collectives import COLLECTIVES, WARP
from .common import CommonMemory, ConstantMemory
from .errors import KernelError, here, kernel_frame, place
from .extent import Index3
from .memory import Memory
from .scalars import dtype_of
from .traffic import Traffic

SHARED_BYTES = 48 * 1024  # what a block may have of arrays of constant shapes
DYNAMIC_BYTES = 227 * 1024  # and if its launch asks for more, on an A100 (163 KB) or an H100
CONSTANT_BYTES = 64 * 1024


class Device:
    """The names of ``cuda`` that kernels use. ``threadIdx`` and ``blockIdx`` are set before a thread runs."""

    warpsize = WARP

    def __init__(self, grid: Index3, block: Index3, clock: Clock, traffic: Traffic | None, shared_mem: int = 0):
        self.gridDim, self.blockDim = grid, block
        self._clock, self._traffic, self._dynamic_bytes = clock, traffic, shared_mem
        self._constants: dict[int, ConstantMemory] = {}
        self.blockIdx = self.threadIdx = Index3(0, 0, 0)
        self.shared = _Names("shared", array=self._shared_array, makes_arrays=True)
        self.local = _Names("local", array=self._local_array, makes_arrays=True)
        self.const = _Names("const", array_like=self._constant_array)
        self.atomic = _Names("atomic", **{name: _atomic(function) for name, function in ATOMICS.items()})
        self.syncthreads = stops.Waiting("cuda.syncthreads", stops.barrier)
        for name in COLLECTIVES:
            setattr(self, name, stops.Waiting(f"cuda.{name}", stops.collective(name)))
        for name, function in BITS.items():
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise _unknown(name)

    def constant(self, name: str, array: np.ndarray) -> ConstantMemory:
        """An array that the kernel's surroundings hold."""
        if id(array) not in self._constants:
            if array.nbytes > CONSTANT_BYTES:
                raise ValueError(
                    f"{name} has {array.nbytes} bytes, constant memory {CONSTANT_BYTES}: make it an argument"
                )
            self._constants[id(array)] = ConstantMemory(name, array, self._clock, self._traffic)
        return self._constants[id(array)]

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

    def selp(self, condition: Any, a: Any, b: Any) -> Any:
        return a if condition else b

    def _shared_array(self, shape: Any, dtype: Any, alignment: int | None = None, name: str = "") -> CommonMemory:
        frame = kernel_frame()
        name = name or f"shared array of line {frame.f_lineno}"
        dtype, is_dynamic = dtype_of(dtype), not np.prod(shape)
        where = "dynamic" if is_dynamic else place(frame)  # one array a place in the source, the same for the block
        arrays = self._shared_arrays
        if where not in arrays:
            array = np.zeros(self._dynamic_size(name, dtype) if is_dynamic else shape, dtype)
            aligned = alignment or (16 if is_dynamic else array.itemsize)
            arrays[where] = CommonMemory(name, array, aligned, "shared", self._clock, self._traffic)
            self._check_shared_bytes(sum(memory.array.nbytes for memory in arrays.values()))
        if arrays[where].array.dtype != dtype:
            raise NotImplementedError(f"all dynamic shared memory is one: {name} in two dtypes{here()}")
        return arrays[where]

    def _dynamic_size(self, name: str, dtype: np.dtype) -> int:
        size = self._dynamic_bytes // dtype.itemsize
        if not size:
            given = f"shared_mem={self._dynamic_bytes}"
            raise KernelError(f"{name} has as many bytes as the launch says, which is {given}{here()}")
        return size

    def _check_shared_bytes(self, total: int) -> None:
        limit = DYNAMIC_BYTES if self._dynamic_bytes else SHARED_BYTES
        if total > limit:
            raise KernelError(f"{total} bytes of shared memory, a block has {limit}{here()}")

    def _local_array(self, shape: Any, dtype: Any, alignment: int | None = None, name: str = "") -> Memory:
        array = np.zeros(shape, dtype_of(dtype))
        return Memory(name or f"local array of line {kernel_frame().f_lineno}", array, alignment or array.itemsize)

    def _constant_array(self, array: Any) -> ConstantMemory:
        if not isinstance(array, ConstantMemory):
            raise KernelError(f"cuda.const.array_like takes an array from outside of the kernel, got {array!r}{here()}")
        return array


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


def _atomic(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda array, index, *values: array.update(index, lambda old: function(old, *values))


# The new value, of the old one and what the kernel gives.
ATOMICS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "max": max,
    "min": min,
    "and_": operator.and_,
    "or_": operator.or_,
    "xor": operator.xor,
    "exch": lambda old, new: new,
    "cas": lambda old, expected, new: new if old == expected else old,
    "inc": lambda old, last: 0 if old >= last else old + 1,
    "dec": lambda old, last: last if old == 0 or old > last else old - 1,
}

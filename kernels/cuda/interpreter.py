"""Runs a CUDA kernel's Python source on the CPU and reports what would go wrong on a GPU, with the kernel's line.

Each CUDA thread is a generator: the kernel's source is rewritten so that ``cuda.syncthreads()`` yields, and a block
runs by resuming all its threads from barrier to barrier. Every access to global or shared memory is recorded, and two
accesses to one element that no barrier orders, one of them a write, are a *data race*: they are found whichever of the
two happens to run first, between threads of one block and between blocks (the happens-before test of dynamic race
detectors; Flanagan & Freund 2009). Also found: a barrier that not all threads of a block reach, or that they reach in
different lines; an index that is negative or past the end; a read of shared or local memory never written; an int32
that overflows.

What it cannot show: speed, the rounding of fused multiply-adds, and anything that Numba's type inference does
differently from NumPy (the compile gate in tests/cuda looks at the generated code for that).

Kernels may use threadIdx, blockIdx, blockDim, gridDim, grid, gridsize, shared.array, local.array and syncthreads.
"""

import ast
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Generator
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.np.numpy_support import as_dtype

from .plan import Plan

Dimensions = int | tuple[int, ...]


class KernelError(AssertionError):
    """What a kernel did that a GPU would punish or silently get wrong; the message ends with the kernel's line."""


class Index3(NamedTuple):
    """A position in, or the extent of, a block or a grid."""

    x: int = 1
    y: int = 1
    z: int = 1


def run(plan: Plan) -> Any:
    """Carry out a plan over NumPy arrays, as ``launcher.run`` does over CuPy arrays, and return its result."""
    if plan.blocks:
        simulate(plan.kernel.function, plan.blocks, plan.kernel.threads, *plan.args)
    return plan.result


def simulate(kernel: Callable[..., None], grid: Dimensions, block: Dimensions, *args: Any) -> None:
    """Run ``kernel`` (plain, or decorated with ``cuda.jit``) on ``grid`` x ``block`` threads; arrays change in place.

    ``args`` are C-contiguous NumPy arrays and numbers; an array is seen flat if it is one-dimensional and by its axes
    otherwise, element by element. Raises KernelError at the first fault, and whatever the kernel itself raises.
    """
    source = getattr(kernel, "py_func", kernel)
    grid, block = _extent(grid), _extent(block)
    clock = _Clock()
    operands = [
        _Memory(name, value, clock, "given") if isinstance(value, np.ndarray) else _plain_number(value)
        for name, value in inspect.signature(source).bind(*args).arguments.items()
    ]
    device = _Device(grid, block, clock)
    threads = _as_generators(source, device)
    for index in _positions(grid):
        device.enter_block(index)
        _run_block(device, clock, lambda: threads(*operands))


def _run_block(device: "_Device", clock: "_Clock", start: Callable[[], Generator[int, None, None]]) -> None:
    """Resume every thread up to its next barrier, check that all stand at the same one; repeat until all returned."""
    clock.block += 1
    positions = list(_positions(device.blockDim))
    threads = [start() for _ in positions]
    while True:
        clock.interval += 1
        lines = []
        for number, (position, thread) in enumerate(zip(positions, threads)):
            device.threadIdx, clock.thread = position, number
            lines.append(next(thread, None))
        if len(set(lines)) > 1:
            raise KernelError(_divergence(lines))
        if lines[0] is None:
            return


def _divergence(lines: list[int | None]) -> str:
    places = []
    for line in sorted(set(lines), key=lambda line: line or 0):
        where = f"wait at line {line}" if line else "have returned"
        places.append(f"{lines.count(line)} threads {where} (the first is thread {lines.index(line)})")
    return f"divergent barrier: {', '.join(places)}"


class _Clock:
    """Who runs, and when: two accesses in one block are ordered if a barrier, the end of an interval, lies between."""

    block = thread = interval = 0


class _Access(NamedTuple):
    """The last write of an element, or all its reads so far; ``MANY`` where they were made by several."""

    block: int
    interval: int
    thread: int
    line: int


MANY = -1


class _Memory:
    """An array whose every element remembers who wrote and who read it. ``origin``: given, shared or local."""

    def __init__(self, name: str, array: np.ndarray, clock: _Clock, origin: str):
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} must be C-contiguous, got strides {array.strides} of shape {array.shape}")
        self.name, self.array, self.clock, self.origin = name, array, clock, origin
        self.writes: dict[Any, _Access] = {}
        self.reads: dict[Any, _Access] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, index: Any) -> Any:
        self._check_bounds(index)
        written = self.writes.get(index)
        if written is None:
            if self.origin != "given":
                raise KernelError(f"uninitialised read of {self.name}[{index}]{_here()}")
        elif self._concurrent(written):
            raise KernelError(self._race(index, "written", written, "read"))
        if self.origin != "local":
            self._record_read(index, self._access(sys._getframe(1).f_lineno))
        return self.array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._check_bounds(index)
        if self.origin != "local":
            for kind, earlier in (("written", self.writes.get(index)), ("read", self.reads.get(index))):
                if earlier is not None and self._concurrent(earlier):
                    raise KernelError(self._race(index, kind, earlier, "written"))
        self.writes[index] = self._access(sys._getframe(1).f_lineno)
        self.array[index] = value

    def _check_bounds(self, index: Any) -> None:
        shape = self.array.shape
        indices = index if type(index) is tuple else (index,)
        if len(indices) != len(shape):
            raise KernelError(f"{self.name} has {len(shape)} axes, indexed by {index}{_here()}")
        for i, size in zip(indices, shape):
            if not 0 <= i < size:
                what = "negative index" if i < 0 else "index out of bounds"
                raise KernelError(f"{what}: {self.name}[{index}], its shape is {shape}{_here()}")

    def _access(self, line: int) -> _Access:
        clock = self.clock
        return _Access(clock.block, clock.interval, clock.thread, line)

    def _record_read(self, index: Any, now: _Access) -> None:
        """Sum up the reads: which block, and of its latest interval which thread; enough to know a racing write."""
        earlier = self.reads.get(index)
        if earlier is not None:
            if earlier.block != now.block:
                now = now._replace(block=MANY)
            elif earlier.interval == now.interval and earlier.thread != now.thread:
                now = now._replace(thread=MANY)
        self.reads[index] = now

    def _concurrent(self, earlier: _Access) -> bool:
        """Could this access come before ``earlier`` on a GPU? Blocks run in any order, and threads between barriers."""
        clock = self.clock
        if earlier.block != clock.block:
            return True
        return earlier.interval == clock.interval and earlier.thread != clock.thread

    def _race(self, index: Any, kind: str, earlier: _Access, now: str) -> str:
        who = "other threads" if MANY in earlier[:3] else f"thread {earlier.thread} of block {earlier.block - 1}"
        clock = self.clock
        return (
            f"data race: {self.name}[{index}] is {kind} by {who} in line {earlier.line} and, with no barrier between, "
            f"{now} by thread {clock.thread} of block {clock.block - 1}{_here()}"
        )


def _here() -> str:
    """The line of the kernel that is being executed: the innermost frame outside this file."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f" in line {frame.f_lineno} of {frame.f_code.co_name}"


class _Device:
    """Stands in for the module ``numba.cuda`` inside a kernel."""

    def __init__(self, grid: Index3, block: Index3, clock: _Clock):
        self.gridDim, self.blockDim, self.clock = grid, block, clock
        self.blockIdx = self.threadIdx = Index3(0, 0, 0)
        self.shared = SimpleNamespace(array=self._shared_array)
        self.local = SimpleNamespace(array=self._local_array)

    def enter_block(self, index: Index3) -> None:
        self.blockIdx = index
        self._shared_arrays: dict[Any, _Memory] = {}

    def grid(self, axes: int) -> int | tuple[int, ...]:
        """This thread's position in the whole grid along the first ``axes`` axes."""
        position = tuple(b * n + t for b, n, t in zip(self.blockIdx, self.blockDim, self.threadIdx))
        return position[0] if axes == 1 else position[:axes]

    def gridsize(self, axes: int) -> int | tuple[int, ...]:
        """The threads of the whole grid along the first ``axes`` axes."""
        size = tuple(b * n for b, n in zip(self.gridDim, self.blockDim))
        return size[0] if axes == 1 else size[:axes]

    def _shared_array(self, shape: Dimensions, dtype: Any) -> _Memory:
        frame = sys._getframe(1)
        place = (frame.f_code, frame.f_lasti)  # one array a place in the source, the same for the whole block
        if place not in self._shared_arrays:
            array = np.zeros(shape, _numpy_dtype(dtype))
            self._shared_arrays[place] = _Memory(f"shared array of line {frame.f_lineno}", array, self.clock, "shared")
        return self._shared_arrays[place]

    def _local_array(self, shape: Dimensions, dtype: Any) -> _Memory:
        line = sys._getframe(1).f_lineno
        return _Memory(f"local array of line {line}", np.zeros(shape, _numpy_dtype(dtype)), self.clock, "local")


class _Scalar:
    """A Numba scalar type inside a kernel: a dtype for arrays, a cast when called (to a Python int of C's range)."""

    def __init__(self, numba_type: types.Type):
        self.dtype = as_dtype(numba_type)

    def __call__(self, value: Any) -> Any:
        if self.dtype.kind not in "iu":
            return self.dtype.type(value)
        value, limits = int(value), np.iinfo(self.dtype)
        if limits.min <= value <= limits.max:
            return value
        if self.dtype.kind == "u":
            return value % (limits.max + 1)  # defined in C: the usual trick for two bounds checks in one
        raise KernelError(f"{self.dtype}({value}) overflows{_here()}")


class _BarriersYield(ast.NodeTransformer):
    """``cuda.syncthreads()`` becomes ``(yield <its line>)``; a yield at the start makes every kernel a generator."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list = []
        self.generic_visit(node)
        start = ast.Expr(ast.Yield(ast.Constant(node.lineno)))
        node.body.insert(0, ast.copy_location(start, node))
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "syncthreads":
            return ast.copy_location(ast.Yield(ast.Constant(node.lineno)), node)
        return node


def _as_generators(kernel: FunctionType, device: _Device) -> Callable[..., Generator[int, None, None]]:
    """The kernel as a generator function over the stand-in ``device``, with the line numbers of its file."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kernel)))
    ast.increment_lineno(tree, kernel.__code__.co_firstlineno - 1)
    tree = ast.fix_missing_locations(_BarriersYield().visit(tree))
    scope = {**kernel.__globals__, **inspect.getclosurevars(kernel).nonlocals, "cuda": device}
    scope = {name: _Scalar(value) if isinstance(value, types.Number) else value for name, value in scope.items()}
    exec(compile(tree, inspect.getsourcefile(kernel) or "<kernel>", "exec"), scope)
    return scope[kernel.__name__]


def _numpy_dtype(dtype: Any) -> np.dtype:
    if isinstance(dtype, _Scalar):
        return dtype.dtype
    return as_dtype(dtype) if isinstance(dtype, types.Type) else np.dtype(dtype)


def _plain_number(value: Any) -> Any:
    return int(value) if isinstance(value, (int, np.integer)) else value


def _extent(size: Dimensions) -> Index3:
    return Index3(*size) if isinstance(size, tuple) else Index3(size)


def _positions(extent: Index3) -> list[Index3]:
    z, y, x = (range(size) for size in reversed(extent))
    return [Index3(i, j, k) for k, j, i in itertools.product(z, y, x)]

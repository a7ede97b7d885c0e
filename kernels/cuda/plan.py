"""What a host function prepares and a launcher or the interpreter carries out: a kernel, its grid and its arguments.

A host function of this package only *plans*: it checks the operands, allocates the result and names the kernel, the
number of blocks and the arguments. The plan is the same over CuPy and over NumPy arrays, so that all of it is tested
where there is no GPU.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..reference.namespace import array_namespace

Array = Any

# Kernels compute offsets in int32; the last block's idle threads count a little past the end of an array.
INDEX_LIMIT = 2**31 - 2**12

WARP = 32  # threads that do everything together


@dataclass(frozen=True, eq=False)
class Kernel:
    """A CUDA kernel as a Python function over flat arrays of one dtype (``pointers`` of them) and int32 numbers.

    ``min_blocks`` blocks shall fit on a multiprocessor together, so that one multiplies while another one waits: the
    compiler makes do with the registers that are left to each of their ``threads`` then (CUDA's launch bounds).
    ``others`` names the parameters that are something else: "int64*" is an array, "float32" a number, which the plan
    passes as NumPy's scalar of that type. ``parameters`` says of all, in order, what they are.
    """

    function: Callable[..., None]
    dtype: np.dtype
    pointers: int
    threads: int
    min_blocks: int = 1
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def parameters(self) -> tuple[str, ...]:
        names = list(inspect.signature(self.function).parameters)
        arrays = [name for name in names if name not in self.others][: self.pointers]
        usual = {name: f"{self.dtype}*" if name in arrays else "int32" for name in names}
        return tuple({**usual, **self.others}.values())


@dataclass(frozen=True)
class Plan:
    """One launch: ``blocks`` blocks (none for an empty result) of ``kernel`` on ``args`` leave ``result`` filled."""

    kernel: Kernel
    blocks: int
    args: tuple[Array | int, ...]
    result: Array


def flat(array: Array) -> Array:
    """All of an array, contiguous, along one axis."""
    return array_namespace(array).ascontiguousarray(array).reshape(-1)


def blocks_for(count: int, threads: int) -> int:
    """Blocks of ``threads`` threads that give each of ``count`` elements a thread."""
    return -(-count // threads)


def check_operands(dtypes: tuple[str, ...] = ("float32", "float64"), /, **operands: Array) -> np.dtype:
    """The operands' one dtype. TypeError unless it is one of ``dtypes``; ValueError unless all are on one device."""
    (first, a), *others = operands.items()
    if a.dtype not in dtypes:
        raise TypeError(f"{first} must be {' or '.join(dtypes)} for the CUDA kernels, got {a.dtype}")
    for name, b in others:
        if b.dtype != a.dtype:
            raise TypeError(f"{name} must have the dtype of {first}, {a.dtype}, got {b.dtype}")
        if b.device != a.device:
            raise ValueError(f"{name} must be on the device of {first}, {a.device}, got {b.device}")
    return np.dtype(a.dtype)


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """ValueError if offsets into an array of this shape would not fit the kernels' int32."""
    count = 1
    for size in shape:
        count *= size
    if count > INDEX_LIMIT:
        raise ValueError(f"{name} of shape {tuple(shape)} has {count} elements, the CUDA kernels take {INDEX_LIMIT}")

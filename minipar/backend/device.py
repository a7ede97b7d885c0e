"""Devices: the CPU (NumPy arrays) and CUDA GPUs (CuPy arrays). CuPy is imported when a GPU is first asked for."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np

_SPELLING = re.compile("(cpu|cuda)(?::(0|[1-9][0-9]*))?")


class device:
    """A place where arrays live: `device("cpu")`, `device("cuda")`, `device("cuda:1")`, `device("cuda", 1)`.

    TypeError or ValueError for anything else. "cuda" and "cuda:0" are different values, as in PyTorch.

    >>> minipar.device("cuda", 1)
    device(type='cuda', index=1)
    """

    __slots__ = ("type", "index")

    def __init__(self, type: str | device, index: int | None = None) -> None:
        if isinstance(type, device) and index is None:
            type = str(type)
        if not isinstance(type, str):
            raise TypeError(f"device must be a string such as 'cpu' or 'cuda:0', not {type!r}")
        found = _SPELLING.fullmatch(type)
        if not found:
            raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:N', not {type!r}")
        name, number = found.groups()
        if number and index is not None:
            raise ValueError(f"device {type!r} has an index already; index={index!r} cannot be given as well")
        if index is not None and (not isinstance(index, int) or isinstance(index, bool) or index < 0):
            raise ValueError(f"index must be an int of 0 or more, not {index!r}")
        self.type: str = name
        self.index: int | None = int(number) if number else index

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = device("cpu")


def namespace(array: Any) -> Any:
    """The array module (`xp`) that an array belongs to: numpy, or cupy."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    raise TypeError(f"expected a NumPy or CuPy array, not {type(array).__name__}")


def device_of(array: Any) -> device:
    return CPU if namespace(array) is np else device("cuda", int(array.device.id))


def on_device(array: Any, target: device) -> Any:
    """The array on `target`: itself if it is there already, else a copy. "cuda" without a number is CuPy's current GPU.

    Raises RuntimeError with the reason, and what to install, where there is no such GPU or it is not usable.
    """
    if target.type == "cpu":
        return to_numpy(array)
    cupy = cupy_for(target)
    with cupy.cuda.Device(target.index) as there:
        if isinstance(array, cupy.ndarray) and array.device.id != there.id:
            return _from_another_gpu(cupy, array)
        return cupy.asarray(array)


def _from_another_gpu(cupy: Any, array: Any) -> Any:
    """A copy on the current GPU, between what the current streams of the two were given before and are given after.

    CuPy orders it on one of them alone; so the other's event is waited for, and the other waits for the copy (it may
    be given the array's memory anew), as in PyTorch.
    """
    with array.device:
        array = cupy.ascontiguousarray(array)
        written = cupy.cuda.Event(disable_timing=True)
        written.record()
    here = cupy.cuda.get_current_stream()
    here.wait_event(written)
    copied = cupy.array(array)
    done = cupy.cuda.Event(disable_timing=True)
    done.record()
    with array.device:
        cupy.cuda.get_current_stream().wait_event(done)
    return copied


def cupy_for(gpu: device, function: str = "") -> Any:
    """The module CuPy, for use on this GPU. RuntimeError, in one line with the remedy, where it cannot be used."""
    from ..kernels.cuda import detect

    whose = f"{function}: " if function else ""
    usable, reason = detect.status()
    if not usable:
        raise RuntimeError(f"{whose}device {str(gpu)!r} cannot be used: {reason}")
    import cupy

    if gpu.index:
        count = cupy.cuda.runtime.getDeviceCount()
        if gpu.index >= count:
            known = "only 'cuda:0'" if count == 1 else f"'cuda:0' to 'cuda:{count - 1}'"
            raise RuntimeError(f"{whose}device {str(gpu)!r} cannot be used: there is {known}")
    from .gpu_memory import watched  # not before there is a GPU: `import minipar` would take the longer

    watched(cupy)
    return cupy


def to_numpy(array: Any) -> np.ndarray:
    """The array in the computer's own memory. IndexError if a loss on a GPU was given a target that there is not."""
    if namespace(array) is np:
        return np.asarray(array)
    from ..kernels.cuda import wrong_targets

    host = array.get()
    wrong_targets.tell()
    return host

"""Which operations are nothing but calls of compiled kernels, and so can be replayed as these calls.

While an operation runs, the kernels' places are taken by proxies that note each call with its arrays. If nothing else
was computed (`Traced` inputs would have told), the calls are run a second time for a trial, with whatever they should
bring forth destroyed before. Only if the bits are there again do they stand for the operation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .traced import RAW, TRACE, active, plain_of, root_of, untraced


class Call(NamedTuple):
    kernel: Callable[..., Any]
    args: tuple[Any, ...]
    named: dict[str, Any]
    returned: Any  # None, or a number or a tuple of numbers: a replay that gets others cannot stand for the operation


class Watch:
    """What one operation does: its kernel calls, and the memory that they were given, as it was before."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.before: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # by id of the owner: (owner, copy)
        self.made: set[int] = set()  # ids of arrays that element-wise functions allocated
        self.computes = False  # something besides kernel calls

    def _remember(self, arrays: Iterable[Any]) -> None:
        for array in arrays:
            if isinstance(array, np.ndarray):
                owner = root_of(array)
                if id(owner) not in self.before:
                    self.before[id(owner)] = owner, owner.copy()

    def element_wise(self, function: np.ufunc, args: tuple[Any, ...], named: dict[str, Any]) -> np.ndarray:
        """NumPy's element-wise functions compute where they are told to: they serve as kernels too."""
        out = named.get("out", (None,))[0]
        self._remember([*args, out])
        result = function(*args, **named)
        if out is None:
            out = np.asarray(result)
            self.made.add(id(out))
            self._remember([out])
        self.calls.append(Call(function, args, {**named, "out": out}, None))
        return out

    def run(self, kernel: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        plain = tuple([plain_of(x) for x in args])
        self._remember(plain)
        returned = kernel(*plain)
        if isinstance(returned, np.ndarray) or (isinstance(returned, tuple) and any(map(_is_array, returned))):
            self.computes = True  # an array that the kernel allocates is another one each time
        self.calls.append(Call(kernel, plain, {}, returned))
        return returned

    def again(self, results: Iterable[np.ndarray], known: set[int]) -> bool:
        """Do the calls alone bring forth `results`? `known`: the owners of memory whose content is rightly there."""
        if self.computes or not self.calls:
            return False
        unknown = {key for key in self.before if key not in known and key not in self.made}
        strange = [owner for key, (owner, _) in self.before.items() if key in unknown and owner.dtype.kind != "f"]
        counted = any(owner.dtype.kind != "f" for key, (owner, _) in self.before.items() if key in known)
        if counted and not all(_is_result(owner, results) for owner in strange):
            return False  # a table of numbers, or something worked out of the inputs' numbers? Nobody knows
        after = {key: owner.copy() for key, (owner, _) in self.before.items()}
        wanted = [result.copy() for result in results]
        for key, (owner, copy) in self.before.items():
            if owner.flags.writeable:
                np.copyto(owner, copy)
                if key not in known and owner.dtype.kind == "f" and owner.size:
                    owner.fill(np.nan)
        for result in results:
            if result.flags.writeable:
                result.fill(np.nan if result.dtype.kind == "f" else 0)
        same = all(_equal(call) for call in self.calls)
        same = same and all(_same_bits(result, want) for result, want in zip(results, wanted))
        same = same and all(_same_bits(owner, after[key]) for key, (owner, _) in self.before.items() if key in known)
        for result, want in zip(results, wanted):
            if result.flags.writeable:
                np.copyto(result, want)
        for key, (owner, _) in self.before.items():
            if owner.flags.writeable:
                np.copyto(owner, after[key])
        return same


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)


def _is_result(owner: np.ndarray, results: Iterable[np.ndarray]) -> bool:
    return any(root_of(result) is owner for result in results)


def _equal(call: Call) -> bool:
    """Does it return the same again? (What an element-wise function returns is where it was told to put it.)"""
    returned = call.kernel(*call.args, **call.named)
    return "out" in call.named or returned == call.returned


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def _proxy(kernel: Any) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        recorder = active.recorder
        if recorder is not None and recorder.mode == RAW:
            return recorder.watch.run(kernel, args)
        if recorder is not None and recorder.mode == TRACE:
            return recorder.kernel_between(kernel, args)
        return kernel(*untraced(args))

    return call


class KernelProxies:
    """Context manager: every compiled kernel that has been imported is called through its proxy."""

    def __enter__(self) -> None:
        self.replaced: list[tuple[dict, Any, Any]] = []
        compiler = sys.modules.get("minipar.kernels.cpu.compile")
        if compiler is None:
            return
        from ..backend import dispatch

        proxies = {id(kernel): _proxy(kernel) for kernel in compiler.Kernel.registry}
        places: list[dict[Any, Any]] = [
            vars(module) for name, module in list(sys.modules.items()) if name.startswith("minipar.kernels.cpu.")
        ]
        for place in [*places, dispatch._loaded]:
            for name, value in list(place.items()):
                if id(value) in proxies and isinstance(value, compiler.Kernel):
                    self.replaced.append((place, name, value))
                    place[name] = proxies[id(value)]

    def __exit__(self, *_: object) -> None:
        for place, name, value in self.replaced:
            place[name] = value

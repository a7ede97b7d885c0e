"""Which operations are nothing but calls of compiled kernels, and so can be replayed as these calls.

While an operation runs, each call of a kernel is noted with its arrays. If nothing else was computed (`Traced` inputs
would have told), the calls are run a second time for a trial, with whatever they should bring forth destroyed before.
Only if the bits are there again do they stand for the operation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .traced import RAW, TRACE, active, plain_of, root_of, untraced

_BLANK = {  # numbers that no computation gives: a NaN with a mark
    np.dtype(np.float32): np.array(0x7FC0BEEF, np.uint32).view(np.float32)[()],
    np.dtype(np.float64): np.array(0x7FF80000DEADBEEF, np.uint64).view(np.float64)[()],
}


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
        self.blank: dict[int, np.ndarray] = {}  # owners of memory that `empty` gave, by id
        self.unset: set[int] = set()  # ids of those to which nobody had written before the first kernel did
        self.computes = False  # something besides kernel calls

    def gave(self, array: Any) -> None:
        """`empty` has made an array: in eager it would hold whatever was left there."""
        if type(array) is np.ndarray and array.dtype in _BLANK:
            owner = root_of(array)
            owner.fill(_BLANK[array.dtype])
            self.blank[id(owner)] = owner

    def _remember(self, arrays: Iterable[Any]) -> None:
        for array in arrays:
            if isinstance(array, np.ndarray):
                owner = root_of(array)
                if id(owner) not in self.before:
                    self.before[id(owner)] = owner, owner.copy()
                    if id(owner) in self.blank and _same_bits(owner, np.full_like(owner, _BLANK[owner.dtype])):
                        self.unset.add(id(owner))

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
        counted = any(x.size and x.dtype.kind != "f" for key, (x, _) in self.before.items() if key in known)
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
        same = same and all(self._as_before(result, want) for result, want in zip(results, wanted))
        same = same and all(_same_bits(owner, after[key]) for key, (owner, _) in self.before.items() if key in known)
        for result, want in zip(results, wanted):
            if result.flags.writeable:
                np.copyto(result, want)
        for key, (owner, _) in self.before.items():
            if owner.flags.writeable:
                np.copyto(owner, after[key])
        return same

    def _as_before(self, result: np.ndarray, wanted: np.ndarray) -> bool:
        """Are these the bits, but where no call has written, nor anybody else before: on what was left there?"""
        if id(root_of(result)) not in self.unset:
            return _same_bits(result, wanted)
        left = np.isnan(result)
        return _same_bits(np.where(left, 0, result), np.where(left, 0, wanted))


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


@contextmanager
def kernel_calls_told() -> Iterator[None]:
    """Every call of a compiled kernel, by whatever name or plan it is known, is told to the recorder meanwhile.

    Their class tells it, for as long as this lasts; then a call is Numba's own again.
    """
    compiler = sys.modules.get("minipar.kernels.cpu.compile")
    kinds = [compiler.Kernel, *compiler.Kernel.__subclasses__()] if compiler is not None else []
    before = [(kind, vars(kind).get("__call__")) for kind in kinds]
    try:
        for kind, told in [(kind, _told(kind.__call__)) for kind in kinds]:
            kind.__call__ = told
        yield
    finally:
        for kind, own in before:
            if own is not None:
                kind.__call__ = own
            elif "__call__" in vars(kind):
                del kind.__call__


def _told(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(kernel: Any, *args: Any) -> Any:
        recorder = active.recorder
        if recorder is not None and recorder.mode == RAW:
            return recorder.plainly(recorder.watch.run, kernel, args)
        if recorder is not None and recorder.mode == TRACE:
            return recorder.plainly(recorder.kernel_between, kernel, args)
        return original(kernel, *untraced(args))

    return call

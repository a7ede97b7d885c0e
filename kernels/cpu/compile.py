"""``@compiled``: a Python function of loops becomes machine code at its first call, or is loaded from the cache.

The decorated text is plain Python over arrays and runs as such (``kernel.py_func``). A kernel is compiled only for the
signatures it declares, each when first wanted, so no odd argument can make the user wait for an unplanned compilation.
What ``compiled`` returns is Numba's dispatcher with that rule and our cache, so that a call is Numba's own, in C.

Importing this module, and with it a module of kernels, loads Numba: `minipar.backend.dispatch` does so when a kernel is
first wanted. Only what is called from Python is decorated with `compiled`; what those functions call is plain
``numba.njit(error_model="numpy")``.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature
from numba.core.typeconv import Conversion
from numba.core.typeconv.rules import default_type_manager
from numba.core.types import Array

from . import cache
from .machine_code import calls, link_all, say_compiling
from .malloc import keep_freed_memory
from .threads import many_may_enter
from .waiting import watched

keep_freed_memory()  # whoever runs compiled kernels runs steps, which free and want the same memory again and again

# Numba numbers functions as a process compiles them, and names their machine code by the number. In our cache the code
# of many processes meets, where functions of one name (a factory's, say) would be taken for each other. So each process
# begins somewhere else.
FunctionIdentity._unique_ids = count(int.from_bytes(os.urandom(6)))

_FREE = (Conversion.exact, Conversion.promote, Conversion.safe)  # conversions of a scalar that lose nothing


def compiled(
    signatures: Sequence[str], *, parallel: bool = False, nogil: bool = False, fastmath: Iterable[str] = ()
) -> Callable[[Callable[..., Any]], "Kernel"]:
    """Decorator: compile for ``signatures`` (Numba's notation).

    ``parallel``: the function splits its work itself, by ``prange`` over a number of threads that it is given (see
    ``threads``). ``nogil``: other Python threads may run all the while, not only during a prange, for 0.05 us more a
    call. Kernels with either can run twice at once, so they must share no scratch memory between calls. ``fastmath``:
    the liberties that LLVM may take, by their names; "nnan" and "ninf" are never among them, for a NaN must reach the
    user.
    """
    options = {"nopython": True, "error_model": "numpy", "parallel": parallel, "nogil": nogil}
    kind = LockedKernel if parallel and not many_may_enter() else Kernel
    return lambda function: kind(function, signatures, {**options, "fastmath": set(fastmath)})


def check_real(name: str, array: np.ndarray) -> None:
    """TypeError unless ``array`` is float32 or float64, the dtypes that kernels are compiled for."""
    if array.dtype.char not in "fd":
        raise TypeError(f"{name} must be float32 or float64 for the compiled kernel, got {array.dtype}")


def carray(array: np.ndarray) -> np.ndarray:
    """``array`` as kernels declare their operands: C-contiguous, aligned and writable; a copy only if it is not."""
    return array if array.flags.carray else np.array(array, order="C")


class Kernel(CPUDispatcher):
    """A function with its declared signatures; calling it runs machine code.

    A call raises TypeError if the arguments' types are none of the signatures. Arrays may have any layout where the
    signature says ``float32[:,:]``; numbers are converted where that loses nothing (an int for a float64).
    """

    registry: ClassVar[list["Kernel"]] = []  # all that have been imported, for `minipar doctor --warm`
    announce = True  # with a line, since the user waits
    _cache: Any

    def __init__(self, function: Callable[..., Any], signatures: Sequence[str], options: dict[str, Any]):
        super().__init__(function, targetoptions=options)
        # The module too: two kernels of one name must not share a cache entry.
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.declared = {normalize_signature(signature)[0]: signature for signature in signatures}
        self._cache = KernelCache(self)
        self._callers_types: set[tuple] = set()  # that lead to a declared signature without being one
        Kernel.registry.append(self)

    def compile(self, sig: Any) -> Any:
        """Compile, or load, the declared signature that takes these types."""
        given, _ = normalize_signature(sig)
        fitting = (text for formal, text in self.declared.items() if _fit(given, formal))
        signature = self.declared.get(given) or next(fitting, None)
        if signature is None:
            wanted = " or ".join(self.declared.values())
            raise TypeError(f"{self.name} takes {wanted}, got ({', '.join(map(str, given))})")
        # Numba's lock first: threads that compile different kernels must take the two locks in one order.
        with watched.around(), global_compiler_lock, cache.locked(self.name):
            entry = super().compile(signature)
            # Under the caller's own types too: else each call of an array of another layout is resolved anew (80 us).
            # What is entered twice, by two threads even, is ambiguous: then every call is resolved anew.
            if given not in self.overloads and given not in self._callers_types:
                self._callers_types.add(given)
                self._insert([each._code for each in given], entry, False)
        return entry

    def compile_all(self, announce: bool = True) -> None:
        """Compile, or load, every declared signature now."""
        self.announce = announce
        for signature in self.declared.values():
            self.compile(signature)

    def is_cached(self) -> bool:
        """Is every declared signature in the cache's folder?"""
        paths = [self.cache_entry(signature) for signature in self.declared.values()]
        return all(path is not None and path.exists() for path in paths)

    def _compilation_chain_init_hook(self) -> None:
        """Other packages' types are none of the declared: looking for their extensions would take 20 ms."""

    def cache_entry(self, signature: str) -> Path | None:
        """Where the machine code for a declared signature is kept; None if nowhere."""
        options = {**self.targetoptions, "fastmath": sorted(self.targetoptions["fastmath"])}
        return cache.entry(self.name, self.py_func, str(options), signature)


class LockedKernel(Kernel):
    """A parallel kernel where Numba's pool may be entered by one Python thread only (see ``threads``)."""

    pool: ClassVar[threading.Lock] = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        with self.pool:
            return super().__call__(*arguments)


class KernelCache(NullCache):
    """Numba asks it before it compiles, and hands it the result; `kernel` has a name and knows its cache_entry."""

    def __init__(self, kernel: Any):
        self.kernel = kernel

    def load_overload(self, sig: str, target_context: Any) -> CompileResult | None:
        rtsys.initialize(target_context)  # what machine code needs of Numba; the compiler readies itself, for 0.3 s
        path = self.kernel.cache_entry(sig)
        stored = None if path is None else cache.load(path)
        if stored is not None and link_all(stored[0]):
            return CompileResult._rebuild(target_context, *stored[1])
        # Numba compiles next, and the lock is ours: nobody has done it before.
        if self.kernel.announce:
            say_compiling(self.kernel.name, path)
        return None

    def save_overload(self, sig: str, cres: CompileResult) -> None:
        path = self.kernel.cache_entry(sig)
        if path is not None:
            reduced = cres._reduce()  # finishes a library that waited for more, so that it knows what it calls
            cache.save(path, dumps((calls(cres.library), reduced)))


def _fit(given: tuple, formal: tuple) -> bool:
    return len(given) == len(formal) and all(g == f or _converts(g, f) for g, f in zip(given, formal))


def _converts(given: Any, formal: Any) -> bool:
    """An array to one of any strides, or to one that is only read; a number to a wider kind."""
    if isinstance(formal, Array):
        return isinstance(given, Array) and given.can_convert_to(None, formal) is not None
    return default_type_manager.check_compatible(given, formal) in _FREE

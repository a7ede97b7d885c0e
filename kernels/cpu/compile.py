"""``@compiled``: a Python function of loops becomes machine code at its first call, or is loaded from the cache.

The decorated text is plain Python over arrays and runs as such (``kernel.function``); Numba is imported by the first
call. A kernel is compiled only for the signatures it declares, each when first wanted, so no odd argument can make the
user wait for an unplanned compilation.

A kernel of several files (a register tile, the functions that use it) imports Numba at the head of those files, which
are imported by the first call that needs them; only what is called from Python is decorated with `compiled`.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from . import cache

_building = threading.RLock()


def compiled(
    signatures: Sequence[str], *, parallel: bool = False, fastmath: Iterable[str] = ()
) -> Callable[[Callable[..., Any]], "Kernel"]:
    """Decorator: compile for ``signatures`` (Numba's notation).

    ``parallel``: the function splits its work itself, by ``prange`` over a number of threads that it is given (see
    ``threads``). ``fastmath``: the liberties that LLVM may take, by their names; "nnan" and "ninf" are never among
    them, for a NaN must reach the user.
    """
    return lambda function: Kernel(function, signatures, parallel, frozenset(fastmath))


def check_real(name: str, array: np.ndarray) -> None:
    """TypeError unless ``array`` is float32 or float64, the dtypes that kernels are compiled for."""
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be float32 or float64 for the compiled kernel, got {array.dtype}")


def carray(array: np.ndarray) -> np.ndarray:
    """``array`` as kernels declare their operands: C-contiguous, aligned and writable; a copy only if it is not."""
    return array if array.flags.carray else np.array(array, order="C")


class Kernel:
    """A function with its declared signatures; calling it runs machine code."""

    def __init__(
        self, function: Callable[..., Any], signatures: Sequence[str], parallel: bool, fastmath: frozenset[str]
    ):
        self.function = function
        self.options = {"nopython": True, "error_model": "numpy", "parallel": parallel, "fastmath": set(fastmath)}
        self.signatures = tuple(signatures)
        # The module too: two kernels of one name must not share a cache entry.
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.__doc__ = function.__doc__

    def __call__(self, *arguments: Any) -> Any:
        """Raises TypeError if the arguments' types are none of the declared signatures."""
        return self._dispatcher(*arguments)

    def compile_all(self) -> None:
        """Compile, or load, every declared signature now."""
        for signature in self.signatures:
            self._dispatcher.compile(signature)

    @cached_property
    def _dispatcher(self) -> Any:
        with _building:
            if "_dispatcher" not in self.__dict__:
                self.__dict__["_dispatcher"] = _make_dispatcher(self)
            return self.__dict__["_dispatcher"]


def _make_dispatcher(kernel: Kernel) -> Any:
    """Numba's dispatcher with three changes: declared signatures only, one compiler at a time, and our cache."""
    from numba.core.caching import NullCache
    from numba.core.compiler import CompileResult
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import CPUDispatcher
    from numba.core.serialize import dumps
    from numba.core.sigutils import normalize_signature
    from numba.core.types import Array

    class KernelCache(NullCache):
        def load_overload(self, sig, target_context):
            target_context.refresh()
            stored = cache.load(kernel.name, str(sig))
            if stored is not None:
                return CompileResult._rebuild(target_context, *stored)
            # Numba compiles next, and the lock is ours: nobody has done it before.
            print(f"minipar: compiling {kernel.name} once…", file=sys.stderr, flush=True)
            return None

        def save_overload(self, sig, cres):
            cache.save(kernel.name, str(sig), dumps(cres._reduce()))

    class KernelDispatcher(CPUDispatcher):
        _cache: Any

        def compile(self, sig):
            types, _ = normalize_signature(sig)
            signature = declared.get(types) or next((text for t, text in declared.items() if fits(types, t)), None)
            if signature is None:
                wanted = " or ".join(kernel.signatures)
                raise TypeError(f"{kernel.name} takes {wanted}, got ({', '.join(map(str, types))})")
            # Numba's lock first: threads that compile different kernels must take the two locks in one order.
            with global_compiler_lock, cache.locked(kernel.name):
                return super().compile(signature)

    def fits(given, formal):
        """Arrays alone are converted, and only to another layout: any array is one of any strides."""
        return len(given) == len(formal) and all(
            g == f or (isinstance(f, Array) and f.layout == "A" and g.can_convert_to(None, f) is not None)
            for g, f in zip(given, formal)
        )

    declared = {normalize_signature(signature)[0]: signature for signature in kernel.signatures}
    dispatcher = KernelDispatcher(kernel.function, targetoptions=kernel.options)
    dispatcher._cache = KernelCache()
    return dispatcher

"""``@compiled``: a Python function of loops becomes machine code at its first call, or is loaded from the cache.

The decorated text is plain Python over arrays and runs as such (``kernel.function``); Numba is imported by the first
call. A kernel is compiled only for the signatures it declares, each when first wanted, so no odd argument can make the
user wait for an unplanned compilation.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from . import cache

_building = threading.RLock()


def compiled(signatures: Sequence[str]) -> Callable[[Callable[..., Any]], "Kernel"]:
    """Decorator: compile for ``signatures`` (Numba's notation)."""
    return lambda function: Kernel(function, signatures)


def check_real(name: str, array: np.ndarray) -> None:
    """TypeError unless ``array`` is float32 or float64, the dtypes that kernels are compiled for."""
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be float32 or float64 for the compiled kernel, got {array.dtype}")


def carray(array: np.ndarray) -> np.ndarray:
    """``array`` as kernels declare their operands: C-contiguous, aligned and writable; a copy only if it is not."""
    return array if array.flags.carray else np.array(array, order="C")


class Kernel:
    """A function with its declared signatures; calling it runs machine code."""

    def __init__(self, function: Callable[..., Any], signatures: Sequence[str]):
        self.function = function
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
            if types not in declared:
                wanted = " or ".join(kernel.signatures)
                raise TypeError(f"{kernel.name} takes {wanted}, got ({', '.join(map(str, types))})")
            # Numba's lock first: threads that compile different kernels must take the two locks in one order.
            with global_compiler_lock, cache.locked(kernel.name):
                return super().compile(declared[types])

    declared = {normalize_signature(signature)[0]: signature for signature in kernel.signatures}
    dispatcher = KernelDispatcher(kernel.function, targetoptions={"nopython": True, "error_model": "numpy"})
    dispatcher._cache = KernelCache()
    return dispatcher

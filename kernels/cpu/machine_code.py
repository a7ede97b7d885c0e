"""Functions written as LLVM IR, compiled once: kernels call them by name and do not contain them.

What a kernel contains is compiled with it, and again with every function that calls that one, and again where threads
run it: a register tile takes a second or two each time. So tiles are machine code of their own, kept in the same cache
as kernels, and registered with the linker under a name before any kernel that calls them is compiled or loaded: those
of float64 before a kernel of float64, so that nobody waits for a dtype that is not used.
"""

import pickle
import sys
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from . import cache

_linked: dict[str, Any] = {}  # name -> the library that holds the machine code, which lives as long as the process
_waiting: dict[str, list[Callable[[], None]]] = {"float32": [], "float64": []}


def when_needed(real: str, make: Callable[[], None]) -> None:
    """Call `make` before the next kernel of dtype `real` is compiled or loaded."""
    _waiting[real].append(make)


def link_waiting(signature: str) -> None:
    """Make ready what kernels of the dtypes in this signature may call."""
    for real, waiting in _waiting.items():
        if waiting and real in signature:
            with global_compiler_lock:
                while waiting:
                    make = waiting.pop(0)  # in order: what comes later may call what comes earlier
                    try:
                        make()
                    except BaseException:
                        waiting.insert(0, make)
                        raise


def link(name: str, write: Callable[[ir.Module], None]) -> None:
    """Make function `name`, which `write` defines in a module, known to the linker: compiled, or from the cache."""
    with global_compiler_lock, cache.locked(name):
        if name in _linked:
            return
        path = cache.entry(name, write, "", "")
        stored = None if path is None else cache.load(path)
        codegen = cpu_target.target_context.codegen()
        if stored is not None:
            library = codegen.unserialize_library(stored)
        else:
            print(f"minipar: compiling {name}…", file=sys.stderr, flush=True)
            library = codegen.create_library(name)
            library.enable_object_caching()
            module = library.create_ir_module(name)
            write(module)
            library.add_ir_module(module)
            library.finalize()
        address = library.get_pointer_to_function(name)  # only now is it machine code
        llvm.add_symbol(name, address)
        _linked[name] = library
        if stored is None and path is not None:
            cache.save(path, pickle.dumps(library.serialize_using_object_code()))

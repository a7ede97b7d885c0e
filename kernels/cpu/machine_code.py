"""Functions that kernels call by name and do not contain: each is machine code of its own, linked when first needed.

What a kernel contains is compiled with it, and again with every function that calls that one, and again where threads
run it: a register tile takes a second or two each time, a whole matrix product ten. So those are compiled once, kept in
the same cache as kernels, and known to the linker under a name. A kernel in the cache carries the names that it calls
(``calls``), so that they are linked before it is loaded; and no helper is compiled for a kernel that does not call it.
"""

import pickle
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from . import cache
from .waiting import watched

PREFIX = "minipar."

helpers: dict[str, "Helper"] = {}  # name -> all that modules of kernels have defined, linked or not


class Helper:
    """A function under a name of the linker's. Importing its module compiles nothing; ``link`` does, or the cache."""

    announce = True  # with a line, since the user waits
    library: Any = None  # what holds the machine code, once it is linked; it lives as long as the process

    def __init__(self, name: str) -> None:
        assert name.startswith(PREFIX), name
        self.name = name
        helpers.setdefault(name, self)

    def link(self) -> None:
        """Make the name known to the linker. What this helper calls comes first."""
        if self.library is None:
            with watched.around(), global_compiler_lock, cache.locked(self.name):
                if self.library is None:  # for another thread may have been faster
                    library, address = self.code()
                    llvm.add_symbol(self.name, address)
                    self.library = library

    def code(self) -> tuple[Any, int]:
        """The machine code, compiled or from the cache, and its address."""
        raise NotImplementedError

    def cache_entry(self) -> Path | None:
        """Where the machine code is kept; None if nowhere."""
        raise NotImplementedError

    def is_cached(self) -> bool:
        path = self.cache_entry()
        return path is not None and path.exists()

    def compile_all(self, announce: bool = True) -> None:
        """Compile, or load, it now."""
        self.announce = announce
        self.link()


class Written(Helper):
    """A helper in LLVM IR, which ``write`` defines in the module that it is given. It calls no other."""

    def __init__(self, name: str, write: Callable[[ir.Module], None]) -> None:
        super().__init__(name)
        self.write = write

    def cache_entry(self) -> Path | None:
        return cache.entry(self.name, self.write, "", "")

    def code(self) -> tuple[Any, int]:
        path = self.cache_entry()
        stored = None if path is None else cache.load(path)
        codegen = cpu_target.target_context.codegen()
        if stored is not None:
            library = codegen.unserialize_library(stored)
        else:
            if self.announce:
                say_compiling(self.name, path)
            library = codegen.create_library(self.name)
            library.enable_object_caching()
            module = library.create_ir_module(self.name)
            self.write(module)
            library.add_ir_module(module)
            library.finalize()
        address = library.get_pointer_to_function(self.name)  # only now is it machine code
        if stored is None and path is not None:
            cache.save(path, pickle.dumps(library.serialize_using_object_code()))
        return library, address


def link(name: str) -> None:
    """Before compiled code calls this helper."""
    helpers[name].link()


def link_all(names: Iterable[str]) -> bool:
    """Before compiled code that calls these helpers is loaded; False if it must not be, for one is not known here."""
    names = list(names)
    if not all(name in helpers for name in names):
        return False
    for name in names:
        link(name)
    return True


def calls(library: Any) -> list[str]:
    """The helpers that a freshly compiled library calls, itself or in functions that it contains."""
    functions = library._final_module.functions
    return sorted(each.name for each in functions if each.is_declaration and each.name.startswith(PREFIX))


def say_compiling(name: str, path: Path | None) -> None:
    kept = "anew in each process (see `minipar doctor`)" if path is None else "once on this machine"
    print(f"minipar: compiling {name.removeprefix(PREFIX)}, {kept}…", file=sys.stderr, flush=True)

"""The compiled kernels of this machine: how many there are, how many wait to be compiled, and compiling them."""

from __future__ import annotations

import time
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages
from typing import Any

from ..kernels import cpu
from .output import say


def all_kernels() -> list[Any]:
    """All of minipar.kernels.cpu that is compiled by itself: what kernels call, then they, by name. Loads Numba."""
    for module in walk_packages(cpu.__path__, f"{cpu.__name__}."):
        import_module(module.name)
    from ..kernels.cpu.compile import Kernel
    from ..kernels.cpu.machine_code import helpers

    kernels = (kernel for kernel in Kernel.registry if kernel.__module__.startswith(f"{cpu.__name__}."))
    return [*(helpers[name] for name in sorted(helpers)), *sorted(kernels, key=lambda kernel: kernel.name)]


def warm() -> int:
    """Compile what is not in the cache, with a line a kernel. Exit code 1 if it cannot be kept."""
    if find_spec("numba") is None:
        say("numba is not installed, so there is nothing to compile: see `minipar doctor`")
        return 1
    from ..kernels.cpu import cache

    kernels = all_kernels()
    waiting = [kernel for kernel in kernels if not kernel.is_cached()]
    folder = cache.kernel_folder()
    if folder is None:
        say("no folder can be written to keep compiled kernels in: see `minipar doctor`")
        return 1
    say(f"{len(kernels)} kernels, {len(waiting)} of them to compile, into {folder}")
    started = time.perf_counter()
    for number, kernel in enumerate(waiting, 1):
        before = time.perf_counter()
        kernel.compile_all(announce=False)
        say(f"  {number:3} of {len(waiting)}  {time.perf_counter() - before:5.1f} s  {kernel.name}")
    say(f"all {len(kernels)} are compiled; this took {time.perf_counter() - started:.0f} s, once on this machine")
    return 0

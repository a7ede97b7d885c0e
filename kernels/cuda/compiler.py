"""Numba's Python source -> PTX -> cubin.

What reaches behind Numba's public names, and what calls NVIDIA's libraries, is here and in ``intrinsics`` alone (but
for ``detect``, which asks whether these can be loaded).

Neither a driver nor a CUDA toolkit is needed: NVVM and nvJitLink come as wheels. A kernel's parameters are plain
pointers and numbers, so that the compiled function has a plain C signature that CuPy can call; launched by Numba
itself, each array would travel as seven words and each launch take about ten times as long.
"""

import inspect
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from numba import cuda, types

from . import intrinsics
from .detect import INSTALL
from .plan import Kernel

# Whose versions decide the machine code; part of the key of a cached cubin.
LIBRARIES = {"nvidia-nvvm": "nvvm", "nvidia-nvjitlink": "nvJitLink"}
PACKAGES = ("numba", "numba-cuda", "llvmlite", *LIBRARIES)

Capability = tuple[int, int]

_answering = threading.Lock()


@dataclass(frozen=True)
class Cubin:
    """Machine code whose one entry is called as the kernel, and what ptxas says of it.

    ``registers`` are a thread's; ``spills`` (stores and loads) and ``stack`` bytes a thread, ``shared`` bytes a block;
    ``double_instructions`` counts the PTX instructions on float64, which most GPUs run 32 or 64 times slower.
    """

    code: bytes
    registers: int
    spills: int
    stack: int
    shared: int
    double_instructions: int


def build(kernel: Kernel, capability: Capability) -> Cubin:
    """Compile for one architecture, (9, 0) for sm_90. Raises what Numba raises, and RuntimeError with ptxas's log."""
    ptx = to_ptx(kernel, capability)
    code, log = assemble(ptx, capability)

    def reported(pattern: str) -> int:
        found = re.search(pattern, log)
        return int(found[1]) if found else 0

    return Cubin(
        code,
        registers=reported(r"Used (\d+) registers"),
        spills=reported(r"(\d+) bytes spill stores") + reported(r"(\d+) bytes spill loads"),
        stack=reported(r"(\d+) bytes stack frame"),
        shared=reported(r"(\d+) bytes smem"),
        double_instructions=len(re.findall(r"^\s+(?:@!?%\w+\s+)?[a-z][\w.]*\.f64\b", ptx, re.MULTILINE)),
    )


def to_ptx(kernel: Kernel, capability: Capability) -> str:
    """The kernel as PTX, its entry renamed from Numba's mangled name to the kernel's own."""
    signature = tuple(map(_numba_type, kernel.parameters))
    with _current_device(capability):
        bounds = kernel.threads, kernel.min_blocks
        # Said here, or NUMBA_OPT and NUMBA_CUDA_DEBUGINFO would say it: the cache's key knows of no such variables.
        options: dict[str, Any] = {"device": False, "abi": "numba", "opt": True, "debug": False}
        ptx, _ = cuda.compile(kernel.function, signature, cc=capability, launch_bounds=bounds, **options)
    mangled = re.search(r"\.entry (\w+)", ptx)
    if mangled is None:
        raise RuntimeError(f"numba-cuda {_version('numba-cuda')} made PTX without an entry for {kernel.name}")
    return re.sub(rf"\b{mangled[1]}(?=\b|_param_)", kernel.name, ptx)


def _numba_type(parameter: str) -> types.Type:
    """Of "float32" or, a pointer, "float32*"."""
    number = getattr(types, parameter.rstrip("*"))
    return types.CPointer(number) if parameter.endswith("*") else number


@contextmanager
def _current_device(capability: Capability) -> Iterator[None]:
    """Typing a device function asks the current device what it can do: here the architecture compiled for answers."""
    from numba.cuda import dispatcher

    with _answering:
        ask = dispatcher.get_current_device
        dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
        try:
            yield
        finally:
            dispatcher.get_current_device = ask


def assemble(ptx: str, capability: Capability) -> tuple[bytes, str]:
    """(cubin, ptxas's report) by nvJitLink. RuntimeError with its log if the PTX is refused."""
    try:
        from cuda.bindings import nvjitlink
    except ImportError as error:
        raise ImportError(f"assembling CUDA kernels needs nvJitLink: {INSTALL}") from error
    linker = nvjitlink.create(2, [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose"])
    try:
        source = ptx.encode()
        try:
            nvjitlink.add_data(linker, nvjitlink.InputType.PTX, source, len(source), "kernel.ptx")
            nvjitlink.complete(linker)
        except nvjitlink.nvJitLinkError as error:
            log = bytearray(nvjitlink.get_error_log_size(linker))
            nvjitlink.get_error_log(linker, log)
            raise RuntimeError(f"nvJitLink refuses the kernel: {log.decode(errors='replace').strip()}") from error
        cubin = bytearray(nvjitlink.get_linked_cubin_size(linker))
        nvjitlink.get_linked_cubin(linker, cubin)
        log = bytearray(nvjitlink.get_info_log_size(linker))
        nvjitlink.get_info_log(linker, log)
        return bytes(cubin), log.decode(errors="replace")
    finally:
        nvjitlink.destroy(linker)


def identity(kernel: Kernel, capability: Capability) -> str:
    """All that decides a kernel's machine code, as text: its source, constants, types, architecture, how it is compiled
    (these two files) and by which versions.
    """
    lines = [
        _meaning(kernel.function),
        f"{kernel.dtype.name} parameters={kernel.parameters} threads={kernel.threads} min_blocks={kernel.min_blocks}",
        f"capability={capability}",
        *(f"{package} {_version(package)}" for package in PACKAGES),
        inspect.getsource(sys.modules[__name__]),
        inspect.getsource(intrinsics),
    ]
    return "\n".join(lines)


def _meaning(function: Callable[..., Any]) -> str:
    """A function's source, and what the names in it stand for; of a device function the same."""
    outside = inspect.getclosurevars(function)
    constants = {**outside.globals, **outside.nonlocals}
    return "\n".join([inspect.getsource(function), *(_constant(name, constants[name]) for name in sorted(constants))])


def _constant(name: str, value: Any) -> str:
    """One outside name of a kernel. TypeError for what the key could not tell apart from another of its name."""
    if isinstance(value, ModuleType):
        return f"{name}: module {value.__name__}"
    if getattr(intrinsics, getattr(value, "__name__", ""), None) is value:
        return f"{name}: intrinsic {value.__name__}"
    if hasattr(value, "py_func"):  # cuda.jit(device=True)
        return f"{name}: {value.targetoptions!r} {_meaning(value.py_func)}"
    if not isinstance(value, (bool, int, float, tuple, types.Type)):
        kinds = "numbers, tuples, Numba types, modules, intrinsics and device functions"
        raise TypeError(f"a CUDA kernel may use {kinds}, not {name}={value!r}")
    return f"{name}: {value!r}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a system-wide CUDA toolkit can take the place of NVIDIA's wheels
        return _of_the_system(LIBRARIES[package]) if package in LIBRARIES else "without metadata"


def _of_the_system(library: str) -> str:
    """Which file it is, and of when: a toolkit says no finer version."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    file = Path(load_nvidia_dynamic_lib(library).abs_path).resolve()
    return f"of the system: {file}, {file.stat().st_size} bytes, {file.stat().st_mtime_ns}"

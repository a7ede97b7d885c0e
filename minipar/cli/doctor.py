"""`minipar doctor`: what this machine has, what is missing, and the exact line that would bring it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from .. import __version__
from ..parallel.comm.cores import usable_cores
from .warm import all_kernels, warm

PIP = f"{sys.executable} -m pip install"  # the pip of this environment


@dataclass(frozen=True)
class Finding:
    """One line: a name, what was found, and, if something is missing, what mends it."""

    name: str
    text: str
    cure: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print versions, cores, BLAS and threads, GPU, NCCL and MPI, and try to start a worker."
    parser.add_argument(
        "--warm", action="store_true", help="compile all CPU kernels for this machine now, so that nothing waits later"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if workers can be started, 1 if not (all else is optional)."""
    if args.warm:
        return warm()
    works = True
    for heading, look in _SECTIONS:
        print(heading)
        for finding in look():
            print(f"  {'--' if finding.cure else 'ok'}  {finding.name:<14} {finding.text}")
            if finding.cure:
                print(f"      {'':<14} → {finding.cure}")
            if finding.name == "spawn":
                works = not finding.cure
    return 0 if works else 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _optional(package: str, purpose: str, wanted: str = "") -> Finding:
    """`wanted`: what to install, if it is not the package itself."""
    version = _version(package)
    if version is None:
        return Finding(package, f"not installed: {purpose}", f"{PIP} {wanted or package}")
    return Finding(package, version)


def _software() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("minipar", __version__)
    yield Finding("numpy", np.__version__)
    yield _optional("numba", "kernels run in NumPy, slower")
    for package in ("cloudpickle", "safetensors", "threadpoolctl", "tqdm"):
        yield _optional(package, "minipar needs it")
    yield _optional("matplotlib", "for the notebooks", '".[notebooks]" (in the checkout)')
    yield _optional("torch", "an oracle for tests, a peer for benchmarks", '".[oracle]" (in the checkout)')


def _processor() -> Iterator[Finding]:
    yield Finding("cores", f"{usable_cores()} usable of {os.cpu_count()} ({platform.machine()}, {platform.system()})")
    if _version("threadpoolctl"):
        from threadpoolctl import threadpool_info

        for pool in threadpool_info():
            name = pool.get("internal_api", pool["user_api"])
            yield Finding(pool["user_api"], f"{name} {pool.get('version') or ''}, {pool['num_threads']} threads")
    if _version("numba"):
        yield _kernel_cache()
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        yield Finding("/dev/shm", f"{free / 2**20:,.0f} MB free (minipar uses anonymous memory instead)")


def _kernel_cache() -> Finding:
    from ..kernels.cpu import cache

    cure = "set MINIPAR_CACHE to a folder that can be written"
    try:
        root = cache.cache_root()
    except RuntimeError as error:  # no home
        return Finding("kernel cache", f"none, so that every process compiles its kernels: {error}", cure)
    if cache.kernel_folder() is None:
        return Finding("kernel cache", f"{root} cannot be written: every process compiles its kernels", cure)
    kernels = all_kernels()
    ready = sum(kernel.is_cached() for kernel in kernels)
    rest = "" if ready == len(kernels) else "; `minipar doctor --warm` compiles the rest"
    return Finding("kernel cache", f"{ready} of {len(kernels)} kernels compiled, in {root}{rest}")


def _gpu() -> Iterator[Finding]:
    from ..kernels.cuda import detect

    usable, reason = detect.status()
    install = detect.INSTALL.replace("pip install", PIP)
    if not usable:
        lacks_packages = reason.endswith(detect.INSTALL)
        cure = install if lacks_packages else "nothing to install with pip: `nvidia-smi` must show a GPU first"
        yield Finding("GPU", f"none: {reason.removesuffix(f': {detect.INSTALL}')}", cure)
        yield Finding("NCCL", "needs a GPU", cure)
        return
    import cupy
    from cupy.cuda import nccl

    for index in range(cupy.cuda.runtime.getDeviceCount()):
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        memory = properties["totalGlobalMem"] / 2**30
        yield Finding(f"cuda:{index}", f"{properties['name'].decode()}, {memory:.0f} GiB")
    yield Finding(
        "CUDA", f"driver {cupy.cuda.runtime.driverGetVersion()}, runtime {cupy.cuda.runtime.runtimeGetVersion()}"
    )
    if nccl.available:
        yield Finding("NCCL", str(nccl.get_version()))
    else:
        yield Finding("NCCL", "not installed", install)


def _mpi() -> Iterator[Finding]:
    version, launcher = _version("mpi4py"), shutil.which("mpiexec")
    if version is None:
        yield Finding("MPI", "mpi4py is not installed", f"{PIP} mpi4py mpich")
    elif launcher is None:
        yield Finding("MPI", f"mpi4py {version}, but no mpiexec on PATH", f"{PIP} mpich")
    else:
        yield Finding("MPI", f"mpi4py {version}, {launcher}")


def _workers() -> Iterator[Finding]:
    cure = "processes may be limited here (`ulimit -a`, free memory); launch(…, backend='thread') needs none"
    started = time.perf_counter()
    try:
        from ..parallel import launch

        ranks = launch(lambda comm: float(comm.all_reduce(np.array([comm.rank + 1.0]))[0]), workers=2)
    except ImportError as error:
        yield Finding("spawn", f"two workers could not be started: {error}", f"{PIP} {error.name}")
    except (OSError, RuntimeError) as error:  # WorkerError is a RuntimeError
        yield Finding("spawn", f"two workers could not be started: {' '.join(str(error).split())}", cure)
    else:
        if ranks != [3.0, 3.0]:
            yield Finding("spawn", f"two workers summed 1 and 2 to {ranks}", cure)
            return
        seconds = time.perf_counter() - started
        yield Finding("spawn", f"two workers started, summed and ended in {seconds:.2f} s")


_SECTIONS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("software", _software),
    ("processor", _processor),
    ("GPU", _gpu),
    ("cluster", _mpi),
    ("workers", _workers),
)

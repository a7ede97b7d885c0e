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


@dataclass(frozen=True)
class Finding:
    """One line: a name, what was found, and (if something is missing) the command that mends it."""

    name: str
    text: str
    fine: bool = True
    cure: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print versions, cores, BLAS and threads, GPU, NCCL and MPI, and try to start a worker."


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if workers can be started, 1 if not (all else is optional)."""
    works = True
    for heading, look in _SECTIONS:
        print(heading)
        for finding in look():
            print(f"  {'ok' if finding.fine else '--'}  {finding.name:<14} {finding.text}")
            if finding.cure:
                print(f"      {'':<14} → {finding.cure}")
            if finding.name == "spawn":
                works = finding.fine
    return 0 if works else 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _optional(name: str, package: str, purpose: str, cure: str) -> Finding:
    version = _version(package)
    if version is None:
        return Finding(name, f"not installed: {purpose}", False, cure)
    return Finding(name, version)


def _software() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("minipar", __version__)
    yield Finding("numpy", np.__version__)
    yield _optional("numba", "numba", "kernels run in NumPy, slower", "pip install numba")
    for package in ("cloudpickle", "safetensors", "threadpoolctl", "tqdm"):
        yield _optional(package, package, "minipar needs it", f"pip install {package}")
    yield _optional("matplotlib", "matplotlib", "for the notebooks", 'pip install "minipar[notebooks]"')
    yield _optional("torch", "torch", "an oracle for tests, a peer for benchmarks", 'pip install "minipar[oracle]"')


def _processor() -> Iterator[Finding]:
    from threadpoolctl import threadpool_info

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cores", f"{usable} usable of {os.cpu_count()} ({platform.machine()}, {platform.system()})")
    for pool in threadpool_info():
        name = pool.get("internal_api", pool["user_api"])
        yield Finding(pool["user_api"], f"{name} {pool.get('version') or ''}, {pool['num_threads']} threads")
    if _version("numba"):
        from ..kernels.cpu.cache import cache_root

        yield Finding("kernel cache", str(cache_root()))
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        yield Finding("/dev/shm", f"{free / 2**20:,.0f} MB free (minipar uses anonymous memory instead)")


def _gpu() -> Iterator[Finding]:
    from ..kernels.cuda import detect

    usable, reason = detect.status()
    cure = 'pip install "minipar[gpu]"   (on a machine with an NVIDIA GPU and driver)'
    if not usable:
        yield Finding("GPU", f"none: {reason}", False, cure if "minipar[gpu]" not in reason else "")
        yield Finding("NCCL", "needs a GPU", False)
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
        yield Finding("NCCL", "not installed", False, "pip install nvidia-nccl-cu13")


def _mpi() -> Iterator[Finding]:
    version, launcher = _version("mpi4py"), shutil.which("mpiexec")
    if version is None:
        yield Finding("MPI", "mpi4py is not installed", False, "pip install mpi4py mpich")
    elif launcher is None:
        yield Finding("MPI", f"mpi4py {version}, but no mpiexec on PATH", False, "pip install mpich")
    else:
        yield Finding("MPI", f"mpi4py {version}, {launcher}")


def _workers() -> Iterator[Finding]:
    from ..parallel import WorkerError, launch

    started = time.perf_counter()
    try:
        ranks = launch(lambda comm: float(comm.all_reduce(np.array([comm.rank + 1.0]))[0]), workers=2)
    except (WorkerError, OSError, RuntimeError) as error:
        yield Finding("spawn", f"two workers could not be started: {error}", False)
        return
    seconds = time.perf_counter() - started
    yield Finding("spawn", f"two workers started, summed and ended in {seconds:.2f} s", ranks == [3.0, 3.0])


_SECTIONS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("software", _software),
    ("processor", _processor),
    ("GPU", _gpu),
    ("cluster", _mpi),
    ("workers", _workers),
)

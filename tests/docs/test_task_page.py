"""docs/task-parallel.md: its scripts run, over MPI and Dask too."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.parallel.mpi_programs import needs_mpi, run_job

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "task-parallel.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)
SWEEP, ENSEMBLE, BESIDE, MPI, DASK = (block for block in BLOCKS if not block.startswith(">>>"))


def run(tmp_path, script):
    """Its lines. As a user runs it, away from the checkout."""
    file = tmp_path / "script.py"
    file.write_text(script)
    done = subprocess.run(
        [sys.executable, str(file)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_sweep(tmp_path):
    lines = run(tmp_path, SWEEP)
    assert len(lines) == 6
    scores = [float(line.split()[-1]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.9 > scores[-1]
    here = SWEEP.replace("pool=pool", "workers=0").replace("pool.put(", "(")
    assert run(tmp_path, here) == lines


def test_the_ensemble(tmp_path):
    lines = run(tmp_path, ENSEMBLE)
    *members, together = [float(line.split()[-1]) for line in lines]
    assert len(members) == 4
    assert together > sum(members) / 4 > 0.8


def test_beside_training(tmp_path):
    lines = run(tmp_path, BESIDE.replace("tempfile.mkdtemp()", repr(str(tmp_path))))
    accuracies = [float(line.split()[-1]) for line in lines]
    assert len(accuracies) == 4
    assert accuracies[0] < accuracies[-1] > 0.8
    assert len(list(tmp_path.glob("epoch-*.safetensors"))) == 4


@needs_mpi
def test_over_mpi(tmp_path):
    ended = run_job(tmp_path, 3, MPI, module="mpi4py.futures")
    assert (ended.code, ended.stdout, ended.stderr) == (0, "True\n", "")


@pytest.mark.skipif(find_spec("distributed") is None, reason="needs Dask: pip install distributed")
def test_over_dask(tmp_path):
    assert run(tmp_path, DASK) == ["True"]

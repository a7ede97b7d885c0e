"""`minipar doctor`: what is here, and what mends each line that says something is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

import minipar
from minipar.cli import doctor, main
from minipar.kernels.cuda import detect

ROOT = Path(minipar.__file__).parent.parent


def missing_without_cure(shown: str) -> list[str]:
    lines = [*shown.splitlines(), ""]
    return [line for line, below in pairwise(lines) if line.startswith("  --") and "→ " not in below]


def test_it_tells_what_is_here_and_mends_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "minipar", "doctor"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    assert minipar.__version__ in done.stdout
    assert "two workers started, summed and ended" in done.stdout
    for name in ("numpy", "cores", "blas", "GPU", "NCCL", "MPI", "spawn"):
        assert f"  {name} " in done.stdout
    assert missing_without_cure(done.stdout) == []


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Nothing optional is installed, no GPU, no MPI, no folder for kernels."""

    def no_package(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(
        doctor, "metadata", SimpleNamespace(version=no_package, PackageNotFoundError=metadata.PackageNotFoundError)
    )
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    for module in ("cupy", "threadpoolctl", "tqdm"):
        monkeypatch.setitem(sys.modules, module, None)


def test_every_missing_line_has_a_cure_for_this_environment(bare, capsys):
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert missing_without_cure(shown) == []
    for wanted in ("numba", "tqdm", "threadpoolctl", '".[oracle]" (in the checkout)', '".[gpu]" (in the checkout)'):
        assert f"→ {sys.executable} -m pip install {wanted}\n" in shown
    assert shown.count('".[gpu]"') == 2  # GPU and NCCL
    assert shown.count("  --") >= 9


def test_without_a_driver_no_pip_line_is_promised(monkeypatch, capsys):
    monkeypatch.setattr(detect, "status", lambda: (False, "cupy finds no CUDA device: is an NVIDIA driver installed?"))
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert ".[gpu]" not in shown
    assert missing_without_cure(shown) == []


def test_a_kernel_cache_that_cannot_be_written_is_missing(monkeypatch, tmp_path):
    from minipar.kernels.cpu import cache

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MINIPAR_CACHE", str(tmp_path / "file" / "cache"))
    cache.kernel_folder.cache_clear()
    try:
        found = doctor._kernel_cache()
    finally:
        cache.kernel_folder.cache_clear()
    assert "file/cache cannot be written" in found.text
    assert "MINIPAR_CACHE" in found.cure


def test_workers_that_cannot_start_are_exit_code_1(monkeypatch, capsys):
    from minipar import parallel

    def launch(fn, workers):
        raise OSError("no more processes")

    monkeypatch.setattr(parallel, "launch", launch)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "two workers could not be started: no more processes" in shown
    assert missing_without_cure(shown) == []

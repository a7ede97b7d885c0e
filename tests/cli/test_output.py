"""Output that nobody reads to its end, that does not fit on the disk, or that cannot be encoded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minipar
from tests.standard_error import without_compiling

COMMAND = [sys.executable, "-m", "minipar"]
TRAIN = ["train", "digits", "--epochs", "3", "--out", "out"]
FILES = ["checkpoint.safetensors", "history.json", "loss.svg"]
FULL = Path("/dev/full")


def environment(**more: str) -> dict[str, str]:
    """Standard output is buffered, as it is by default."""
    own = {"PYTHONPATH": str(Path(minipar.__file__).parent.parent), "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": ""}
    return {**os.environ, **own, **more}


def run(*arguments: str, cwd: Path, stdout=subprocess.PIPE, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *arguments], stdout=stdout, stderr=subprocess.PIPE, cwd=cwd, timeout=120, env=environment(**more)
    )


def run_until(lines: int, *arguments: str, cwd: Path) -> tuple[int, str]:
    """As `minipar … | head -LINES`: exit code, and what was said of errors."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=environment()
    ) as process:
        for _ in range(lines):
            process.stdout.readline()
        process.stdout.close()
        errors = without_compiling(process.stderr.read().decode())
    return process.returncode, errors


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_training_goes_on_when_nobody_reads_the_table(lines, tmp_path):
    code, errors = run_until(lines, *TRAIN, cwd=tmp_path)
    assert (code, errors) in ((0, ""), (141, ""))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES


@pytest.mark.parametrize(
    "arguments", [["doctor"], ["--help"], ["bench", "W1", "--seconds", "1", "--against", "reference"]]
)
def test_other_commands_end_silently_when_nobody_reads(arguments, tmp_path):
    code, errors = run_until(0, *arguments, cwd=tmp_path)
    assert (code, errors) == (141, "")


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("arguments", [TRAIN, ["doctor"], ["--help"]])
def test_a_full_disk_under_the_output_is_one_line(arguments, tmp_path):
    with FULL.open("w") as full:
        done = run(*arguments, cwd=tmp_path, stdout=full)
    assert done.returncode == 1
    name = "minipar" if arguments == ["--help"] else f"minipar {arguments[0]}"
    assert without_compiling(done.stderr.decode()) == f"{name}: No space left on device\n"


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path):
    (tmp_path / "out" / "checkpoint.safetensors").mkdir(parents=True)
    done = run(*TRAIN, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = without_compiling(done.stderr.decode()).splitlines()
    assert line.startswith("minipar train: ")
    assert line.endswith("out/checkpoint.safetensors: Is a directory")


def test_a_terminal_that_lacks_a_character_shows_another(tmp_path):
    done = run("train", "ames", "--epochs", "1", cwd=tmp_path, PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 0, done.stderr
    assert b"test R?" in done.stdout.splitlines()[1]
    assert done.stdout.splitlines()[-1].startswith(b"test R? ")

"""README's Python blocks run as they stand, each in a fresh process away from the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_readme_has_its_blocks():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number, tmp_path):
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, timeout=120, env=environment
    )
    assert done.returncode == 0, f"{BLOCKS[number]}\n{done.stderr}"


def test_commands_of_the_readme_are_one_line_each():
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert all("&&" in line for line in lines)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_linked_files_exist(path):
    assert (ROOT / path).exists()


def test_it_says_whether_there_is_a_gpu_result():
    measured = list((ROOT / "benchmarks/results").glob("gpu-*"))
    for page in ("README.md", "benchmarks/README.md"):
        text = " ".join((ROOT / page).read_text().split())
        assert ("not been run on a GPU yet" in text) is (not measured), page


def test_the_checkpoint_of_the_first_command_loads_as_told(tmp_path):
    (line,) = re.findall(r"`(model\.load_state_dict\(.*?\)\))`", README)
    program = f"import minipar; from minipar.cli.tasks import TASKS; model = TASKS['fashion_mnist'].model(); {line}"
    code = (
        "from pathlib import Path; import minipar; from minipar.cli.tasks import TASKS; "
        "Path('runs/fashion_mnist').mkdir(parents=True); "
        "minipar.save(TASKS['fashion_mnist'].model().state_dict(), 'runs/fashion_mnist/checkpoint.safetensors'); "
        + program
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr

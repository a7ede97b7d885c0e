"""docs/layouts.md: the script that it names prints its table of memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
SCRIPT = "benchmarks/inference_memory.py"


def table(text: str) -> dict[str, tuple[float, float]]:
    """Layout: MB of parameters, MB on top."""
    _, _, rest = text.partition("| layout | parameters | on top |")
    rows, _, _ = rest.partition("\n\n")
    return {name: (float(a), float(b)) for name, a, b in re.findall(r"^\| (.*?) \| (\d+) \| ([\d.]+)", rows, re.M)}


def test_the_script_prints_the_table(tmp_path):
    assert f"`python {SCRIPT}`" in TEXT
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(ROOT / SCRIPT)], capture_output=True, text=True, cwd=tmp_path, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    made, told = table(done.stdout), table(TEXT)
    assert len(told) == 6
    assert list(made) == list(told)
    for layout in told:
        assert made[layout] == pytest.approx(told[layout], abs=0.11), layout

"""docs/layouts.md: the script that it names prints its tables of inference."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
SCRIPT = "benchmarks/inference.py"


def tables(text: str) -> list[dict[str, tuple[float, float, float]]]:
    """Of each table, by layout: MB of parameters, MB on top, ms a batch."""
    found = []
    for rest in text.split("| layout | parameters | on top | ms a batch |")[1:]:
        rows, _, _ = rest.partition("\n\n")
        cells = re.findall(r"^\| (.*?) \| ([\d.]+) \| ([\d.]+)\b.*? \| ([\d.]+) \|$", rows, re.M)
        found.append({name: (float(held), float(top), float(ms)) for name, held, top, ms in cells})
    return found


def test_the_script_prints_the_tables(tmp_path):
    """But for the time, which is the machine's."""
    assert f"`python {SCRIPT}`" in TEXT
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(ROOT / SCRIPT), "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    made, told = tables(done.stdout), tables(TEXT)
    assert [list(table) for table in made] == [list(table) for table in told]
    assert [len(table) for table in told] == [8, 5]
    for ours, theirs in zip(made, told):
        for layout, (held, on_top, ms) in ours.items():
            assert (held, on_top) == pytest.approx(theirs[layout][:2], abs=0.11), layout
            assert ms > 0, layout

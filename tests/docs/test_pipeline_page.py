"""docs/pipeline.md: its table of schedules is whole, and the script that it names prints what is measured."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minipar.parallel.pipeline import SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
SCRIPT = "benchmarks/pipeline_bubble.py"


def measured(text: str) -> dict[str, tuple[str, list[float]]]:
    """Of each schedule, plain or recomputed: the bubble by formula, and all that is said of MB."""
    rows = re.findall(r"^\| (`[\w-]+`.*?) \| ([\d.]+)% \| [\d.]+% \| [\d.]+% \| (.*) \|$", text, re.M)
    return {name: (bubble, [float(x) for x in re.split(r": | \| ", megabytes)]) for name, bubble, megabytes in rows}


def test_its_table_names_every_schedule():
    assert set(re.findall(r'^\| `"([\w-]+)"` \|', TEXT, re.M)) == set(SCHEDULES)


def test_the_script_prints_what_is_measured(tmp_path):
    """But for the time, which is the machine's, and a message (0.5 MB) that may be under way at the peak of a rank."""
    assert f"`python {SCRIPT}`" in TEXT
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(ROOT / SCRIPT), "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    made, told = measured(done.stdout), measured(TEXT)
    assert list(made) == list(told)
    assert len(told) == 2 * len(set(SCHEDULES) - {"inference"})
    for name, (bubble, megabytes) in made.items():
        assert bubble == told[name][0], name
        assert megabytes == pytest.approx(told[name][1], abs=0.6), name

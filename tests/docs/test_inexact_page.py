"""docs/inexact.md: its script makes its table, and what the table says holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "inexact.md"
TEXT = PAGE.read_text(encoding="utf-8")


def _rows(text):
    """name: (distance, loss, KB)"""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if re.search(r"\| \d", line)]
    return {name: tuple(map(float, numbers)) for name, *numbers in cells}


def test_its_script_makes_its_table(tmp_path):
    script = tmp_path / "page.py"
    script.write_text(re.search(r"```python\n(.*?)```", TEXT, re.S)[1], encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    made, told = _rows(done.stdout), _rows(TEXT)
    assert list(made) == list(told)
    for rows in (made, told):
        distance = {name: numbers[0] for name, numbers in rows.items()}
        assert distance["exact"] == 0.0
        assert max(distance["mean of models every step"], distance["`ParameterServer`, staleness 0"]) < 1e-5
        assert 0.0 < distance['`compress="fp16"`'] < 1e-3
        assert distance['`compress="topk:0.1"`'] < distance['`compress="topk:0.01"`']
        assert distance["every 5 steps"] < distance["every 20 steps"]
        assert min(distance["staleness 4"], distance["asynchronous"]) > 1e-4
    for name, (_, loss, sent) in made.items():
        assert abs(sent - told[name][2]) < 0.15
        if name not in ("staleness 4", "asynchronous"):
            assert abs(loss - told[name][1]) < 0.002

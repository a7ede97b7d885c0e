"""docs/timeline.md: its blocks run as one script; the table is of all that a Span has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from minipar.parallel import timeline

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "timeline.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_its_blocks_run_as_one_script(tmp_path):
    script = tmp_path / "page.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.S)), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    told = [line.split(":")[0] for line in re.search(r"```text\n(.*?)```", TEXT, re.S)[1].splitlines()]
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == told
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    assert {event["pid"] for event in events} == {0, 1}
    names = {event["name"] for event in events}
    assert {"step", "forward", "backward", "gradients of all ranks", "update", "all_reduce"} <= names


def test_its_table_has_every_attribute():
    told = set(
        re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in TEXT.splitlines() if line.startswith("| `")))
    )
    assert told == {*timeline.Span._fields, "duration_ns"}

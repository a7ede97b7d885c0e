"""benchmarks/import_time.py measures what a user meets: modules whose bytecode lies on the disk."""

from __future__ import annotations

import os
import runpy
from pathlib import Path


def test_its_processes_keep_bytecode_also_where_this_one_does_not(monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    script = runpy.run_path(str(Path(__file__).resolve().parents[2] / "benchmarks/import_time.py"))
    assert script["seconds"]("import sys; assert not sys.dont_write_bytecode") > 0

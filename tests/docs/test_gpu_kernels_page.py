"""docs/gpu-kernels.md: its table of launches and bytes is what its tool counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_its_table_is_what_is_counted():
    spec = importlib.util.spec_from_file_location("make_gpu_table", ROOT / "tools" / "make_gpu_table.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.table() in tool.PAGE.read_text(encoding="utf-8"), "run python tools/make_gpu_table.py"

"""docs/pipeline.md: its table is whole."""

import re
from pathlib import Path

from minipar.parallel.pipeline import SCHEDULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pipeline.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_its_table_names_every_schedule():
    assert set(re.findall(r'^\| `"([\w-]+)"` \|', TEXT, re.M)) == set(SCHEDULES)

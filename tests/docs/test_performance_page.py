"""docs/performance.md holds the newest committed measurements."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from minipar.bench.fresh import Findings
from minipar.bench.profile import Anatomy, Profile
from minipar.bench.sweep.command import Outcome, Sweep
from minipar.bench.table import Table

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools/make_performance.py"))
EMPTY = "\n".join(
    f"<!-- {part}: copied by tools/make_performance.py --><!-- end of {part} -->" for part in TOOL["PARTS"]
)


def test_the_page_is_as_the_results_are():
    text = TOOL["PAGE"].read_text(encoding="utf-8")
    assert text == TOOL["page"](text, TOOL["RESULTS"]), "run python tools/make_performance.py"


def test_every_part_is_copied_from_what_the_bench_writes(tmp_path):
    facts = {"date": "today", "system": "is not shown"}
    written = {
        "": Table(facts, [], {}, {}),
        "-profile": Profile({"W1": Anatomy(1.0, {"forward": 0.5, "backward": 0.5, "update": 0.0}, {})}, facts),
        "-sweep": Sweep(facts, {"Linear a": Outcome(1.0, 2.0, 1.0, 2.0)}),
        "-memory": Findings("Memory", "How.", ("of",), [["memory row"]], ["kept: met"], facts=facts),
        "-startup": Findings("Start-up", "How.", ("of",), [["startup row"]], ["quick: met"], facts=facts),
    }
    for suffix, found in written.items():
        (tmp_path / f"cpu-2026-01-02{suffix}.md").write_text(found.markdown(), encoding="utf-8")
    page = TOOL["page"](EMPTY, tmp_path)
    for expected in ("÷ best peer", "| W1 | 1 s |", "geometric mean of the ratios 2.00", "memory row", "quick: met"):
        assert expected in page
    assert page.count("date: today.") == 5
    assert "is not shown" not in page
    assert "All contenders" not in page
    assert "The 20 slowest" not in page
    assert TOOL["page"](page, tmp_path) == page


def test_the_newest_file_counts_and_nothing_is_said_of_none(tmp_path):
    for day, row in (("02", "new"), ("01", "old")):
        found = Findings("Memory", "How.", ("of",), [[row]], facts={"date": day})
        (tmp_path / f"cpu-2026-01-{day}-memory.md").write_text(found.markdown(), encoding="utf-8")
    page = TOOL["page"](EMPTY, tmp_path)
    assert "| new |" in page
    assert "| old |" not in page
    assert page.count(TOOL["NOTHING"]) == 4


def test_a_page_without_a_place_is_refused():
    with pytest.raises(ValueError, match="no place for bars"):
        TOOL["page"]("# How fast", Path())

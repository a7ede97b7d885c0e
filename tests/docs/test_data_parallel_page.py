"""docs/data-parallel.md: its script draws its picture; what the picture shows and what the tables say holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "data-parallel.md"
TEXT = PAGE.read_text(encoding="utf-8")
(SCRIPT,) = (block for block in re.findall(r"```python\n(.*?)```", TEXT, re.S) if not block.startswith(">>>"))
ROW = re.compile(r"rank (\d)  (\S.*?)(?: +(\d\d+))? +\|( *)(\S+)")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the script prints."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.py").write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(folder / "page.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=folder, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def told() -> str:
    (picture,) = (block for block in re.findall(r"```text\n(.*?)```", TEXT, re.S) if re.match(r"[\d.]+ ms\n", block))
    return picture


def rows(picture: str) -> list[tuple[int, str, int, int, int]]:
    """(rank, name, bytes, first column, column after the last) of each line."""
    found = [ROW.fullmatch(line).groups() for line in picture.splitlines()[1:]]
    return [(int(r), name, int(size or 0), len(gap), len(gap + bar.rstrip("▏"))) for r, name, size, gap, bar in found]


def test_its_script_draws_its_picture(made):
    assert re.match(r"[\d.]+ ms\n", made)
    assert sorted(row[:3] for row in rows(made)) == sorted(row[:3] for row in rows(told()))


@pytest.mark.parametrize("whose", ["the page's", "made"])
def test_buckets_begin_while_backward_runs_and_the_last_one_after(whose, made):
    picture = rows(made if whose == "made" else told())
    layer = 4 * 512 * (512 + 1)
    for rank in range(2):
        ((begin, end),) = [row[3:] for row in picture if row[:2] == (rank, "backward 0")]
        starts = [row[3] for row in picture if row[:3] == (rank, "all_reduce", layer)]
        assert len(starts) == 4
        assert begin <= starts[0] <= end <= starts[3]


def test_its_calls_are_those_that_are_recorded():
    table = [int(size) for size in re.findall(r"^\| (\d+) \| .* \| .* \|$", TEXT, re.M) if int(size) > 3]
    (listed,) = re.findall(r"^\[\('all_reduce', 24\), .*\]$", TEXT, re.M)
    assert sorted(table) == [int(size) for size in re.findall(r"\d+", listed)]


def test_bytes_a_rank_are_the_sum_of_what_it_keeps():
    kept = [line.strip("| ").split(" | ")[2:6] for line in TEXT.splitlines() if re.match(r"\| [0-3] \|", line)]
    assert len(kept) == 4
    for n in (1, 2, 3, 8):
        for *parts, total in kept:
            assert sum(eval(part, {"N": n}) for part in parts) == pytest.approx(eval(total, {"N": n}))

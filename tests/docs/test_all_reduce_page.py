"""docs/all-reduce.md: its table of counts is what the simulation counts."""

from pathlib import Path

import numpy as np

from minipar import parallel

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "all-reduce.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_its_counts_are_those_of_the_simulation():
    _, _, rest = TEXT.partition("<!-- counted")
    lines = rest.partition("<!-- end of counted")[0].splitlines()
    rows = {
        cells[1].strip(): [int(cell) for cell in cells[2:-1]] for cells in (line.split("|") for line in lines[4:-1])
    }
    expected: dict[str, list[int]] = {}
    for name in ("ring", "halving-doubling", "tree", "master"):
        runs = [parallel.simulate_all_reduce(name, [np.zeros(1001, np.float32)] * size) for size in (2, 6, 8)]
        expected[name] = [count for run in runs for count in (run.steps, run.bytes)]
    least = [parallel.all_reduce_cost("lower bound", size, 4004, itemsize=4) for size in (2, 6, 8)]
    expected["lower bound"] = [count for cost in least for count in (cost.steps, cost.bytes)]
    assert rows == expected

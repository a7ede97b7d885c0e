"""docs/all-reduce.md: its examples run, and its table of counts is what the simulation counts."""

import doctest
import re
from pathlib import Path

import numpy as np

from minipar import parallel

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "all-reduce.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_its_examples_run():
    examples = "".join(re.findall(r"```python\n(.*?)```", TEXT, re.S))
    test = doctest.DocTestParser().get_doctest(examples, {}, "all-reduce.md", str(PAGE), 0)
    assert len(test.examples) > 10
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.failures == 0


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


def test_linked_files_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert len(links) == 4
    assert all((PAGE.parent / link).exists() for link in links)

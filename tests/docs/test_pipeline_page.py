"""docs/pipeline.md: its examples run, and its links lead somewhere."""

import doctest
import re
from pathlib import Path

from minipar.parallel.pipeline import SCHEDULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pipeline.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_its_examples_run():
    examples = "".join(re.findall(r"```python\n(.*?)```", TEXT, re.S))
    test = doctest.DocTestParser().get_doctest(examples.replace("…", "..."), {}, "pipeline.md", str(PAGE), 0)
    assert len(test.examples) > 20
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test)
    assert runner.failures == 0


def test_its_table_names_every_schedule():
    assert set(re.findall(r'^\| `"([\w-]+)"` \|', TEXT, re.M)) == set(SCHEDULES)


def test_linked_files_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "//" not in link]
    assert links
    assert all((PAGE.parent / link).exists() for link in links)

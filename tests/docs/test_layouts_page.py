"""docs/layouts.md: its examples run, and its links lead somewhere."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "layouts.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_its_examples_run():
    examples = "".join(re.findall(r"```python\n(.*?)```", TEXT, re.S))
    test = doctest.DocTestParser().get_doctest(examples, {}, "layouts.md", str(PAGE), 0)
    assert len(test.examples) > 12
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.failures == 0


def test_linked_files_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "//" not in link]
    assert links
    assert all((PAGE.parent / link).exists() for link in links)

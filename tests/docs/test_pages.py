"""Every page of docs/: its examples run, one after the other, and its links lead somewhere."""

import doctest
import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs").glob("*.md"))
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples(page: Path) -> str:
    """Blocks that show a session. (What a page shows as a script is run by that page's own tests.)"""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    return "".join(block for block in blocks if block.startswith(">>>")).replace("…", "...")


def test_there_are_pages_with_examples():
    assert len(list(filter(examples, PAGES))) >= 6


@pytest.mark.parametrize("page", list(filter(examples, PAGES)), ids=lambda page: page.stem)
def test_examples_run(page):
    test = doctest.DocTestParser().get_doctest(examples(page), {}, page.name, str(page), 0)
    assert len(test.examples) > 10
    assert doctest.DocTestRunner(optionflags=OPTIONS).run(test).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_linked_files_exist(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    inside = [link for link in links if "//" not in link]
    assert [link for link in inside if not (page.parent / link).exists()] == []

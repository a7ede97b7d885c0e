"""The committed pages are what their tools make of the code as it stands."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


API, NAMES = tool("make_api"), tool("make_names")
PAGES = API.made()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_api_is_fresh(name):
    assert (API.FOLDER / name).read_text() == PAGES[name], "run python tools/make_api.py"


def test_no_page_is_left_of_a_room_that_is_gone():
    assert {path.name for path in API.FOLDER.iterdir()} == set(PAGES)


def test_a_page_is_the_same_when_made_again():
    assert API.made() == PAGES
    assert not any(" at 0x" in text for text in PAGES.values())


def anchors(page: str) -> set[str]:
    """What GitHub makes of a page's headings."""
    made = API.Anchors()
    return {made.of(heading) for heading in re.findall(r"^#{1,4} (.*)$", PAGES[page], re.M)}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    for page, anchor in re.findall(r"\]\(([\w.]*)#([^)]*)\)", PAGES[name]):
        assert anchor in anchors(page or name), (page, anchor)
    assert all((API.FOLDER / file).exists() for file in re.findall(r"\]\(([^#)]+)[#)]", PAGES[name]))


def test_a_class_tells_of_its_methods_and_where_the_others_stand():
    _, _, rest = PAGES["minipar.nn.md"].partition("### Embedding\n")
    embedding, _, _ = rest.partition("\n### ")
    assert "#### `Embedding.from_pretrained(embeddings, freeze=True, " in embedding
    assert "And the methods of [`Module`](#module-1)." in embedding
    assert "state_dict" not in embedding
    assert "#### `Module.state_dict(" in PAGES["minipar.nn.md"]
    assert "And the methods of [`Module`](minipar.nn.md#module-1)." in PAGES["minipar.parallel.md"]


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("``f(*args, **kwargs)`` of `*x`", "``f(*args, **kwargs)`` of `*x`"),
        ("|x| in (N, *)", "|x| in (N, *)"),
        ("(N, *) → (M, *), as *one* says", r"(N, \*) → (M, \*), as *one* says"),
        ("W_ih x_t < y, but <b> and _y_ and [0](1)", r"W_ih x_t < y, but \<b> and \_y_ and \[0](1)"),
        ("| a | b |\n|---|---|\n| `x` | 1 |", "| a | b |\n|---|---|\n| `x` | 1 |"),
        ("    def f(x):\n\n        return x", "```python\ndef f(x):\n\n    return x\n```"),
        ("    y = Σ x", "```text\ny = Σ x\n```"),
        (">>> f(\n...     1)\n2", "```pycon\n>>> f(\n...     1)\n2\n```"),
    ],
)
def test_a_docstring_stays_what_it_is(docstring, expected):
    assert list(API.markdown(docstring)) == [expected]


def test_the_table_of_names_is_fresh():
    assert (ROOT / "docs" / "pytorch-names.md").read_text() == NAMES.page(), "run python tools/make_names.py"


def test_the_table_knows_what_is_here_what_differs_and_what_is_absent():
    rows = NAMES.rows("torch.nn", ["Linear", "MSELoss", "LazyLinear"], {"nn.MSELoss": "refuses unequal shapes"})
    assert [state for _, state, _ in rows] == ["supported", "differs", "absent"]


def test_every_name_among_the_differences_is_one_of_pytorchs():
    """Names stand in the first column in backticks, as after `torch.`; all else there has spaces or signs."""
    import json

    listing = json.loads(NAMES.NAMES.read_text())
    known = {f"{room}.{n}".removeprefix("torch.") for room, by in listing.items() for ns in by.values() for n in ns}
    told = NAMES.differences(NAMES.DIFFERENCES.read_text())
    assert not sorted(set(told) - known - {"cuda.is_available", "cuda.device_count"})

"""Copy the newest committed measurements into docs/performance.md: `python tools/make_performance.py`.

What `minipar bench --all-results benchmarks/results` has written is copied between the page's marks, each part from the
newest file of its kind; the words around stay.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"

# Part of the page → (end of the file's name, heading that it stands under; "" for the body below the conditions).
PARTS = {
    "bars": ("", "## The bars"),
    "profile": ("-profile", ""),
    "sweep": ("-sweep", ""),
    "memory": ("-memory", ""),
    "startup": ("-startup", ""),
}
CONDITIONS = ("date", "processor", "minipar", "numpy", "torch", "contender torch", "rates")
NOTHING = "No run has been committed yet."


def main() -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), RESULTS), encoding="utf-8")


def page(text: str, results: Path) -> str:
    """The page with its parts made anew. ValueError if a part has no place in it."""
    for part, (suffix, heading) in PARTS.items():
        begin, end = f"<!-- {part}: copied by tools/make_performance.py -->", f"<!-- end of {part} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"docs/performance.md has no place for {part}: {begin} … {end}")
        text = f"{before}{begin}\n\n{copied(results, suffix, heading)}\n\n{end}{after}"
    return text


def copied(results: Path, suffix: str, heading: str) -> str:
    """From the newest file of this kind that has the heading: where it comes from, and what stands under it."""
    for file in sorted(results.glob(f"cpu-????-??-??{suffix}.md"), reverse=True):
        text = file.read_text(encoding="utf-8")
        body = under(text, heading)
        if body:
            facts = [line for line in text.splitlines() if line.startswith(tuple(f"- {name}: " for name in CONDITIONS))]
            known = "; ".join(fact.removeprefix("- ") for fact in facts)
            return f"From [{file.stem}](../benchmarks/results/{file.name}): {known}.\n\n{body}"
    return NOTHING


def under(text: str, heading: str) -> str:
    """What stands below the heading, up to the next; without one, all below the list of conditions up to a heading."""
    if heading:
        _, found, text = text.partition(f"\n{heading}\n")
        if not found:
            return ""
    else:
        text = re.sub(r"\A# .*\n\n(- .*\n)*", "", text)
    return text.partition("\n## ")[0].strip()


if __name__ == "__main__":
    main()

"""The benchmark's tables: for the terminal, as Markdown, and the same as plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .summary import QUIET, Row, ratio, remarks
from .workloads import WORKLOADS

COLUMNS = ("contender", "median", "best block", "minimum", "÷ minipar", "(best)", "quiet", "remarks")
LEGEND = f"""\
One training step (forward, backward, update) on one fixed batch in float32; contenders interleaved, one process each.
*median*: of the medians of the quiet blocks; *best block*: the lowest of these medians; *minimum*: the fastest step.
*÷ minipar*: a contender's median (in brackets: its best block) divided by minipar's, so above 1 minipar is faster;
*undecided*: the two disagree about who is.
*quiet*: blocks during which other processes used at most {QUIET:g} of a core, of all blocks; only these count. A
row without one shows the times of all its blocks and is no result: it has no ratio (–)."""


def duration(seconds: float) -> str:
    """Three significant digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 999.5 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def cells(row: Row, baseline: Row) -> list[str]:
    """One line of a workload's table, as in COLUMNS."""
    noted = "; ".join(remarks(row, baseline))
    if not row.blocks:
        return [row.contender, *[""] * (len(COLUMNS) - 2), noted]
    times = [duration(seconds) for seconds in (row.median, row.best, row.minimum)]
    compared = ratio(row, baseline)
    ratios = [f"{compared.median:.2f}", f"({compared.best:.2f})"] if compared else ["–", "–"]
    quiet = "?" if row.quiet_blocks is None else str(row.quiet_blocks)
    return [row.contender, *times, *ratios, f"{quiet}/{len(row.blocks)}", noted]


def text_table(workload: str, rows: Sequence[Row]) -> str:
    """One workload for the terminal: names to the left, numbers to the right."""
    lines = [list(COLUMNS), *(cells(row, rows[0]) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    last = len(COLUMNS) - 1
    shown = [
        "  ".join(text.ljust(widths[i]) if i in (0, last) else text.rjust(widths[i]) for i, text in enumerate(line))
        for line in lines
    ]
    return "\n".join([f"{workload}  {WORKLOADS[workload].summary}", *(f"    {line.rstrip()}" for line in shown)])


def markdown(conditions: Mapping[str, str], results: Mapping[str, Sequence[Row]]) -> str:
    """The whole run as one Markdown page."""
    page = ["# Training steps, measured by `minipar bench`", ""]
    page += [f"- {name}: {text}" for name, text in {**conditions, **threads(results)}.items()]
    page += ["", LEGEND, ""]
    page += markdown_table(
        ("workload", *COLUMNS),
        [
            [workload if row is rows[0] else "", *cells(row, rows[0])]
            for workload, rows in results.items()
            for row in rows
        ],
    )
    page += ["", "Workloads:", ""]
    page += [
        f"- {name}: {w.summary}; {w.loss}, {w.optimizer}(lr={w.lr:g})"
        for name, w in WORKLOADS.items()
        if name in results
    ]
    return "\n".join(page) + "\n"


def markdown_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; a bar inside a cell is escaped."""
    escaped = [[text.replace("|", r"\|") for text in line] for line in lines]
    return [f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *escaped)]


def threads(results: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Contender → the version and threads it ran with."""
    return {
        f"contender {row.contender}": f"{row.version}, threads: {row.threads}"
        for rows in results.values()
        for row in rows
        if row.version
    }


def data(conditions: Mapping[str, str], results: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """The whole run as plain data, every block included; times in seconds a step."""
    return {
        "conditions": dict(conditions),
        "results": {workload: [_row_data(row, rows[0]) for row in rows] for workload, rows in results.items()},
    }


def _row_data(row: Row, baseline: Row) -> dict[str, Any]:
    found = {**asdict(row), "remarks": remarks(row, baseline)}
    if row.blocks:
        found |= {"median": row.median, "best": row.best, "minimum": row.minimum, "quiet_blocks": row.quiet_blocks}
    compared = ratio(row, baseline)
    if compared:
        found["ratio"] = asdict(compared)
    return found

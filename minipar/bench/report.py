"""The benchmark's tables: for the terminal, as Markdown, and the same as plain data for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .bars import best_peer, verdicts
from .contenders import PEERS
from .summary import QUIET, Row, ratio, remarks
from .workloads import WORKLOADS

Results = Mapping[str, Sequence[Row]]  # workload → rows, the first of them minipar's
Limits = Mapping[str, float]  # workload → seconds of a step at this machine's limit

COLUMNS = ("contender", "median", "best block", "minimum", "÷ minipar", "(best)", "of limit", "quiet", "remarks")
LEGEND = f"""\
One training step (forward, backward, update) on one fixed batch in float32; contenders interleaved, one process each.
*median*: of the medians of the quiet blocks; *best block*: the lowest of these medians; *minimum*: the fastest step.
*÷ minipar*: a contender's median (in brackets: its best block) divided by minipar's, so above 1 minipar is faster;
*undecided*: the two disagree about who is.
*of limit*: the time that the step's matrix products and memory traffic need on this machine, divided by the median.
*quiet*: blocks during which other processes used at most {QUIET:g} of a core, of all blocks; only these count. A
row without one shows the times of all its blocks and is no result: it has no ratio (–)."""


def duration(seconds: float) -> str:
    """Three significant digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 999.5 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def cells(row: Row, baseline: Row, limit: float | None = None) -> list[str]:
    """One line of a workload's table, as in COLUMNS."""
    noted = "; ".join(remarks(row, baseline))
    if not row.blocks:
        return [row.contender, *[""] * (len(COLUMNS) - 2), noted]
    times = [duration(seconds) for seconds in (row.median, row.best, row.minimum)]
    compared = ratio(row, baseline)
    ratios = [f"{compared.median:.2f}", f"({compared.best:.2f})"] if compared else ["–", "–"]
    share = percent(limit, row)
    quiet = "?" if row.quiet_blocks is None else str(row.quiet_blocks)
    return [row.contender, *times, *ratios, share, f"{quiet}/{len(row.blocks)}", noted]


def text_table(workload: str, rows: Sequence[Row], limit: float | None = None) -> str:
    """One workload for the terminal: names to the left, numbers to the right; then its bars."""
    lines = aligned([list(COLUMNS), *(cells(row, rows[0], limit) for row in rows)])
    title = f"{workload}  {WORKLOADS[workload].summary}" + (f"; limit {duration(limit)}" if limit else "")
    bars = [
        f"    {number(verdict.found)} against {verdict.name}, bar {verdict.wanted:g}: {verdict.answer}"
        for verdict in verdicts(workload, rows, PEERS)
    ]
    return "\n".join([title, *(f"    {line}" for line in lines), *bars])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table for the terminal: first and last column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    last = len(widths) - 1
    return [
        "  ".join(
            text.ljust(widths[i]) if i in (0, last) else text.rjust(widths[i]) for i, text in enumerate(line)
        ).rstrip()
        for line in lines
    ]


def percent(limit: float | None, row: Row) -> str:
    """The limit's share of a row's time, to two digits."""
    if limit is None or not row.blocks:
        return "?"
    share = 100 * limit / row.median
    return f"{share:.0f}%" if share >= 9.95 else f"{share:.2g}%"


def number(found: float | None) -> str:
    return "–" if found is None else f"{found:.2f}"


BAR_COLUMNS = ("workload", "minipar", "of limit", "÷ torch", "bar", "", "÷ best peer", "which", "bar", "")


def bar_lines(results: Results, limits: Limits) -> list[list[str]]:
    """A line a workload: minipar's time, its share of the limit, and each bar beside what was measured."""
    lines = []
    for workload, rows in results.items():
        found = {verdict.name.partition(" (")[0]: verdict for verdict in verdicts(workload, rows, PEERS)}
        best = best_peer(rows, PEERS)
        time = duration(rows[0].median) if rows[0].blocks else "–"
        share = percent(limits.get(workload), rows[0])
        line = [workload, time, share]
        for name in ("torch", "best peer"):
            verdict = found.get(name)
            line += [number(verdict.found)] if verdict else ["–"]
            line += [best.contender if best else "–"] if name == "best peer" else []
            line += [f"{verdict.wanted:g}", verdict.answer] if verdict else ["–", "–"]
        lines.append(line)
    return lines


def markdown(conditions: Mapping[str, str], results: Results, limits: Limits) -> str:
    """The whole run as one Markdown page."""
    page = ["# Training steps, measured by `minipar bench`", ""]
    page += [f"- {name}: {text}" for name, text in {**conditions, **threads(results)}.items()]
    page += ["", "## The bars", "", *markdown_table(BAR_COLUMNS, bar_lines(results, limits))]
    page += ["", "## All contenders", "", LEGEND, ""]
    page += markdown_table(
        ("workload", *COLUMNS),
        [
            [workload if row is rows[0] else "", *cells(row, rows[0], limits.get(workload))]
            for workload, rows in results.items()
            for row in rows
        ],
    )
    page += ["", "Workloads:", ""]
    page += [
        f"- {name}: {w.summary}; {w.loss}, {w.optimizer}(lr={w.lr:g})"
        + (f"; limit {duration(limits[name])}" if name in limits else "")
        for name, w in WORKLOADS.items()
        if name in results
    ]
    return "\n".join(page) + "\n"


def markdown_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; a bar inside a cell is escaped."""
    escaped = [[text.replace("|", r"\|") for text in line] for line in lines]
    return [f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *escaped)]


def threads(results: Results) -> dict[str, str]:
    """Contender → the version and threads it ran with."""
    return {
        f"contender {row.contender}": f"{row.version}, threads: {row.threads}"
        for rows in results.values()
        for row in rows
        if row.version
    }


def data(conditions: Mapping[str, str], results: Results, limits: Limits) -> dict[str, Any]:
    """The whole run as plain data, every block included; times in seconds a step."""
    return {
        "conditions": dict(conditions),
        "limits": dict(limits),
        "bars": {w: [asdict(verdict) for verdict in verdicts(w, rows, PEERS)] for w, rows in results.items()},
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

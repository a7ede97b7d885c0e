"""`minipar bench --comm`: the whole run, and its tables for the terminal, as Markdown and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..machine import conditions
from ..report import aligned, duration, markdown_table
from ..summary import QUIET, remarks
from . import pool_times, span_cost
from .bars import COLUMNS as BAR_COLUMNS
from .bars import REGISTERED, Verdict, times_as_fast, verdicts
from .contenders import contenders
from .contest import Contest, hold

RANKS = (2, 4)
COLUMNS = ("size", "contender", "median", "best block", "minimum", "÷ registered", "quiet", "remarks")
METHOD = f"""\
All-reduce (sum, float32) of one array a rank, in place, in blocks in turn; the ranks of every contender start once, and
sleep on a socket while others have their turn. A repeat: the array is filled, all ranks meet, and each takes the time
of its call; what counts is the slowest rank. *median*: of the medians of the quiet blocks (others used at most
{QUIET:g} of a core); *best block*: the lowest of these medians; *minimum*: the fastest repeat. *÷ registered*: a
contender's median over that of minipar's registered arrays, so above 1 minipar is faster. *minipar registered*: arrays
of `Communicator.empty`; *minipar private*: ordinary ones; *minipar bound*: what memory asks of each rank, in the same
processes: `np.add` of its share of all arrays and a copy of the sums into the others', in private memory, with no rank
waiting for another. *barrier*: one of 100 in a row."""


@dataclass
class Comparison:
    """All that one run found."""

    facts: dict[str, str]
    missing: list[str]
    contests: list[Contest] = field(default_factory=list)
    other_bars: list[Verdict] = field(default_factory=list)
    spans: span_cost.SpanCost | None = None

    @property
    def failed(self) -> bool:
        return any(contest.errors for contest in self.contests)

    @property
    def verdicts(self) -> list[Verdict]:
        return [*(verdict for contest in self.contests for verdict in verdicts(contest)), *self.other_bars]

    def markdown(self) -> str:
        page = ["# All-reduce between ranks of one machine, measured by `minipar bench --comm`", ""]
        page += [f"- {name}: {text}" for name, text in self.facts.items()]
        page += ["", "## The bars", "", *markdown_table(BAR_COLUMNS, [verdict.cells() for verdict in self.verdicts])]
        for contest in self.contests:
            lines = [line for size in contest.rows for line in size_lines(contest, size)]
            page += ["", f"## {contest.ranks} ranks", "", *markdown_table(COLUMNS, lines)]
        page += ["", METHOD, "", *self.missing]
        return "\n".join(page).rstrip() + "\n"

    def data(self) -> dict[str, Any]:
        """Times in seconds, every block included."""
        return {
            "conditions": self.facts,
            "missing": self.missing,
            "bars": [{**asdict(verdict), "answer": verdict.answer} for verdict in self.verdicts],
            "contests": [asdict(contest) for contest in self.contests],
            "spans": self.spans and {**asdict(self.spans), "share": self.spans.share},
        }


def measure(ranks: Sequence[int], pythons: Sequence[str]) -> Comparison:
    """Hold the contests, printing each size as it is done."""
    able, missing = contenders(pythons)
    found = Comparison(conditions(), missing)
    print("\n".join([*(f"{name:>10}  {text}" for name, text in found.facts.items()), *missing]), flush=True)
    found.spans = span_cost.measure()
    found.other_bars += [_spans(found.spans), *_workers()]
    for number in ranks:
        print(f"\n{number} ranks\n{_text_line(COLUMNS)}", flush=True)
        contest = hold(number, able, _show)
        found.contests.append(contest)
        found.facts |= contest.versions
        for name, error in contest.errors.items():
            print(f"{name} failed: {error}", flush=True)
    versions = {name: text for contest in found.contests for name, text in contest.versions.items()}
    print("\n" + "\n".join(f"{name}: {text}" for name, text in versions.items()))
    print("\n" + "\n".join(aligned([BAR_COLUMNS, *(verdict.cells() for verdict in found.verdicts)])), flush=True)
    return found


def size_lines(contest: Contest, size: str) -> list[list[str]]:
    """The rows of one size, as in COLUMNS."""
    rows = contest.rows[size]
    baseline = rows.get(REGISTERED) or rows.get("minipar")
    lines: list[list[str]] = []
    for row in rows.values():
        named = [size if not lines else "", row.contender]
        if not row.blocks:
            lines.append([*named, "", "", "", "", "", row.error])
            continue
        times = [duration(seconds) for seconds in (row.median, row.best, row.minimum)]
        ratio = times_as_fast(baseline, row)
        quiet = "?" if row.quiet_blocks is None else str(row.quiet_blocks)
        noted = remarks(row, baseline or row)
        lines.append(
            [*named, *times, "–" if ratio is None else f"{ratio:.2f}", f"{quiet}/{len(row.blocks)}", "; ".join(noted)]
        )
    return lines


def _show(contest: Contest, size: str) -> None:
    print("\n".join(_text_line(line) for line in size_lines(contest, size)), flush=True)


def _text_line(cells: Sequence[str]) -> str:
    """Names to the left, numbers to the right: the same widths for all sizes, which are printed as they are found."""
    size, contender, *numbers, noted = cells
    return f"    {size:8}{contender:20}{''.join(f'{number:>14}' for number in numbers)}  {noted}".rstrip()


def _workers() -> list[Verdict]:
    found = []
    for row, limit, unit, scale in zip(
        pool_times.measure(), (pool_times.START_LIMIT, pool_times.ROUND_TRIP_LIMIT), ("s", "ms"), (1.0, 1e3)
    ):
        name = f"pool of {pool_times.WORKERS} workers: {row.contender}"
        quiet = "?" if row.quiet_blocks is None else str(row.quiet_blocks)
        print(f"{name}: {duration(row.median)} ({quiet} of {len(row.blocks)} quiet)")
        time = row.median * scale if row.quiet_blocks else None
        found.append(Verdict(name, time, limit * scale, at_most=True, unit=unit))
    return found


def _spans(cost: span_cost.SpanCost) -> Verdict:
    """Also prints what the share is made of."""
    print(
        f"\ntimeline: a span costs {duration(cost.on)} (off: {duration(cost.off)}), a recorded call "
        f"{duration(cost.call)} more; {cost.spans} spans and {cost.calls} calls in a step of {span_cost.WORKLOAD} "
        f"with {span_cost.RANKS} ranks, {duration(cost.step)}"
    )
    text = f"timeline: share of a recorded step of {span_cost.WORKLOAD}, {span_cost.RANKS} ranks"
    return Verdict(text, cost.share * 100, span_cost.LIMIT * 100, at_most=True, unit="%")

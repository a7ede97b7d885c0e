"""The table: every workload raced, beside this machine's limit and the bars."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import limits, report
from .contenders import CONTENDERS, DEFAULT, THREADS, Contender
from .harness import race
from .machine import conditions
from .workloads import WORKLOADS


@dataclass(frozen=True)
class Table:
    """All that one run found; `missing`: a line for each contender that is not installed here."""

    facts: dict[str, str]
    missing: list[str]
    results: report.Results
    limits: report.Limits

    @property
    def failed(self) -> bool:
        return any(row.error for rows in self.results.values() for row in rows)

    def markdown(self) -> str:
        return report.markdown(self.facts, self.results, self.limits) + "".join(f"\n{line}" for line in self.missing)

    def data(self) -> dict[str, Any]:
        return {**report.data(self.facts, self.results, self.limits), "missing": self.missing}

    def json(self) -> str:
        return json.dumps(self.data(), indent=1)


def chosen(against: Sequence[str] | None) -> list[Contender]:
    """minipar and its opponents: those named, "all", or by default those of DEFAULT."""
    baseline, *others = CONTENDERS.values()
    wanted = against or DEFAULT
    return [baseline, *(other for other in others if "all" in wanted or other.name in wanted)]


def measure(workloads: Sequence[str], contenders: Sequence[Contender], seconds: float) -> Table:
    """Race them, printing each workload's table as it is found."""
    missing = [line for line in (contender.why_missing() for contender in contenders) if line]
    present = [contender for contender in contenders if not contender.why_missing()]
    rates = limits.measure(THREADS)
    facts = {**conditions(), "rates": rates.text(), "time": f"at most {seconds:g} s a workload"}
    print("\n".join([*(f"{name:>10}  {text}" for name, text in facts.items()), *missing]), flush=True)
    results, found_limits = {}, {}
    for workload in workloads or WORKLOADS:
        able = [contender for contender in present if contender.runs(workload)]
        found_limits[workload] = rates.limit(WORKLOADS[workload])
        results[workload] = race(workload, able, seconds)
        print(f"\n{report.text_table(workload, results[workload], found_limits[workload])}", flush=True)
    print("\n" + "\n".join(f"{name}: {text}" for name, text in report.threads(results).items()))
    print("\n" + "\n".join(report.aligned([report.BAR_COLUMNS, *report.bar_lines(results, found_limits)])))
    return Table(facts, missing, results, found_limits)


def write_plot(table: Table, path: Path | None) -> None:
    if path is not None:
        from .plot import plot

        plot(table.results, path)
        print(f"wrote {path}")

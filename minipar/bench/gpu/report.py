"""The GPU report: what was measured where, every bar, every check, every timing; as Markdown and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from ..report import duration, markdown_table
from .bandwidth import Bandwidth
from .bars import Verdict, verdicts
from .check import Check
from .nccl import AllReduce
from .rows import Condition, Failure, Note, Row
from .steps import Step
from .timing import Launch, Timing

METHOD = """\
Timings: CUDA events around back-to-back calls, medians of alternating samples, operands rotated through copies that do
not fit into the L2 cache, all in float32. *÷*: above 1, minipar is faster. CuPy's matmul is cuBLAS, for "tf32" and
"bf16" with TF32 allowed; its convolution is composed of an unfold and a cuBLAS product; *CuPy's lines* are the plain
form of a fused kernel over CuPy arrays. cuDNN's convolutions are PyTorch's, with the algorithms that it takes by
default; "TF32" allows these to both sides. PyTorch's steps are eager, without TF32. *bus*: 2(n−1)/n of the bytes of an
all-reduce a second, what each of n GPUs must send and receive. *of the copy*: the rate at which an operation moves the
bytes that it must, as a share of the rate of a copy within the device in the same race. An error is relative, and may
be as large as the tolerance."""

R = TypeVar("R")


@dataclass
class Report:
    """All that one run found: the rows of each part, and the seconds that it took."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def all(self, kind: type[R]) -> list[R]:
        """The rows of one kind, in the order of the parts."""
        return [row for rows in self.rows.values() for row in rows if isinstance(row, kind)]

    @property
    def conditions(self) -> dict[str, str]:
        return {row.name: row.text for row in self.all(Condition)}

    @property
    def failures(self) -> list[str]:
        return [f"{part}: {row.text}" for part, rows in self.rows.items() for row in rows if isinstance(row, Failure)]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.all(Check) if not check.passed]

    @property
    def passed(self) -> bool:
        return bool(self.all(Check)) and not self.failed and not self.failures

    def verdicts(self) -> list[Verdict]:
        return list(verdicts(self.all(Timing), self.all(Launch), self.all(Step)))

    def verdict(self) -> str:
        checks, n, bars = self.all(Check), len(self.failures), self.verdicts()
        lost = f"; {n} part{'s' * (n > 1)} did not run to {'their' if n > 1 else 'its'} end" if n else ""
        measured = [bar for bar in bars if bar.found is not None]
        met = f"{sum(bar.met for bar in measured)} of {len(measured)} bars met"
        missing = f", {len(bars) - len(measured)} not measured" if len(measured) < len(bars) else ""
        return f"{len(checks) - len(self.failed)} of {len(checks)} checks passed{lost}; {met}{missing}"


def failure_lines(report: Report) -> list[str]:
    """One line for everything that went wrong, with its numbers."""
    lines = [
        f"{c.name}, {c.case}: {c.exception or f'error {c.error:.3g} is above {c.tolerance:.3g}'}" for c in report.failed
    ]
    return lines + report.failures


def markdown(report: Report) -> str:
    """The page: the bars first, then what failed, then everything."""
    page = ["# GPU report, by `minipar bench --gpu`", "", f"**{report.verdict()}.**", ""]
    bars = [[bar.name, bar.wanted, bar.found or "–", bar.answer] for bar in report.verdicts()]
    page += [*markdown_table(("bar", "wanted", "measured", ""), bars), ""]
    if failure_lines(report):
        page += ["## What failed", "", *(f"- {line}" for line in failure_lines(report)), ""]
    page += ["## Where", "", *(f"- {name}: {text}" for name, text in report.conditions.items())]
    page += [f"- {note.text}" for note in report.all(Note)]
    page += ["", METHOD, ""]
    for title, (heads, lines) in {
        "Checks against float64": _checks_table(report.all(Check)),
        "Kernels": _timings_table(report.all(Timing)),
        "Training steps": _steps_table(report.all(Step)),
        "Bytes a second": _bandwidths_table(report.all(Bandwidth)),
        "All-reduces": _all_reduces_table(report.all(AllReduce)),
        "Launch overhead": _launches_table(report.all(Launch)),
        "Time taken": (("part", "seconds"), [[part, f"{s:.1f}"] for part, s in report.seconds.items()]),
    }.items():
        page += [f"## {title}", "", *(markdown_table(heads, lines) if lines else ["Nothing was measured."]), ""]
    return "\n".join(page)


def data(report: Report) -> dict[str, Any]:
    """Everything, in a form for JSON."""
    return {
        "passed": report.passed,
        "bars": [{**asdict(bar), "answer": bar.answer} for bar in report.verdicts()],
        "conditions": report.conditions,
        "failures": report.failures,
        "notes": [note.text for note in report.all(Note)],
        "checks": [{**asdict(check), "passed": check.passed} for check in report.all(Check)],
        "timings": [{**asdict(timing), "ratio": timing.ratio} for timing in report.all(Timing)],
        "steps": [{**asdict(step), "ratio": step.ratio} for step in report.all(Step)],
        "bandwidths": [{**asdict(row), "rate": row.rate, "share": row.share} for row in report.all(Bandwidth)],
        "all_reduces": [{**asdict(row), "bus_rate": row.bus_rate} for row in report.all(AllReduce)],
        "launches": {launch.name: launch.seconds for launch in report.all(Launch)},
        "seconds": report.seconds,
    }


Table = tuple[Sequence[str], list[list[str]]]


def _checks_table(checks: Sequence[Check]) -> Table:
    """The worst of each kind: the whole list is in the JSON file."""
    kinds: dict[str, list[Check]] = {}
    for check in checks:
        kinds.setdefault(check.name, []).append(check)
    lines = []
    for name, found in kinds.items():
        worst = max(found, key=_badness)
        passed = sum(check.passed for check in found)
        lines.append([name, f"{passed}/{len(found)}", f"{worst.error:.2g}", f"{worst.tolerance:.2g}", worst.case])
    return ("check", "passed", "worst error", "tolerance", "on"), lines


def _badness(check: Check) -> float:
    """The error in units of the tolerance; a check that ended in an exception, or in a NaN, is the worst of all."""
    if check.exception or check.error != check.error:
        return float("inf")
    return check.error / check.tolerance if check.tolerance else (float("inf") if check.error else 0.0)


def _timings_table(timings: Sequence[Timing]) -> Table:
    heads = ("kernel", "case", "minipar", "TFLOP/s", "beside", "takes", "TFLOP/s", "÷")
    lines = [
        [
            *(t.name, t.case, duration(t.ours), _rate(t, t.ours)),
            *(t.opponent, duration(t.theirs), _rate(t, t.theirs), f"{t.ratio:.2f}"),
        ]
        for t in timings
    ]
    return heads, lines


def _rate(timing: Timing, seconds: float) -> str:
    return f"{timing.flop / seconds * 1e-12:.3g}" if timing.flop else "–"


def _steps_table(steps: Sequence[Step]) -> Table:
    lines = [
        [s.name, s.case, duration(s.ours), *((duration(s.theirs), f"{s.ratio:.2f}") if s.theirs else ("–", "–"))]
        for s in steps
    ]
    return ("family", "what", "minipar", "PyTorch", "÷ PyTorch"), lines


def _bandwidths_table(rows: Sequence[Bandwidth]) -> Table:
    lines = [[r.name, r.case, duration(r.seconds), f"{r.rate * 1e-9:.0f}", f"{r.share:.0%}"] for r in rows]
    return ("operation", "on", "time", "GB/s", "of the copy"), lines


def _all_reduces_table(rows: Sequence[AllReduce]) -> Table:
    lines = [[str(r.ranks), f"{r.bytes:,}", duration(r.seconds), f"{r.bus_rate * 1e-9:.1f}"] for r in rows]
    return ("GPUs", "bytes", "time", "GB/s of the bus"), lines


def _launches_table(launches: Sequence[Launch]) -> Table:
    lines = [[launch.name, f"{launch.seconds * 1e6:.2f} µs"] for launch in launches]
    return ("10,000 launches of", "host time each"), lines


def file_stem(conditions: Mapping[str, str]) -> str:
    """gpu-<device>-<date>, of letters, digits and hyphens."""
    device = "".join(c if c.isalnum() else "-" for c in conditions.get("device", "unknown").lower())
    date = conditions.get("date", "")[:10]
    return "-".join(["gpu", *filter(None, [*device.split("-"), date])])

"""The GPU report: what was measured where, every check, every timing; as Markdown and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..report import duration, markdown_table
from .check import Check
from .timing import Timing

METHOD = """\
Timings: CUDA events around back-to-back calls, medians of alternating samples, operands rotated through copies, all in
float32. *speed ÷ CuPy*: above 1, minipar's kernel is faster. CuPy's matmul is cuBLAS (for "tf32" and "bf16" with TF32
allowed); its convolution is composed of an unfold and a cuBLAS product. An error is relative, and may be as large as
the tolerance."""


@dataclass
class Report:
    """All that one run found. `failures`: parts that ended in an exception."""

    conditions: dict[str, str]
    checks: list[Check] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    launches: dict[str, float] = field(default_factory=dict)  # what is launched → host seconds a launch
    failures: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.passed]

    @property
    def passed(self) -> bool:
        return bool(self.checks) and not self.failed and not self.failures

    def verdict(self) -> str:
        n = len(self.failures)
        lost = f"; {n} part{'s' * (n > 1)} did not run to {'their' if n > 1 else 'its'} end" if n else ""
        return f"{len(self.checks) - len(self.failed)} of {len(self.checks)} checks passed{lost}"


def failure_lines(report: Report) -> list[str]:
    """One line for everything that went wrong, with its numbers."""
    lines = [
        f"{c.name}, {c.case}: {c.exception or f'error {c.error:.3g} is above {c.tolerance:.3g}'}" for c in report.failed
    ]
    return lines + report.failures


def markdown(report: Report) -> str:
    page = ["# GPU report, by `minipar bench --gpu`", "", f"**{report.verdict()}.**", ""]
    page += [f"- {name}: {text}" for name, text in report.conditions.items()]
    page += ["", METHOD, ""]
    if not report.passed:
        page += ["## What failed", "", *(f"- {line}" for line in failure_lines(report)), ""]
    page += ["## Checks against float64", "", *markdown_table(*_checks_table(report.checks)), ""]
    page += ["## Speed", "", *markdown_table(*_timings_table(report.timings)), ""]
    launches = [[name, f"{seconds * 1e6:.2f} µs"] for name, seconds in report.launches.items()]
    page += ["## Launch overhead", "", *markdown_table(("10,000 launches of", "host time each"), launches)]
    return "\n".join(page) + "\n"


def data(report: Report) -> dict[str, Any]:
    return {
        **asdict(report),
        "checks": [{**asdict(check), "passed": check.passed} for check in report.checks],
        "timings": [{**asdict(timing), "ratio": timing.ratio} for timing in report.timings],
        "passed": report.passed,
    }


def _checks_table(checks: Sequence[Check]) -> tuple[Sequence[str], list[list[str]]]:
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


def _timings_table(timings: Sequence[Timing]) -> tuple[Sequence[str], list[list[str]]]:
    heads = ("kernel", "case", "minipar", "TFLOP/s", "CuPy", "TFLOP/s", "speed ÷ CuPy")
    lines = [
        [t.name, t.case, duration(t.ours), _rate(t, t.ours), duration(t.theirs), _rate(t, t.theirs), f"{t.ratio:.2f}"]
        for t in timings
    ]
    return heads, lines


def _rate(timing: Timing, seconds: float) -> str:
    return f"{timing.flop / seconds * 1e-12:.3g}"


def file_stem(conditions: Mapping[str, str]) -> str:
    """gpu-<device>-<date>, of letters, digits and hyphens."""
    device = "".join(c if c.isalnum() else "-" for c in conditions["device"].lower())
    return f"gpu-{'-'.join(filter(None, device.split('-')))}-{conditions['date'][:10]}"

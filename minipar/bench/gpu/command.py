"""`minipar bench --gpu`: is there a GPU, every part in its process and within its time, progress, report."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter

from ...parallel.comm.cores import usable_cores
from ..report import duration
from .bandwidth import Bandwidth
from .check import Check
from .nccl import AllReduce
from .parts import COMPUTE_MODE, ONE_PROCESS, Part, parts
from .process import guarded_rows, rows_of
from .report import Report, data, failure_lines, file_stem, markdown
from .rows import Condition, Failure, Note, Row
from .steps import Step
from .timing import Launch, Timing

RESULTS = Path("benchmarks/results")
SECONDS = 470.0  # of a whole run: less than eight minutes
CHECK_SECONDS = 180.0  # of those, for the parts that run side by side
SIDE_BY_SIDE = 12  # parts at a time, where there are cores to compile for them

Run = Callable[[Part, float], Iterator[Row]]  # a part, and the seconds that it may take


def in_a_process(part: Part, seconds: float) -> Iterator[Row]:
    return rows_of(part.name, seconds)


def run(json_path: Path | None, markdown_path: Path | None, run_part: Run = in_a_process) -> int:
    """Exit code 0 if every check passed and every part ran to its end; 1 if not, or if there is no usable GPU (one line
    says why not)."""
    from ...kernels.cuda import detect

    usable, reason = detect.status()
    if not usable:
        sys.stderr.write(f"minipar bench --gpu: no GPU can be used: {reason}\n")
        return 1
    report = measure(parts(), run_part)
    _write(report, json_path, markdown_path)
    print(report.verdict())
    sys.stderr.writelines(f"minipar bench --gpu: {line}\n" for line in failure_lines(report))
    return 0 if report.passed else 1


def measure(wanted: list[Part], run_part: Run, clock: Callable[[], float] = perf_counter) -> Report:
    """Run every part; what happens in one does not keep the others from running."""
    started, report, printing = clock(), Report(), threading.Lock()

    def carry_out(end: float, part: Part) -> None:
        start = clock()
        rows = report.rows[part.name]
        seconds = min(part.seconds, started + end - start)
        if seconds <= 0:
            rows.append(Failure("there was no time left for it"))
        for row in guarded_rows(run_part(part, seconds)) if seconds > 0 else ():
            rows.append(row)
            with printing:
                print(*(f"{_elapsed(clock() - started)} {line}" for line in progress(row)), sep="\n", flush=True)
        report.seconds[part.name] = clock() - start
        with printing:
            print(f"{_elapsed(clock() - started)} {summary(part, rows)}", flush=True)

    report.rows = {part.name: [] for part in wanted}
    together = [part for part in wanted if not part.alone]
    first_of_these = wanted.index(together[0]) if together else len(wanted)
    for part in wanted[:first_of_these]:
        carry_out(SECONDS, part)
    alone = report.conditions.get(COMPUTE_MODE) == ONE_PROCESS
    end = min(SECONDS, clock() - started + CHECK_SECONDS)
    with ThreadPoolExecutor(1 if alone else max(1, min(SIDE_BY_SIDE, usable_cores() - 2))) as pool:
        list(pool.map(partial(carry_out, end), together))
    for part in wanted[first_of_these:]:
        if part.alone:
            carry_out(SECONDS, part)
    report.seconds = {name: report.seconds[name] for name in report.rows} | {"all": clock() - started}
    return report


def progress(row: Row) -> list[str]:
    """What is shown as soon as it is found."""
    match row:
        case Condition():
            return [f"{row.name:>16}  {row.text}"]
        case Timing():
            times = f"{duration(row.ours)}, {row.opponent} {duration(row.theirs)}"
            return [f"{row.name} {row.case}: {times}: {row.ratio:.2f} of its speed"]
        case Step():
            beside = f", PyTorch {duration(row.theirs)}: {row.ratio:.2f} of its speed" if row.theirs else ""
            return [f"step of {row.name}: {duration(row.ours)}{beside}"]
        case Bandwidth():
            return [f"{row.name}: {row.rate * 1e-9:.0f} GB/s, {row.share:.0%} of a copy"]
        case AllReduce():
            return [f"all-reduce, {row.ranks} GPUs, {row.bytes:,} bytes: {row.bus_rate * 1e-9:.1f} GB/s of the bus"]
        case Launch():
            return [f"{row.name}: {row.seconds * 1e6:.2f} µs a launch"]
        case Note():
            return [row.text]
        case Failure():
            return [f"FAILED: {row.text}"]
    return []


def summary(part: Part, rows: list[Row]) -> str:
    """One line for a part that has ended."""
    checks = [row for row in rows if isinstance(row, Check)]
    found = f"{sum(check.passed for check in checks)}/{len(checks)} checks passed" if checks else "done"
    return f"{part.name}: {'FAILED' if any(isinstance(row, Failure) for row in rows) else found}"


def _elapsed(seconds: float) -> str:
    return f"[{seconds:4.0f} s]"


def _write(report: Report, json_path: Path | None, markdown_path: Path | None) -> None:
    """To the given paths, else beside the other results of a checkout, else to the current folder."""
    from ..command import write_files

    folder = RESULTS if RESULTS.is_dir() else Path()
    stem = file_stem(report.conditions)
    write_files(
        {
            markdown_path or folder / f"{stem}.md": markdown(report),
            json_path or folder / f"{stem}.json": json.dumps(data(report), indent=1),
        }
    )

"""`minipar bench --memory` and `--startup`: what can only be measured in new processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from ..arguments import CommandFailed
from .contenders import CONTENDERS
from .machine import conditions
from .memory_probe import SUBJECTS
from .racer import environment
from .report import aligned, duration, markdown_table

IMPORT_BAR = 1.5  # times `import numpy`
FIRST_STEP_BAR = 1.5  # seconds
ROUNDS = 3  # processes of each library for memory and for the first step


@dataclass
class Findings:
    """A table, the bars it was held against, and the same as plain data."""

    title: str
    method: str
    heads: Sequence[str]
    lines: list[list[str]] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=conditions)
    failed: bool = False

    def text(self) -> str:
        return "\n".join([self.title, *aligned([self.heads, *self.lines]), *self.verdicts])

    def markdown(self) -> str:
        page = [f"# {self.title}", "", *(f"- {name}: {text}" for name, text in self.facts.items()), "", self.method, ""]
        return (
            "\n".join([*page, *markdown_table(self.heads, self.lines), "", *(f"- {v}" for v in self.verdicts)]) + "\n"
        )

    def data(self) -> dict[str, Any]:
        return {"conditions": self.facts, **self.numbers, "verdicts": self.verdicts}


def memory() -> Findings:
    """Growth of the peak in new processes, minipar and (where it is installed) PyTorch; the median of a few."""
    found = Findings(
        "Peak memory of training steps",
        "Growth of the peak resident size over the level after the import and a step of one row, in a new process each "
        f"(median of {ROUNDS}); seconds of the fastest step.",
        ("steps of", "library", "growth", "a step"),
    )
    growth: dict[tuple[str, str], float] = {}
    for subject, summary in SUBJECTS.items():
        for library in _libraries():
            runs = [_answer(["-m", "minipar.bench.memory_probe", library, subject], library) for _ in range(ROUNDS)]
            growth[subject, library] = statistics.median(run["growth"] for run in runs)
            found.numbers[f"{subject} {library}"] = runs
            bound = "" if all(run["exact"] for run in runs) else "at most "
            size = f"{bound}{growth[subject, library] / 2**20:.1f} MiB"
            found.lines.append([summary, library, size, duration(min(run["seconds"] for run in runs))])
    if ("W3", "torch") in growth:
        ours, theirs = growth["W3", "minipar"], growth["W3", "torch"]
        found.verdicts.append(f"W3: {ours / theirs:.2f} of PyTorch's growth, bar 1: {_answered(ours <= theirs)}")
    kept, recomputed = growth["deep", "minipar"], growth["deep-checkpoint", "minipar"]
    share = f"recomputation keeps {recomputed / kept:.2f} of the deep model's memory"
    found.verdicts.append(f"{share}, bar less than 1: {_answered(recomputed < kept)}")
    return found


_FIRST_STEP = "import runpy, {0}; print(runpy.run_path({1!r}, run_name='__main__')['build']({0}, 'W3')().item())"


def startup(rounds: int = 15) -> Findings:
    """Import times in fresh processes in turn, and the time to the end of the first step of W3 in a new process."""
    found = Findings(
        "Start-up",
        f"Whole processes, from their start to their end, in turn: medians of {rounds} for imports, of {ROUNDS} for "
        "the first step of W3 (import, model, one step; minipar's kernels lie in the cache).",
        ("process", "median", "least"),
    )
    imports = {"python": "pass", "import numpy": "import numpy", "import minipar": "import minipar"}
    workloads = str(Path(__file__).with_name("workloads.py"))
    steps = {f"first W3 step, {library}": _FIRST_STEP.format(library, workloads) for library in _libraries()}
    for programs, times in ((imports, rounds), (steps, ROUNDS)):
        for program in programs.values():
            seconds(program)  # compiles bytecode and kernels, fills the page cache
        taken = [{name: seconds(program) for name, program in programs.items()} for _ in range(times)]
        for name in programs:
            found.numbers[name] = [row[name] for row in taken]
            median, least = statistics.median(found.numbers[name]), min(found.numbers[name])
            found.lines.append([name, duration(median), duration(least)])
        if programs is imports:
            ratio = statistics.median(row["import minipar"] / row["import numpy"] for row in taken)
            text = f"import minipar / import numpy: {ratio:.2f} (median of {times} pairs)"
            found.verdicts.append(f"{text}, bar {IMPORT_BAR:g}: {_answered(ratio < IMPORT_BAR)}")
    first = statistics.median(found.numbers["first W3 step, minipar"])
    found.verdicts.append(
        f"first step of W3: {duration(first)}, bar {FIRST_STEP_BAR:g} s: {_answered(first < FIRST_STEP_BAR)}"
    )
    return found


def seconds(program: str) -> float:
    """A whole process. Bytecode is kept, as in ordinary use: else minipar would be compiled each time."""
    own = {
        name: value for name, value in environment(CONTENDERS["minipar"]).items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    started = perf_counter()
    done = subprocess.run([sys.executable, "-c", program], check=False, env=own, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise CommandFailed(f"python -c {program!r} ended with exit code {done.returncode}")
    return perf_counter() - started


def _libraries() -> list[str]:
    return ["minipar", *(["torch"] if find_spec("torch") else [])]


def _answer(command: Sequence[str], library: str) -> Any:
    """What the process says, a line of JSON; its errors go to the terminal. CommandFailed if it fails."""
    env = environment(CONTENDERS[library])
    done = subprocess.run([sys.executable, *command], check=False, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)} ended with exit code {done.returncode}")
    return json.loads(done.stdout)


def _answered(met: bool) -> str:
    return "met" if met else "NOT met"

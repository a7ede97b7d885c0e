"""`minipar bench --profile`: where the time of one training step goes, workload by workload.

Two runs of each step. One takes the time of its parts: forward with loss, backward, update. The other goes through
kernels that hold a clock: what the dispatcher hands out is exchanged for the same function between two looks at the
clock. A kernel's time includes its own Python (checks, allocation of its result); what is left of the step is the tape,
the modules, the optimizer's bookkeeping, and NumPy calls that no kernel stands for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import minipar
from minipar.backend import dispatch

from .machine import conditions
from .report import aligned, duration, markdown_table
from .workloads import WORKLOADS, Training, prepare

SECONDS = 1.0  # of each of the two runs
COLUMNS = ("workload", "step", "forward", "backward", "update", "in kernels", "outside", "the longest kernels")
LONGEST = 4


@dataclass(frozen=True)
class Anatomy:
    """Seconds of the fastest step and of its parts; of the fastest with clocks, seconds and calls of each kernel."""

    step: float
    parts: dict[str, float]
    kernels: dict[str, tuple[float, int]]

    @property
    def in_kernels(self) -> float:
        return sum(seconds for seconds, _ in self.kernels.values())

    def line(self, workload: str) -> list[str]:
        longest = sorted(self.kernels.items(), key=lambda item: -item[1][0])[:LONGEST]
        named = [f"{name} {seconds / self.step:.0%} ({calls}×)" for name, (seconds, calls) in longest]
        share = [f"{part / self.step:.0%}" for part in self.parts.values()]
        inside = min(1.0, self.in_kernels / self.step)
        return [workload, duration(self.step), *share, f"{inside:.0%}", f"{1 - inside:.0%}", ", ".join(named)]


@dataclass(frozen=True)
class Profile:
    anatomies: dict[str, Anatomy]
    facts: dict[str, str] = field(default_factory=conditions)
    failed: bool = False

    def lines(self) -> list[list[str]]:
        return [anatomy.line(workload) for workload, anatomy in self.anatomies.items()]

    def text(self) -> str:
        return "\n".join(aligned([COLUMNS, *self.lines()]))

    def markdown(self) -> str:
        page = ["# Where a step's time goes, by `minipar bench --profile`", ""]
        page += [*(f"- {name}: {text}" for name, text in self.facts.items()), "", LEGEND, ""]
        return "\n".join([*page, *markdown_table(COLUMNS, self.lines())]) + "\n"

    def data(self) -> dict[str, Any]:
        found = {
            workload: {"step": a.step, "parts": a.parts, "kernels": {n: list(k) for n, k in a.kernels.items()}}
            for workload, a in self.anatomies.items()
        }
        return {"conditions": self.facts, "workloads": found}


LEGEND = """\
The fastest of many steps, and shares of it. *in kernels*: between the call and the return of a kernel that the
dispatcher handed out (`minipar/backend/dispatch.py`), its own Python included; *outside*: the tape, modules, what the
optimizer remembers, and NumPy calls that no kernel stands for. Calls a step in brackets."""


def measure(workloads: Sequence[str], seconds: float = SECONDS) -> Profile:
    found = {}
    for workload in workloads or WORKLOADS:
        training = prepare(minipar, WORKLOADS[workload])
        for _ in range(3):
            _parts(training)
        parts = _repeated(partial(_parts, training), seconds)
        with clocked() as clocks:
            steps = _repeated(partial(_kernels, training, clocks), seconds)
        fastest = min(parts, key=lambda part: sum(part.values()))
        _, kernels = min(steps, key=lambda step: step[0])
        found[workload] = Anatomy(sum(fastest.values()), fastest, kernels)
    return Profile(found)


def _parts(training: Training) -> dict[str, float]:
    """One step: seconds of its parts. `zero_grad` belongs to the update, as its other half."""
    start = perf_counter()
    training.optimizer.zero_grad()
    cleared = perf_counter()
    loss = training.loss_function(training.model(training.x), training.y)
    forward = perf_counter()
    loss.backward()
    backward = perf_counter()
    training.optimizer.step()
    end = perf_counter()
    return {"forward": forward - cleared, "backward": backward - forward, "update": end - backward + cleared - start}


@contextmanager
def clocked() -> Iterator[list[tuple[str, float]]]:
    """Within, every kernel writes its name and its seconds into the list. Kernels must have been called once before."""
    clocks: list[tuple[str, float]] = []
    before = dict(dispatch._loaded)
    dispatch._loaded.update({key: _clocked(key[0], function, clocks) for key, function in before.items()})
    try:
        yield clocks
    finally:
        dispatch._loaded.update(before)


def _clocked(name: str, function: Callable[..., Any], clocks: list[tuple[str, float]]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        result = function(*args, **kwargs)
        clocks.append((name, perf_counter() - start))
        return result

    return timed


def _kernels(training: Training, clocks: list[tuple[str, float]]) -> tuple[float, dict[str, tuple[float, int]]]:
    """One step: its seconds, and seconds and calls of each kernel."""
    clocks.clear()
    whole = sum(_parts(training).values())
    seconds: dict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for name, taken in clocks:
        seconds[name] += taken
        calls[name] += 1
    return whole, {name: (seconds[name], calls[name]) for name in seconds}


def _repeated(work: Callable[[], Any], seconds: float) -> list[Any]:
    found: list[Any] = []
    deadline = perf_counter() + seconds
    while len(found) < 3 or perf_counter() < deadline:
        found.append(work())
    return found

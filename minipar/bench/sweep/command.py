"""`minipar bench --sweep`: the run, what it says, and what it writes."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ...arguments import CommandFailed
from ..contenders import CONTENDERS
from ..cpu_clock import Reading, foreign_share, reading
from ..machine import conditions
from ..racer import ContenderError, Racer
from ..report import aligned, duration, markdown_table
from ..summary import QUIET
from .cases import cases

BLOCK_SECONDS = 0.04
ROUNDS = 4
LEAST = 0.8  # a ratio below is a cliff, and listed
WORST = 20
LOSS_TOLERANCE = 1e-3  # relative
STEPS_OF_DISTRIBUTION = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 4.0)


@dataclass(frozen=True)
class Outcome:
    """One case: the best block's median of each library in seconds, the fastest steps, or what went wrong."""

    ours: float = math.nan
    theirs: float = math.nan
    our_fastest: float = math.nan
    their_fastest: float = math.nan
    error: str = ""

    @property
    def ratio(self) -> float:
        """Above 1, minipar is faster."""
        return self.theirs / self.ours

    @property
    def fastest_ratio(self) -> float:
        return self.their_fastest / self.our_fastest


@dataclass(frozen=True)
class Sweep:
    facts: dict[str, str]
    outcomes: dict[str, Outcome]

    @property
    def measured(self) -> dict[str, Outcome]:
        """The cases without an error, the slowest against PyTorch first."""
        able = {name: outcome for name, outcome in self.outcomes.items() if not outcome.error}
        return dict(sorted(able.items(), key=lambda item: item[1].ratio))

    @property
    def failed(self) -> bool:
        return any(outcome.error for outcome in self.outcomes.values())

    def cliffs(self) -> dict[str, Outcome]:
        return {name: outcome for name, outcome in self.measured.items() if outcome.ratio < LEAST}

    def data(self) -> dict[str, Any]:
        return {
            "conditions": self.facts,
            "geometric mean": geometric_mean([outcome.ratio for outcome in self.measured.values()]),
            "cases": {name: _plain(outcome) for name, outcome in self.outcomes.items()},
        }

    def markdown(self) -> str:
        page = ["# A sweep of shapes beside PyTorch, by `minipar bench --sweep`", ""]
        page += [f"- {name}: {text}" for name, text in self.facts.items()]
        page += ["", LEGEND, "", f"**{self.summary()}**", ""]
        page += markdown_table(FAMILY_COLUMNS, self.families())
        page += ["", "How many cases have which ratio:", "", *markdown_table(*self.distribution())]
        page += ["", f"## The {WORST} slowest", "", *markdown_table(COLUMNS, _lines(self.measured, WORST))]
        page += ["", f"## All below {LEAST}", ""]
        page += markdown_table(COLUMNS, _lines(self.cliffs())) if self.cliffs() else ["None."]
        wrong = [f"- {name}: {outcome.error}" for name, outcome in self.outcomes.items() if outcome.error]
        return "\n".join([*page, *(["", "## What failed", "", *wrong] if wrong else [])]) + "\n"

    def summary(self) -> str:
        ratios = [outcome.ratio for outcome in self.measured.values()]
        if not ratios:
            return "no case was measured"
        return (
            f"{len(ratios)} cases: geometric mean of the ratios {geometric_mean(ratios):.2f}, median "
            f"{statistics.median(ratios):.2f}, least {min(ratios):.2f}; {len(self.cliffs())} below {LEAST}"
        )

    def families(self) -> list[list[str]]:
        grouped: dict[str, list[float]] = {}
        for name, outcome in self.measured.items():
            grouped.setdefault(name.split()[0], []).append(outcome.ratio)
        return [
            [family, str(len(r)), f"{geometric_mean(r):.2f}", f"{min(r):.2f}", f"{max(r):.2f}"]
            for family, r in sorted(grouped.items())
        ]

    def distribution(self) -> tuple[list[str], list[list[str]]]:
        edges = [0.0, *STEPS_OF_DISTRIBUTION, math.inf]
        heads = [f"under {high:g}" if high < math.inf else f"{low:g} and more" for low, high in pairwise(edges)]
        ratios = [outcome.ratio for outcome in self.measured.values()]
        return heads, [[str(sum(low <= r < high for r in ratios)) for low, high in pairwise(edges)]]


LEGEND = f"""\
Training steps (forward, backward, SGD) of small models in float32, both libraries with two threads, in two processes
that take turns: {ROUNDS} blocks of {BLOCK_SECONDS * 1e3:g} ms each. *ratio*: PyTorch's best block (median of its steps)
divided by minipar's, so above 1 minipar is faster; in brackets the same of the fastest steps. Sizes are drawn by a
fixed seed; `minipar/bench/sweep/cases.py` says from what."""
COLUMNS = ("case", "minipar", "torch", "ratio", "(fastest)")
FAMILY_COLUMNS = ("layer", "cases", "geometric mean", "least", "most")


def geometric_mean(ratios: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else math.nan


def measure(families: Sequence[str] = ()) -> Sweep:
    """Every case of these families (of all) in turn. CommandFailed if a process cannot start."""
    with ExitStack() as stack:
        pair = [stack.enter_context(_start(name)) for name in ("minipar", "torch")]
        try:
            versions = [racer.greet()["version"] for racer in pair]
        except ContenderError as error:
            raise CommandFailed(f"the sweep could not start: {error}") from None
        everything = [name for name in cases() if not families or name.split()[0] in families]
        facts = {**conditions(), "torch": versions[1]}
        before = _both(pair)
        outcomes = {}
        for count, name in enumerate(everything, start=1):
            outcomes[name] = _one(name, *pair)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{count}/{len(everything)} cases")
        others = foreign_share(before, _both(pair))
        if others is not None:
            facts["others"] = f"kept {others:.2f} cores busy meanwhile" + (", too many to believe" * (others > QUIET))
    return Sweep(facts, outcomes)


def report(sweep: Sweep) -> str:
    """For the terminal."""
    lines = aligned([COLUMNS, *_lines(sweep.measured, WORST)])
    wrong = [f"{name}: {outcome.error}" for name, outcome in sweep.outcomes.items() if outcome.error]
    return "\n".join([*lines, "", *aligned([FAMILY_COLUMNS, *sweep.families()]), "", *wrong, sweep.summary()])


def _both(pair: Sequence[Racer]) -> Reading | None:
    """The clocks now, with both libraries' processes as one."""
    readings = [reading(racer.process.pid) for racer in pair]
    known = [each for each in readings if each is not None]
    return Reading(known[0].wall, known[0].everybody, sum(r.own for r in known)) if len(known) == 2 else None


def _start(name: str) -> Racer:
    return Racer(CONTENDERS[name], "", [sys.executable, "-m", "minipar.bench.sweep.worker", name])


def _one(name: str, ours: Racer, theirs: Racer) -> Outcome:
    blocks: list[list[list[float]]] = [[], []]
    try:
        losses = [racer.ask(name)["losses"] for racer in (ours, theirs)]
        for mine, other in zip(*losses):
            if not math.isclose(mine, other, rel_tol=LOSS_TOLERANCE):
                return Outcome(error=f"wrong: losses {losses[0]}, torch's {losses[1]}")
        for _ in range(ROUNDS):
            for racer, found in zip((ours, theirs), blocks):
                found.append(racer.ask(str(BLOCK_SECONDS)))
    except ContenderError as error:
        return Outcome(error=str(error))
    best, their_best = (min(map(statistics.median, found)) for found in blocks)
    fastest, their_fastest = (min(map(min, found)) for found in blocks)
    return Outcome(best, their_best, fastest, their_fastest)


def _lines(outcomes: Mapping[str, Outcome], most: int | None = None) -> list[list[str]]:
    return [
        [name, duration(o.ours), duration(o.theirs), f"{o.ratio:.2f}", f"({o.fastest_ratio:.2f})"]
        for name, o in list(outcomes.items())[:most]
    ]


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {"error": outcome.error} if outcome.error else {**asdict(outcome), "ratio": outcome.ratio}

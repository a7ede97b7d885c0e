"""`minipar bench --parallel`: the whole run, and its tables for the terminal, as Markdown and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..comm.bars import COLUMNS as BAR_COLUMNS
from ..comm.bars import Verdict, times_as_fast
from ..machine import conditions
from ..report import aligned, duration, markdown_table
from ..summary import QUIET, remarks
from .bars import possible, verdicts
from .contest import ALONE, Contest, contenders, hold
from .splits import SPLITS, SUBJECTS, Split

COLUMNS = ("step", "median", "best block", "minimum", "× 1 worker", "quiet", "remarks")
METHOD = f"""\
One training step (forward, backward, update) on one fixed batch in float32, in blocks in turn; the ranks of everybody
start once, and sleep on a socket while others have their turn. *1 worker*: the ordinary step, one thread; *2
unrelated*: the same in two processes at once, seconds for each step that either has done, so that *× 1 worker* is C,
what the machine can give; *split*: one step by two workers with one thread each; *halves*: each of the two takes the
ordinary step on its half of the batch, adds up nothing and waits for the other, the least that splitting a batch can
take here; *2 threads*: the ordinary step, one worker; *DDP*: PyTorch's DistributedDataParallel over gloo, two
processes with one thread each; *ideal*: what the pipeline's schedule takes by the forward and backward times of each
stage and the update, measured while the other rank runs its own stage, if messages cost nothing. A step is as slow as
its slowest rank. *median*: of the medians of the quiet blocks (others used at most {QUIET:g} of a core); *best block*:
the lowest of these medians; *minimum*: the fastest step."""


@dataclass
class Comparison:
    """All that one run found."""

    facts: dict[str, str]
    missing: list[str]
    contest: Contest = field(default_factory=Contest)

    @property
    def failed(self) -> bool:
        return bool(self.contest.errors) or any(
            row.error for rows in self.contest.rows.values() for row in rows.values()
        )

    @property
    def verdicts(self) -> list[Verdict]:
        return list(verdicts(self.contest))

    def markdown(self) -> str:
        page = ["# Training steps split over two workers, measured by `minipar bench --parallel`", ""]
        page += [f"- {name}: {text}" for name, text in self.facts.items()]
        page += ["", "## The bars", "", *markdown_table(BAR_COLUMNS, [verdict.cells() for verdict in self.verdicts])]
        for split in self.contest.rows:
            page += ["", f"## {title(split)}", "", *markdown_table(COLUMNS, lines(self.contest, split))]
        page += ["", METHOD, "", *self.missing]
        return "\n".join(page).rstrip() + "\n"

    def data(self) -> dict[str, Any]:
        """Times in seconds, every block included."""
        return {
            "conditions": self.facts,
            "missing": self.missing,
            "errors": self.contest.errors,
            "bars": [{**asdict(verdict), "answer": verdict.answer} for verdict in self.verdicts],
            "splits": [
                {**asdict(split), "C": possible(rows), "rows": [asdict(row) for row in rows.values()]}
                for split, rows in self.contest.rows.items()
            ],
        }


def measure(splits: Sequence[Split] = SPLITS) -> Comparison:
    """Hold the contest, printing each split as it is done."""
    present, missing = contenders()
    found = Comparison(conditions(), missing)
    print("\n".join([*(f"{name:>10}  {text}" for name, text in found.facts.items()), *missing]), flush=True)
    found.contest = hold(splits, present, _show)
    found.facts |= dict(found.contest.versions)
    for name, error in found.contest.errors.items():
        print(f"{name} failed: {error}", flush=True)
    print("\n" + "\n".join(aligned([BAR_COLUMNS, *(verdict.cells() for verdict in found.verdicts)])), flush=True)
    return found


def title(split: Split) -> str:
    return f"{split.name}  ({SUBJECTS[split.subject].summary})"


def lines(contest: Contest, split: Split) -> list[list[str]]:
    """The rows of one split, as in COLUMNS."""
    rows = contest.rows[split]
    found = []
    for row in rows.values():
        if not row.blocks:
            found.append([row.contender, "", "", "", "", "", row.error])
            continue
        times = [duration(seconds) for seconds in (row.median, row.best, row.minimum)]
        speed = times_as_fast(row, rows.get(ALONE))
        quiet = "?" if row.quiet_blocks is None else str(row.quiet_blocks)
        noted = "; ".join(remarks(row, rows.get(ALONE, row)))
        found.append(
            [row.contender, *times, "–" if speed is None else f"{speed:.2f}", f"{quiet}/{len(row.blocks)}", noted]
        )
    return found


def _show(contest: Contest, split: Split) -> None:
    print(f"\n{title(split)}")
    print("\n".join(f"    {line}" for line in aligned([COLUMNS, *lines(contest, split)])), flush=True)

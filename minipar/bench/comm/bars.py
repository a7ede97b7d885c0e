"""The bars of `--comm`: minipar's time beside the others', and whether that is as it is meant to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..summary import Row, ratio
from .contest import Contest

REGISTERED, PRIVATE, BOUND, GLOO = "minipar registered", "minipar private", "minipar bound", "gloo"
BETTER_MPI = "better MPI"
BARRIER = 2e-6  # seconds, 2 ranks
NEAR_BOUND = 1.3
FASTER = {  # ranks, size → how many times faster than whom registered arrays are to be reduced
    (2, "4 KB"): {GLOO: 25.0, BETTER_MPI: 1 / 1.5},
    (2, "1 MB"): {GLOO: 8.0, BETTER_MPI: 2.0},
    (2, "25 MB"): {GLOO: 5.0, BETTER_MPI: 2.0},
    **{(4, size): {BETTER_MPI: 2.0} for size in ("1 MB", "25 MB", "100 MB")},
}


@dataclass(frozen=True)
class Verdict:
    """One bar: what is compared, what was found and what is wanted. `found` is None where there is no result."""

    what: str
    found: float | None
    wanted: float
    at_most: bool = False
    unit: str = "×"

    @property
    def answer(self) -> str:
        if self.found is None:
            return "–"
        met = self.found <= self.wanted if self.at_most else self.found >= self.wanted
        return "met" if met else "NOT met"

    def cells(self) -> list[str]:
        found = "–" if self.found is None else f"{self.found:.2f} {self.unit}"
        return [self.what, found, f"{'≤' if self.at_most else '≥'} {self.wanted:.3g} {self.unit}", self.answer]


COLUMNS = ("what", "found", "bar", "")


def verdicts(contest: Contest) -> Iterator[Verdict]:
    """Every bar for this number of ranks whose opponents took part."""
    for size, rows in contest.rows.items():
        where = f"{contest.ranks} ranks, {size}"
        if size == "barrier":
            if contest.ranks == 2 and "minipar" in rows:
                row = rows["minipar"]
                yield Verdict(where, row.median * 1e6 if row.quiet_blocks else None, BARRIER * 1e6, True, "µs")
            continue
        others = {GLOO: rows.get(GLOO), BETTER_MPI: better_mpi(rows)}
        for name, wanted in FASTER.get((contest.ranks, size), {}).items():
            if other := others[name]:
                text = f"{where}: registered, times as fast as {name}"
                text += f" ({other.contender})" if name == BETTER_MPI else ""
                yield Verdict(text, times_as_fast(rows.get(REGISTERED), other), wanted)
        if contest.ranks == 2 and size != "4 KB" and BOUND in rows:
            found = times_as_fast(rows[BOUND], rows.get(REGISTERED))
            yield Verdict(f"{where}: registered, time over the memory bound", found, NEAR_BOUND, at_most=True)
        if gloo := others[GLOO]:
            yield Verdict(f"{where}: private, times as fast as gloo", times_as_fast(rows.get(PRIVATE), gloo), 1.0)


def better_mpi(rows: Mapping[str, Row]) -> Row | None:
    """The faster of the MPIs that took part."""
    mpis = (row for name, row in rows.items() if not name.startswith(("minipar", GLOO)))
    return min((row for row in mpis if row.blocks and not row.error), key=lambda row: row.median, default=None)


def times_as_fast(row: Row | None, other: Row | None) -> float | None:
    """The other's time divided by this one's."""
    if row is None or other is None or row.error or other.error:
        return None
    compared = ratio(other, row)
    return compared.median if compared else None

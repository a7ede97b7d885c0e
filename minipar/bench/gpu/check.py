"""One check of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What was checked, on which case, how wrong it was, and how wrong it may be; or the exception that ended it."""

    name: str
    case: str
    error: float
    tolerance: float
    exception: str = ""

    @property
    def passed(self) -> bool:
        return not self.exception and self.error <= self.tolerance  # a NaN does not pass


def guarded(name: str, case: str, checks: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The checks; if they end in an exception, that is a failed check and the report goes on."""
    try:
        yield from checks()
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        yield Check(name, case, float("nan"), 0.0, text)

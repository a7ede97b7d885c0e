"""`minipar bench --all-results FOLDER`: every measurement of a CPU, written as the files that are committed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from . import fresh, profile, table
from .command import unwritable, write_files
from .plot import why_not
from .report import duration
from .sweep import command as sweep


def write_all(folder: Path, seconds: float) -> int:
    """Returns the exit code. Files are named by the day, so a second run of a day takes the place of the first."""
    start = perf_counter()
    stem = f"cpu-{datetime.now(UTC):%Y-%m-%d}"
    names = {part: folder / f"{stem}{part}" for part in ("", "-startup", "-memory", "-profile", "-sweep")}
    problem = unwritable(names.values())
    if problem:
        print(problem)
        return 1
    failed = False
    for part, measure in _PARTS:
        found = measure(seconds)
        failed |= found.failed
        stem = str(names[part])
        write_files({Path(f"{stem}.md"): found.markdown(), Path(f"{stem}.json"): json.dumps(found.data(), indent=1)})
        if isinstance(found, table.Table):
            if why_not():
                print(f"no picture: {why_not()}")
            else:
                table.write_plot(found, Path(f"{stem}.svg"))
    print(f"took {duration(perf_counter() - start)}")
    return int(failed)


def _startup(seconds: float) -> Any:
    return _shown(fresh.startup())


def _memory(seconds: float) -> Any:
    return _shown(fresh.memory())


def _profile(seconds: float) -> Any:
    return _shown(profile.measure(()))


def _table(seconds: float) -> Any:
    return table.measure((), table.chosen(["all"]), seconds)


def _sweep(seconds: float) -> Any:
    found = sweep.measure()
    print(f"\n{sweep.report(found)}")
    return found


def _shown(found: Any) -> Any:
    print(f"\n{found.text()}", flush=True)
    return found


_PARTS = (("-startup", _startup), ("-memory", _memory), ("-profile", _profile), ("-sweep", _sweep), ("", _table))

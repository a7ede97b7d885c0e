"""`minipar bench --all-results FOLDER`: every measurement of a CPU, written as the files that are committed."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from ..arguments import CommandFailed
from . import fresh, profile, table, threads
from .command import write_files
from .plot import why_not
from .report import duration
from .sweep import command as sweep


def write_all(folder: Path, seconds: float) -> int:
    """Returns the exit code. Files are named by the day, so a second run of a day takes the place of the first; a part
    that fails is said, and the others are written."""
    start = perf_counter()
    stem = f"cpu-{datetime.now(UTC):%Y-%m-%d}"
    failed = False
    for part, measure in _PARTS:
        try:
            found = measure(seconds)
        except CommandFailed as error:
            sys.stderr.write(f"minipar bench: {error}\n")
            failed = True
            continue
        failed |= found.failed
        name = str(folder / f"{stem}{part}")
        write_files({Path(f"{name}.md"): found.markdown(), Path(f"{name}.json"): json.dumps(found.data(), indent=1)})
        if isinstance(found, table.Table):
            if why_not():
                print(f"no picture: {why_not()}")
            else:
                table.write_plot(found, Path(f"{name}.svg"))
    print(f"took {duration(perf_counter() - start)}")
    return int(failed)


def _startup(seconds: float) -> Any:
    return _shown(fresh.startup())


def _memory(seconds: float) -> Any:
    return _shown(fresh.memory())


def _threads(seconds: float) -> Any:
    return _shown(threads.measure())


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


_PARTS = (
    *(("-startup", _startup), ("-memory", _memory), ("-threads", _threads), ("-profile", _profile)),
    *(("-sweep", _sweep), ("", _table)),
)

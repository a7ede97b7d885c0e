"""A part in a process of its own: `python -m minipar.bench.gpu.process PART`, and the parent's end of it.

The process says each row as a line of JSON as soon as it has it; so what was found before a crash, or before the part's
time was over, is kept.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

from ..racer import python_path
from .rows import Failure, Row, from_line, to_line

COMMAND = (sys.executable, "-m", "minipar.bench.gpu.process")
CHUNK = 1 << 16


def rows_of(name: str, seconds: float, command: Sequence[str] = COMMAND) -> Iterator[Row]:
    """The rows of a part, as its process finds them. After `seconds` it is killed; that is a Failure, as a crash is."""
    deadline = perf_counter() + seconds
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*command, name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        try:
            rest = b""
            while (left := deadline - perf_counter()) > 0:
                if not select.select([process.stdout], [], [], left)[0]:
                    break
                chunk = os.read(process.stdout.fileno(), CHUNK)
                if not chunk:
                    ended = _how_it_ended(process, errors)
                    if ended:
                        yield Failure(ended)
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (from_line(line.decode()) for line in lines)
            yield Failure(f"stopped after {seconds:.0f} s, which is all it may take")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def _how_it_ended(process: subprocess.Popen, errors: object) -> str:
    """What went wrong; nothing if it was well. (The process has closed its output, so it is about to end.)"""
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        return "said all its rows, but did not end"
    if not code:
        return ""
    ended = f"ended with exit code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
    errors.seek(0)  # type: ignore[attr-defined]
    lines = errors.read().decode(errors="replace").strip().splitlines()  # type: ignore[attr-defined]
    return f"{ended}: {lines[-1]}" if lines else ended


def guarded_rows(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows; if they end in an exception, a Failure says which, and where."""
    try:
        yield from rows
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(f"{type(error).__name__}: {error}".split())
        yield Failure(f"{text} ({Path(frame.filename).name}, line {frame.lineno})")


def main() -> int:
    from .parts import parts

    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes elsewhere, not between the rows
    part = {part.name: part for part in parts()}[sys.argv[1]]
    for row in guarded_rows(part.rows()):
        output.write(to_line(row) + "\n")
    output.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

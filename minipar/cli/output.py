"""Standard output that may be a pipe which is closed early, a full disk, or a terminal that lacks a character."""

from __future__ import annotations

import io
import os
import sys


def allow_any_encoding() -> None:
    """A character that an output cannot encode is shown as "?"."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def say(text: str) -> None:
    """Print a line now. Where nobody reads any more, drop this and all that follows; OSError for a full disk."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard()


def flush() -> None:
    """OSError if something printed earlier cannot be written."""
    if sys.stdout is not None:
        sys.stdout.flush()


def discard_if_stuck() -> None:
    """Discard what cannot be written; what can be written is."""
    try:
        flush()
    except OSError:
        discard()


def discard() -> None:
    """From now on standard output goes nowhere, and so does what is still in its buffer.

    (Otherwise the interpreter tries to write it when it ends, and complains.)
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

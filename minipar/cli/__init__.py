"""The command line: `minipar train | bench | doctor`.

This page loads nothing by itself, so that Ctrl-C while the rest is loading is one line too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code.

    0 done, 1 failed, 2 asked wrongly, 130 interrupted (Ctrl-C), 141 nobody reads the output any more.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    name = " ".join(["minipar", *arguments[:1]]) if arguments and arguments[0].isalpha() else "minipar"
    try:
        from .commands import run

        return run(arguments, name)
    except KeyboardInterrupt as error:
        sys.stderr.write("\n" + "; ".join([f"{name}: interrupted", *map(str, error.args)]) + "\n")
        return 130

"""A script or module run by a rank as its `__main__`, as ``minipar launch`` does."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from ..comm.communicator import Communicator
from .environment import as_process_of


def run_script(comm: Communicator, name: str, arguments: Sequence[str], *, is_module: bool) -> None:
    """Run it on this rank of a job. ``sys.exit()`` and ``sys.exit(0)`` end it; any other code is a failure."""
    sys.argv[:] = [name, *arguments]
    sys.path.insert(0, str(Path.cwd() if is_module else Path(name).resolve().parent))  # as Python does
    try:
        with as_process_of(comm):
            if is_module:
                runpy.run_module(name, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(name, run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise

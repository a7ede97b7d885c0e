"""`minipar launch`: a script on every rank of a job, each in a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import CommandError, positive_float, positive_int

if TYPE_CHECKING:
    from ..parallel import WorkerError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run a script on several processes at once. `minipar.parallel.init()` gives each its communicator, and\n"
        "`minipar.parallel.launch(function)` runs the function on these processes: so one script runs alone, like\n"
        "this, and under mpiexec. The first process that fails, by an exception or sys.exit(1), ends them all."
    )
    parser.add_argument("-n", "--workers", type=positive_int, required=True, help="how many processes")
    parser.add_argument(
        "--backend",
        choices=("process", "mpi"),
        default="process",
        help="process (default): through shared memory, on this machine; mpi: what mpiexec and mpi4py reach",
    )
    parser.add_argument(
        "--timeout",
        type=positive_float,
        help="seconds that a process waits for another in one call (default 60); one that goes on alone for as long "
        "after another has ended is taken to hang, too",
    )
    parser.add_argument("-m", action="store_true", dest="is_module", help="the script is the name of a module")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what follows is for the script")


def run(args: argparse.Namespace) -> int:
    if not args.is_module and not Path(args.script).is_file():
        raise CommandError(f"there is no script {args.script!r}")
    from ..parallel import WorkerError, launch
    from ..parallel.ranks.script import run_script

    try:
        launch(
            run_script, args.script, args.arguments, is_module=args.is_module,
            workers=args.workers, backend=args.backend, timeout=args.timeout,
        )  # fmt: skip
    except WorkerError as error:
        sys.stderr.write(f"{error}\n")
        return _exit_code(error)
    return 0


def _exit_code(error: WorkerError) -> int:
    """As the shell would tell it of one process: what it left with, or 128 and the signal; 1 for an exception."""
    if isinstance(error.cause, SystemExit):
        return error.cause.code if isinstance(error.cause.code, int) else 1
    if error.exitcode is None:
        return 1
    return 128 - error.exitcode if error.exitcode < 0 else error.exitcode or 1

"""The commands, what `minipar --help` shows, and what becomes of errors: one line and an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__
from ..arguments import CommandError, Parser
from . import output

EXAMPLES = """\
first steps:
  minipar train fashion_mnist --workers 2     a CNN on two processes, with a table, a checkpoint and a loss curve
  minipar train digits --compare-workers --dtype float64
                                              is two workers' training equal to one's? layer by layer, in numbers
  minipar launch -n 4 train.py                a script of yours on four processes, or with --backend mpi on MPI's
  minipar doctor                              what this machine has, and the pip line for what is missing
  minipar bench W2b W3                        training steps against PyTorch, interleaved, with medians and ratios
  minipar bench --gpu                         every GPU kernel checked and timed, with a report

`minipar COMMAND --help` says what each takes. In Python: `import minipar as torch`.
"""


def run(arguments: Sequence[str], name: str) -> int:
    """Run a command and return its exit code; `name` begins the line about an error. Lets KeyboardInterrupt pass."""
    output.allow_any_encoding()
    try:
        try:
            return _run(arguments)
        finally:
            output.flush()  # what the disk or the pipe did not take is known here
    except CommandError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return error.exit_code
    except BrokenPipeError:  # `minipar … | head` has read enough
        output.discard()
        return 141
    except OSError as error:
        output.discard_if_stuck()
        sys.stderr.write(f"{name}: {_one_line(error)}\n")
        return 1


def _run(arguments: Sequence[str]) -> int:
    parser = _parser()
    args, unknown = parser.parse_known_args(arguments)
    if unknown:  # argparse would name `minipar --help`, which does not show a command's options
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if args.command is None:
        parser.print_help()
        return 0
    return args.run(args)


def _one_line(error: OSError) -> str:
    file = error.filename2 or error.filename
    return f"{file}: {error.strerror}" if file else error.strerror or " ".join(str(error).split())


def _parser() -> Parser:
    parser = Parser(
        prog="minipar",
        description="A neural-network engine, readable end to end: autograd, kernels and every kind of parallelism.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minipar {__version__}")
    parser.set_defaults(parser=parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, summary, load in _COMMANDS:
        module = load()
        sub = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run, parser=sub)
    return parser


def _train() -> Any:
    from . import train

    return train


def _launch() -> Any:
    from . import launch

    return launch


def _bench() -> Any:
    from .. import bench

    return bench


def _doctor() -> Any:
    from . import doctor

    return doctor


_COMMANDS: tuple[tuple[str, str, Callable[[], Any]], ...] = (
    ("train", "train a model on data that ships with minipar, on one worker or several", _train),
    ("launch", "run a script on several processes", _launch),
    ("bench", "time training steps against PyTorch, or check and time the GPU", _bench),
    ("doctor", "say what this machine has, and how to get what is missing", _doctor),
)

"""The command line: `minipar train | bench | doctor`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__
from .arguments import CommandError, Parser

EXAMPLES = """\
first steps:
  minipar train fashion_mnist --workers 2     a CNN on two processes, with a table, a checkpoint and a loss curve
  minipar train digits --compare-workers --dtype float64
                                              is two workers' training equal to one's? layer by layer, in numbers
  minipar doctor                              what this machine has, and the pip line for what is missing
  minipar bench W2b W3                        training steps against PyTorch, interleaved, with medians and ratios
  minipar bench --gpu                         every GPU kernel checked and timed, with a report

`minipar COMMAND --help` says what each takes. In Python: `import minipar as torch`.
"""


def _parser() -> Parser:
    parser = Parser(
        prog="minipar",
        description="A neural-network engine, readable end to end: autograd, kernels and every kind of parallelism.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minipar {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, summary, load in _COMMANDS:
        module = load()
        sub = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def _train() -> Any:
    from . import train

    return train


def _bench() -> Any:
    from .. import bench

    return bench


def _doctor() -> Any:
    from . import doctor

    return doctor


_COMMANDS: tuple[tuple[str, str, Callable[[], Any]], ...] = (
    ("train", "train a model on data that ships with minipar, on one worker or several", _train),
    ("bench", "time training steps against PyTorch, or check and time the GPU", _bench),
    ("doctor", "say what this machine has, and how to get what is missing", _doctor),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 failed, 2 asked wrongly, 130 interrupted."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    try:
        return args.run(args)
    except CommandError as error:
        sys.stderr.write(f"minipar {args.command}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"\nminipar {args.command}: interrupted\n")
        return 130

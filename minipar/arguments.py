"""Command-line arguments: an error is one line and exit code 2."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import NoReturn


class CommandError(Exception):
    """What the user asked for cannot be done: shown as one line, exit code 2."""

    exit_code = 2


class CommandFailed(CommandError):
    """What the user asked for was tried, and failed: shown as one line, exit code 1."""

    exit_code = 1


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message} (see {self.prog} --help)\n")
        sys.exit(2)


def positive_int(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return number


def positive_float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return number


def seed(text: str) -> int:
    """What `manual_seed` takes."""
    try:
        number = int(text)
    except ValueError:
        number = 2**64
    if not -(2**63) <= number < 2**64:
        raise argparse.ArgumentTypeError(f"must be a whole number of [-2**63, 2**64), not {text!r}")
    return number


def folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must be the name of a folder, not ''")
    return Path(text)

"""The parent's end of a contender's process."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contenders import ENVIRONMENT, Contender

START_LIMIT = 600.0  # seconds to import, compile kernels and take the first steps
BLOCK_LIMIT = 300.0  # seconds for one block
EXIT_LIMIT = 5.0  # seconds to leave once its input has ended


class ContenderError(Exception):
    """A contender's process failed; the message says how."""


class Racer:
    """A running contender, which waits for its turn whenever it is not in `run`. Use as a context manager.

    `hello` is what it said of itself: its first losses, its version and its threads.
    """

    def __init__(self, contender: Contender, workload: str, command: Sequence[str] = ()) -> None:
        command = command or [sys.executable, "-m", "minipar.bench.worker", contender.name, workload]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env=environment(contender),
            )
        except BaseException:
            self.errors.close()
            raise
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.orders, self.answers = self.process.stdin, self.process.stdout

    def __enter__(self) -> Racer:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Let it go: its input ends; if that is not enough, or in an emergency, it is killed."""
        if error is not None:
            self.process.kill()
        self.orders.close()
        try:
            self.process.wait(EXIT_LIMIT)
        except BaseException:  # a second Ctrl-C too must leave no process behind
            self.process.kill()
            self.process.wait()
        self.answers.close()
        self.errors.close()

    def greet(self) -> dict[str, Any]:
        """Wait until it is ready. ContenderError if that fails."""
        return self._read(START_LIMIT)

    def run(self, steps: int) -> list[float]:
        """Seconds of each of `steps` steps, taken now. ContenderError if that fails."""
        return self.ask(str(steps))

    def ask(self, order: str) -> Any:
        """The answer to one line. ContenderError if that fails."""
        try:
            os.write(self.orders.fileno(), f"{order}\n".encode())
        except BrokenPipeError:
            raise ContenderError(self._how_it_ended()) from None
        return self._read(BLOCK_LIMIT)

    def _read(self, limit: float) -> Any:
        if not select.select([self.answers], [], [], limit)[0]:
            self.process.kill()
            raise ContenderError(f"gave no answer within {limit:g} s")
        line = self.answers.readline()
        if not line.endswith(b"\n"):
            raise ContenderError(self._how_it_ended())
        message = json.loads(line)
        if isinstance(message, dict) and "error" in message:
            raise ContenderError(message["error"])
        return message

    def _how_it_ended(self) -> str:
        try:
            code = self.process.wait(EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            return "closed its output without an answer"
        ended = f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"{ended}: {lines[-1]}" if lines else ended


def environment(contender: Contender) -> dict[str, str]:
    """Ours, everybody's number of threads, the contender's; it imports the minipar that is running here."""
    return {**os.environ, "PYTHONPATH": python_path(), **ENVIRONMENT, **contender.environment}


def python_path() -> str:
    """$PYTHONPATH with the minipar that is running here before all others."""
    import minipar

    home = str(Path(minipar.__file__).resolve().parent.parent)
    return os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])

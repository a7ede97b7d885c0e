"""The parent's end: the processes of one contender's ranks, and a socket to each."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ..racer import ContenderError
from .contenders import Contender

START_LIMIT = 120.0  # seconds until all ranks have said who they are
BLOCK_LIMIT = 120.0  # seconds for one order
EXIT_LIMIT = 10.0  # seconds to leave once the sockets are closed
_POLL = 0.2  # seconds between two looks at the processes while ranks are awaited


class Crew:
    """The ranks of one contender, asleep unless in `run`. Use as a context manager.

    After `greet`, `version` and `pids` are what they have said of themselves.
    """

    def __init__(self, contender: Contender, size: int) -> None:
        self.size = size
        self.version = ""
        self.pids: list[int] = []
        self._folder = tempfile.TemporaryDirectory(prefix="ranks-")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the processes
        self._door = socket.socket(socket.AF_UNIX)
        self._channels: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            address = str(Path(self._folder.name) / "door")
            self._door.bind(address)
            self._door.listen(size)
            for command in contender.commands(size, address):
                self._processes.append(
                    subprocess.Popen(
                        command,
                        env=contender.environment,
                        stdin=subprocess.DEVNULL,
                        stdout=self._errors,
                        stderr=self._errors,
                    )
                )
        except BaseException:
            self._leave(hurry=True)
            raise

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._leave(hurry=error is not None)

    def greet(self) -> None:
        """Wait until every rank has said who it is. ContenderError if one does not."""
        deadline = time.monotonic() + START_LIMIT
        by_rank: dict[int, tuple[Connection, dict[str, Any]]] = {}
        self._door.settimeout(_POLL)
        while len(by_rank) < self.size:
            try:
                channel = Connection(self._door.accept()[0].detach())
            except TimeoutError:
                if any(process.poll() is not None for process in self._processes):
                    raise ContenderError(self._how_it_ended()) from None
                if time.monotonic() > deadline:
                    raise ContenderError(f"not all ranks were ready within {START_LIMIT:g} s") from None
                continue
            self._channels.append(channel)
            hello = self._read(channel, deadline)
            by_rank[hello["rank"]] = channel, hello
        self._channels = [by_rank[rank][0] for rank in range(self.size)]
        self.pids = [by_rank[rank][1]["pid"] for rank in range(self.size)]
        self.version = by_rank[0][1]["version"]

    def ask(self, *order: Any) -> list[Any]:
        """The answers to one order, by rank. ContenderError if a rank fails."""
        deadline = time.monotonic() + BLOCK_LIMIT
        for channel in self._channels:
            channel.send(order)
        answers: dict[Connection, Any] = {}
        while len(answers) < self.size:  # whoever fails speaks first; the others may then wait in vain
            missing = [channel for channel in self._channels if channel not in answers]
            ready = wait(missing, max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ContenderError(f"gave no answer within {BLOCK_LIMIT:g} s")
            answers |= {channel: self._read(channel, deadline) for channel in missing if channel in ready}
        return [answers[channel] for channel in self._channels]

    def run(self, mode: str, nbytes: int, repeats: int) -> list[float]:
        """Seconds of each repeat, of the slowest rank each time. ContenderError if that fails."""
        return [max(seconds) for seconds in zip(*self.ask(mode, nbytes, repeats))]

    def _read(self, channel: Connection, deadline: float) -> Any:
        try:
            if not channel.poll(max(0.0, deadline - time.monotonic())):
                raise ContenderError("a rank gave no answer in time")
            message = channel.recv()
        except (EOFError, OSError):
            raise ContenderError(self._how_it_ended()) from None
        if isinstance(message, dict) and "error" in message:
            raise ContenderError(message["error"])
        return message

    def _how_it_ended(self) -> str:
        deadline = time.monotonic() + 1.0  # a socket is closed a moment before its process has ended
        while not (codes := [process.returncode for process in self._processes if process.poll()]):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        ended = "a rank ended"
        if codes:
            ended += f" with exit code {codes[0]}" if codes[0] > 0 else f" by {signal.Signals(-codes[0]).name}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{ended}: {lines[-1]}" if lines else ended

    def _leave(self, hurry: bool) -> None:
        """Ranks end when their sockets do; whoever does not gets SIGTERM, which mpiexec passes on, then SIGKILL.

        Ctrl-C leaves no process behind either: the ranks get no more time, and it is raised when they are gone.
        """
        for channel in self._channels:
            channel.close()
        self._door.close()
        interrupt: KeyboardInterrupt | None = None
        for limit, stop in ((0.0 if hurry else EXIT_LIMIT, subprocess.Popen.terminate), (2.0, subprocess.Popen.kill)):
            deadline = time.monotonic() + limit
            for process in self._processes:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    stop(process)
                except KeyboardInterrupt as ctrl_c:
                    interrupt, deadline = ctrl_c, 0.0
                    stop(process)
        for process in self._processes:
            process.wait()
        self._errors.close()
        self._folder.cleanup()
        if interrupt is not None:
            raise interrupt

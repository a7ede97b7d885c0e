"""mpiexec and the ranks that it has started on this machine, from the first to the last of their processes.

The ranks are great-grandchildren of this process, and mpiexec passes nothing on to them: so their parents (each has one
of its own, mpi_watcher.py) connect to a Unix socket that has no place in the file system, and are given all else there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ...backend.device import device
from ..comm.shared_memory import create_block
from . import mpiexec, processes
from .channel import Kind
from .child import has_exited
from .environment import RANK_NAMES
from .errors import Failure, WorkerError
from .leaving import wait_until_gone
from .mpi_rank import MPIRank, is_ours
from .output import Screen
from .readable import is_readable

_POLL = 0.1  # seconds between two looks at mpiexec while ranks start
_LAST_WORDS = 0.5  # seconds that mpiexec has to say why it ended a rank
_DYING = 5.0  # seconds that a killed rank may take to be gone
_COMPARE_CALLS = {"MINIPAR_DEBUG": "1"}  # on one machine that costs little; the caller's environment may say otherwise
_BOOT = "import runpy, sys; sys.path[:] = {path!r}; runpy.run_path({watcher!r})['main']()"
_WATCHER = str(Path(__file__).with_name("mpi_watcher.py"))


class MPICrew:
    """`launcher` is the command mpiexec, `ranks` those that have come."""

    def __init__(self, launcher: str) -> None:
        self.screen = Screen()
        self.ranks: list[MPIRank] = []
        self._launcher = launcher
        self._said = create_block(1)  # by mpiexec
        self._scratch = _scratch(launcher)
        self._mpiexec: subprocess.Popen | None = None

    def start(self, places: Sequence[device]) -> None:
        """Start mpiexec, and wait until all ranks are there: rank r is to have places[r]. WorkerError if one is not."""
        size, name = len(places), f"minipar-{secrets.token_hex(16)}"
        with socket.socket(socket.AF_UNIX) as door:
            door.bind("\0" + name)
            door.listen(size)
            self._mpiexec = self._started(size, name)
            deadline = time.monotonic() + processes.START_LIMIT
            while len(self.ranks) < size:
                if is_readable(door, _POLL):
                    self._let_in(door.accept()[0], list(places))
                elif has_exited(self._mpiexec) or time.monotonic() > deadline:
                    raise self._not_started(size)
        self.ranks.sort(key=lambda rank: rank.rank)

    def _started(self, size: int, name: str) -> subprocess.Popen:
        boot = _BOOT.format(path=processes.importable_path(), watcher=_WATCHER)
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        own = mpiexec.environment(self._launcher, self._scratch.__enter__())
        return subprocess.Popen(
            [*mpiexec.command(self._launcher, size), sys.executable, *flags, "-c", boot, name, *RANK_NAMES],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            env=_COMPARE_CALLS | processes.worker_environment(size) | own,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the job
        )

    def _let_in(self, end: socket.socket, places: list[device]) -> None:
        if not is_ours(end):
            end.close()
            return
        with contextlib.suppress(OSError, ValueError):  # it has gone again; mpiexec then ends the others
            self.ranks.append(MPIRank(end, places, self.screen))

    def finish(self) -> None:
        """All ranks have answered: they leave MPI together."""
        for rank in self.ranks:
            with contextlib.suppress(OSError):
                rank.channel.send(Kind.END)
        wait_until_gone(self.ranks, self.screen)

    def end(self) -> None:
        """Leave no process behind: not the ranks, nor those that mpiexec has started beside them."""
        for rank in self.ranks:
            rank.send_signal(signal.SIGKILL)  # at once, even if its parent cannot
            rank.let_go()
        if self._mpiexec is not None:
            self._end_mpiexec(self._mpiexec)
            self._scratch.__exit__(None, None, None)
        for rank in self.ranks:
            rank.has_ended(within=_DYING)  # mpiexec may be quicker; what a rank still has open could not be swept
            rank.close()
        self.screen.finish()
        os.close(self._said)

    @staticmethod
    def _end_mpiexec(process: subprocess.Popen) -> None:
        """It has things of its own to clear away: it may notice by itself, is then asked, and only then killed."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not has_exited(process, within=1.0):
                os.kill(process.pid, number)
        process.wait()

    # -- what mpiexec says -----------------------------------------------------------------------------------------

    def last_words(self) -> str:
        """What mpiexec has said, which has ended a rank or is about to end."""
        if self._mpiexec is not None:
            has_exited(self._mpiexec, within=_LAST_WORDS)
        return os.pread(self._said, 1 << 16, 0).decode(errors="replace").strip("\0 \n")

    def _not_started(self, size: int) -> WorkerError:
        missing = min(set(range(size)) - {rank.rank for rank in self.ranks})
        return Failure(missing, "did not start", "starting", remote_traceback=self.last_words()).error()


def _scratch(launcher: str) -> contextlib.AbstractContextManager[str]:
    """A folder for the temporary files of mpiexec; Hydra would leave one behind, and is given a folder that is none."""
    if mpiexec.is_open_mpi(launcher):
        return tempfile.TemporaryDirectory(prefix="minipar-mpi-", ignore_cleanup_errors=True)
    return contextlib.nullcontext("/nonexistent")

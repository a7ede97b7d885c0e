"""`launch` with backend "mpi": a job of mpiexec on this machine, its results, its failures, and nothing left behind.

The ranks are grandchildren of this process, and mpiexec passes nothing on to them: so they connect to a Unix socket
that has no place in the file system. From then on they are workers like all others (worker.py, answers.py); but how one
died only mpiexec knows, and it ends all others when one dies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...backend.device import device
from ..comm.board import Board
from ..comm.shared_memory import create_block, map_block
from . import mpiexec, processes
from .answers import Answers, Contact
from .channel import Channel, Kind
from .errors import Failure, WorkerError
from .output import RankStream, Screen, wait_and_show
from .stacks import ProcessStack
from .task import pack_task

_POLL = 0.1  # seconds between two looks at mpiexec while ranks start
_LEAVING_POLL = 0.02  # the same, while they leave
_PATIENCE = 1.5  # seconds that mpiexec has to say how a rank died; it takes 0.1
_COMPARE_CALLS = {"MINIPAR_DEBUG": "1"}  # on one machine that costs little; the caller's environment may say otherwise
_CREDENTIALS = struct.Struct("3i")  # process, user and group at the other end of a socket
_BOOT = "import sys; sys.path[:] = {path!r}; from minipar.parallel.ranks.mpi_worker import main; main()"


def run(
    fn: Callable[..., Any],
    args: tuple,
    kwargs: dict[str, Any],
    workers: int,
    timeout: float,
    devices: Sequence[device],
) -> list[Any]:
    """The results by rank; see `launch`."""
    launcher = mpiexec.find_mpiexec()
    with contextlib.ExitStack() as stack:
        parcel = pack_task("launch", fn, args, kwargs, timeout)
        stack.callback(parcel.close)
        world = create_block(Board.nbytes(workers))
        stack.callback(os.close, world)
        memory = stack.enter_context(map_block(world))
        board = Board(memory, workers)
        stack.callback(board.release)
        stack.callback(mpiexec.sweep, mpiexec.segments())
        job = _Job(launcher, stack.enter_context(_scratch(launcher)))
        stack.callback(job.end)
        job.start(devices)
        for rank in job.ranks:
            with contextlib.suppress(OSError):  # one that has gone is noticed later
                rank.channel.send(Kind.WORLD, descriptor=world)
                rank.channel.send(Kind.TASK, parcel.stream, parcel.descriptor)
        answers = _Answers(job, board, timeout)
        try:
            results = answers.results()
        except KeyboardInterrupt:
            answers.interrupt()
            raise
        job.finish()
        return results


class MPIRank:
    """One rank, seen from the caller (as a `WorkerProcess`, but it is no child of this process)."""

    def __init__(self, rank: int, end: socket.socket, job: _Job) -> None:
        self.rank = rank
        self.is_busy = True
        self.channel = Channel(end)
        self.stack = ProcessStack()
        self.stack.pid, _, _ = _credentials(end)
        self.process: Any = self  # it takes signals
        self._handle = os.pidfd_open(self.stack.pid)  # unlike the number, no other process can ever have it
        self._job = job
        self.streams: list[RankStream] = []
        self._theirs: list[int] = []
        for name in ("stdout", "stderr"):
            reader, writer = os.pipe()
            pipe = os.fdopen(reader, "rb", buffering=0)
            self.streams.append(RankStream(rank, name, pipe, job.screen))
            self._theirs.append(writer)

    def welcome(self, end: socket.socket, size: int, place: device) -> None:
        """Tell it what it needs to know and give it what it needs to hold."""
        told = pickle.dumps((size, str(place), processes.bars(self.rank)))
        socket.send_fds(end, [told], [self.stack.descriptor, *self._theirs])
        while self._theirs:
            os.close(self._theirs.pop())

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def has_ended(self) -> bool:
        return _is_readable(self._handle)

    def has_written(self) -> bool:
        return _is_readable(self.channel)

    def exit_code(self) -> int | None:
        """None if mpiexec does not say, or not of this one."""
        process, code = self._job.cause_of_death()
        return code if process == self.stack.pid else None

    def close(self) -> None:
        self.channel.close()
        self.stack.close()
        os.close(self._handle)
        while self._theirs:
            os.close(self._theirs.pop())
        try:
            for stream in self.streams:
                stream.finish()
        finally:
            for stream in self.streams:
                stream.close()


class _Job:
    """mpiexec and its ranks."""

    def __init__(self, launcher: str, scratch: str) -> None:
        self.screen = Screen()
        self.ranks: list[MPIRank] = []
        self._launcher = launcher
        self._scratch = scratch
        self._said = create_block(1)  # by mpiexec
        self._patience = 0.0  # until when it is waited for, once a rank has died
        self._mpiexec: subprocess.Popen

    def start(self, devices: Sequence[device]) -> None:
        """Start mpiexec, and wait until all ranks have connected."""
        size, name = len(devices), f"minipar-{secrets.token_hex(16)}"
        with socket.socket(socket.AF_UNIX) as door:
            door.bind("\0" + name)
            door.listen(size)
            boot = _BOOT.format(path=processes.importable_path())
            flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
            self._mpiexec = subprocess.Popen(
                [*mpiexec.command(self._launcher, size), sys.executable, *flags, "-c", boot, name],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                env=_COMPARE_CALLS
                | processes.worker_environment(size)
                | mpiexec.environment(self._launcher, self._scratch),
                start_new_session=True,  # Ctrl-C is for this process, which then ends the job
            )
            deadline = time.monotonic() + processes.START_LIMIT
            while len(self.ranks) < size:
                if _is_readable(door, _POLL):
                    self._let_in(door.accept()[0], devices)
                elif self._mpiexec.poll() is not None or time.monotonic() > deadline:
                    raise self._not_started(size)
        self.ranks.sort(key=lambda rank: rank.rank)

    def _let_in(self, end: socket.socket, devices: Sequence[device]) -> None:
        _, user, _ = _credentials(end)
        if user != os.getuid():  # the name is nobody's secret
            end.close()
            return
        rank = MPIRank(int.from_bytes(end.recv(4), "little"), end, self)
        self.ranks.append(rank)
        rank.welcome(end, len(devices), devices[rank.rank])

    def finish(self) -> None:
        """All ranks have answered: they leave MPI together."""
        for rank in self.ranks:
            with contextlib.suppress(OSError):
                rank.channel.send(Kind.END)
        deadline = time.monotonic() + processes.EXIT_LIMIT
        while self._mpiexec.poll() is None and time.monotonic() < deadline:
            wait_and_show([stream for rank in self.ranks for stream in rank.streams], [], _LEAVING_POLL)

    def end(self) -> None:
        """Leave no process behind: not the ranks, nor those that mpiexec has started beside them."""
        for rank in self.ranks:
            rank.send_signal(signal.SIGKILL)  # reaches one that is stopped, too
        if hasattr(self, "_mpiexec"):
            self._end_mpiexec(self._mpiexec)
        for rank in self.ranks:
            rank.close()
        self.screen.finish()
        os.close(self._said)

    @staticmethod
    def _end_mpiexec(process: subprocess.Popen) -> None:
        """It has things of its own to clear away: it may notice by itself, is then asked, and only then killed."""
        for step in (lambda: None, process.terminate, process.kill):
            step()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
                return
        process.wait()

    # -- what mpiexec says -----------------------------------------------------------------------------------------

    def cause_of_death(self) -> tuple[int | None, int | None]:
        """The process that died first, and its exit code, as far as mpiexec says; it does when it ends."""
        self._patience = self._patience or time.monotonic() + _PATIENCE
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._mpiexec.wait(max(0.0, self._patience - time.monotonic()))
        return mpiexec.cause_of_death(self._all_said())

    def _all_said(self) -> str:
        return os.pread(self._said, 1 << 16, 0).decode(errors="replace").strip("\0 \n")

    def _not_started(self, size: int) -> WorkerError:
        missing = min(set(range(size)) - {rank.rank for rank in self.ranks})
        return Failure(missing, "did not start", "starting", remote_traceback=self._all_said()).error()


class _Answers(Answers):
    """Of ranks that mpiexec ends as soon as one has died."""

    def __init__(self, job: _Job, board: Board, timeout: float) -> None:
        super().__init__(job.ranks, board, timeout)
        self._job = job

    def _death_of(self, worker: Contact) -> Failure:
        """If several have died when this is noticed, mpiexec names the first; but it may name one it killed itself."""
        dead = [rank.stack.pid for rank in self._job.ranks if rank is not worker and rank.has_ended()]
        failure = super()._death_of(worker)
        named, _ = self._job.cause_of_death()
        return dataclasses.replace(failure, is_consequence=bool(self._inquest.failures) or named in dead)


def _credentials(end: socket.socket) -> tuple[int, int, int]:
    return _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))


def _is_readable(file: Any, seconds: float = 0.0) -> bool:
    poller = select.poll()
    poller.register(file, select.POLLIN)
    return bool(poller.poll(1000 * seconds))


def _scratch(launcher: str) -> contextlib.AbstractContextManager[str]:
    """A folder for the temporary files of mpiexec; Hydra would leave one behind, and is given a folder that is none."""
    if mpiexec.is_open_mpi(launcher):
        return tempfile.TemporaryDirectory(prefix="minipar-mpi-", ignore_cleanup_errors=True)
    return contextlib.nullcontext("/nonexistent")

"""One rank of a job of mpiexec, as the caller of `launch` sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct

from ...backend.device import device
from . import processes
from .channel import Channel
from .launch import GRACE
from .mpi_watcher import EXIT_CODE
from .output import RankStream, Screen
from .readable import is_readable
from .stacks import ProcessStack

_CREDENTIALS = struct.Struct("3i")  # process, user and group at the other end of a socket


class MPIRank:
    """As a `WorkerProcess`; but it is no child of this process: its parent (mpi_watcher.py) tells of it.

    `watcher` is the connection to that one, `places` are the devices of all ranks.
    """

    def __init__(self, watcher: socket.socket, places: list[device], screen: Screen) -> None:
        with contextlib.ExitStack() as made:  # closed again if there comes no rank of it
            self._watcher = made.enter_context(watcher)
            self.rank = int.from_bytes(watcher.recv(4), "little")
            self.is_busy = True
            self.stack = ProcessStack()
            made.callback(self.stack.close)
            end, theirs = socket.socketpair()
            self.channel = Channel(end)
            made.callback(self.channel.close)
            self.streams: list[RankStream] = []
            with contextlib.ExitStack() as given:
                given.enter_context(theirs)
                descriptors = [theirs.fileno(), self.stack.descriptor]
                for name in ("stdout", "stderr"):
                    reader, writer = os.pipe()
                    given.callback(os.close, writer)
                    pipe = made.enter_context(os.fdopen(reader, "rb", buffering=0))
                    self.streams.append(RankStream(self.rank, name, pipe, screen))
                    descriptors.append(writer)
                told = pickle.dumps((self.rank, len(places), str(places[self.rank]), processes.bars(self.rank)))
                socket.send_fds(watcher, [told], descriptors)
            process, (self._handle,), _, _ = socket.recv_fds(watcher, 4, 1)
            self.stack.pid = int.from_bytes(process, "little")
            made.pop_all()

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def has_ended(self, within: float = 0.0) -> bool:
        """Whether it has, in so many seconds at the most; all that it had open is closed then."""
        return is_readable(self._handle, within)

    def has_written(self) -> bool:
        return is_readable(self.channel)

    def exit_code(self) -> int | None:
        """Of a rank that seems to have gone; None if it stays, or if nobody can tell: its parent has gone with it."""
        if not (is_readable(self._handle, GRACE) and is_readable(self._watcher, GRACE)):
            return None
        try:
            told = self._watcher.recv(EXIT_CODE.size, socket.MSG_PEEK)  # for whoever asks again
        except OSError:
            return None
        return EXIT_CODE.unpack(told)[0] if told else None

    def let_go(self) -> None:
        """Its parent ends it, if it has not ended, and ends."""
        self._watcher.close()

    def close(self) -> None:
        """Show what it has written, and close all there is."""
        self.let_go()
        self.channel.close()
        self.stack.close()
        os.close(self._handle)
        try:
            for stream in self.streams:
                stream.finish()
        finally:
            for stream in self.streams:
                stream.close()


def is_ours(end: socket.socket) -> bool:
    """Whether who has called is a process of this user; the name of a socket is nobody's secret."""
    _, user, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return user == os.getuid()

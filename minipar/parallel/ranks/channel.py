"""Messages between the caller and one worker, over a Unix socket: a kind, a body of bytes, perhaps a descriptor.

    caller → worker   WORLD + descriptor      the shared memory of the communicators of the tasks to come
                      PATH                    where to look for modules from now on
                      OBJECT + descriptor     something that was put, for the tasks to come
                      FORGET                  … and is no longer needed
                      TASK [+ descriptor]     a function, its arguments and settings; answered by
    worker → caller   RESULT [+ descriptor]   what it returned, or
                      FAILURE                 how it failed
    caller → worker   END                     leave; answered, if threads still run, by
    worker → caller   WAITS                   their names; and again, with none, when they have ended

The end of the stream tells either side of the other's death.
"""

import errno
import os
import socket
import struct
from enum import IntEnum, auto

_HEADER = struct.Struct("=BBq")  # kind, whether a descriptor comes along, length of the body


class Kind(IntEnum):
    """What a message is."""

    WORLD = auto()
    PATH = auto()
    OBJECT = auto()
    FORGET = auto()
    TASK = auto()
    RESULT = auto()
    FAILURE = auto()
    END = auto()
    WAITS = auto()


class NotTaken(OSError):
    """A message has come, but this process has too many open files to take the descriptor that came with it."""


class Channel:
    """One end. A body should be small (a socket buffer, 100 KB): what is large travels as a descriptor of a block."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, kind: Kind, body: bytes = b"", descriptor: int | None = None) -> None:
        """OSError if the other side has gone."""
        header = _HEADER.pack(kind, descriptor is not None, len(body))
        if descriptor is None:
            self._socket.sendall(header + body)
        else:  # it travels with the first byte, and a header is short enough to be sent at once
            socket.send_fds(self._socket, [header], [descriptor])
            self._socket.sendall(body)

    def receive(self) -> tuple[Kind, bytes, int | None]:
        """The next message; the descriptor is the receiver's to close. EOFError or OSError if the other side has gone.

        NotTaken if this process can open no further files; the message has been read. Descriptors received are not
        inherited by programs that this process starts.
        """
        start, descriptors, _, _ = socket.recv_fds(self._socket, _HEADER.size, 1)
        kind, with_descriptor, length = _HEADER.unpack(start + self._exactly(_HEADER.size - len(start)))
        body = self._exactly(length)
        if with_descriptor and not descriptors:  # the kernel has dropped it
            raise NotTaken(errno.EMFILE, f"{os.strerror(errno.EMFILE)} in process {os.getpid()} (see ulimit -n)")
        return Kind(kind), body, descriptors[0] if with_descriptor else None

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, length: int) -> bytes:
        parts = []
        while length:
            part = self._socket.recv(length)
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

"""Messages between two ranks of an MPI communicator: shape, dtype and tag travel ahead of the data.

A small message is one MPI message, header and data together; the data of a larger one follows in a message of its own,
straight from the sender's array into the receiver's. Whatever comes is taken in while this rank waits for anything:
so ranks that all send before any receives never wait for each other for ever, however MPI buffers.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .inbox import Inbox
from .work import Steps

if TYPE_CHECKING:
    from mpi4py import MPI

# Tags of messages without data: a rank that looks around answers at once, and asks nobody after it has said the last.
QUESTION, ANSWER, LAST = -10, -11, -12
_HEADER, _DATA = 0, 1  # MPI's tags; the user's, which may be larger than MPI allows, is in the header
_SMALL = 4096  # bytes of data that travel with their header
_LENGTH = 4  # bytes that tell how long the header is

Complete = Callable[[Callable[[], Any], int], Steps]  # start requests; wait until they are complete


class Port:
    """Where the messages of one rank of one communicator leave and arrive."""

    def __init__(self, comm: MPI.Comm, complete: Complete) -> None:
        from mpi4py import MPI

        self._comm = comm
        self._complete = complete
        self._byte = MPI.BYTE
        self._anybody = MPI.ANY_SOURCE
        self._status = MPI.Status()
        self.inbox = Inbox()
        self._arriving: dict[int, deque[Steps]] = {}  # by sender, in the order in which they were sent

    def send(self, array: np.ndarray, dest: int, tag: int) -> Steps:
        """`array` is C-contiguous; complete when it may be changed."""
        if dest == self._comm.rank:
            self.inbox.put(dest, tag, array.copy())
            return
        header = pickle.dumps((tag, array.dtype, array.shape))
        data = array.reshape(-1).view(np.uint8)
        together = data.tobytes() if data.size <= _SMALL else b""
        head = len(header).to_bytes(_LENGTH, "little") + header + together

        def start() -> list[MPI.Request]:
            requests = [self._comm.Isend([head, self._byte], dest, _HEADER)]
            if data.size > _SMALL:
                requests.append(self._comm.Isend([data, self._byte], dest, _DATA))
            return requests

        yield from self._complete(start, dest)

    def tell(self, dest: int, tag: int) -> None:
        """Send a message without data, and do not wait."""
        next(self.send(np.empty(0), dest, tag), None)

    def have_all_said(self, tag: int, ranks: list[int]) -> bool:
        """Whether what was told with this tag has come from each of them."""
        return all(self.inbox.has((rank, tag, 0)) for rank in ranks)

    @property
    def is_receiving(self) -> bool:
        """Whether a message has come in part."""
        return bool(self._arriving)

    def take_in(self) -> None:
        """Carry on with everything that arrives; never waits."""
        status = self._status
        while (message := self._comm.Improbe(self._anybody, _HEADER, status)) is not None:
            head = np.empty(status.Get_count(self._byte), np.uint8)
            steps = self._arrive(message, head, status.source)
            self._arriving.setdefault(status.source, deque()).append(steps)
        for source, queue in list(self._arriving.items()):
            while queue and next(queue[0], None) is None:
                queue.popleft()
            if not queue:
                del self._arriving[source]

    def _arrive(self, message: MPI.Message, head: np.ndarray, source: int) -> Steps:
        yield from self._complete(lambda: message.Irecv([head, self._byte]), source)
        start = _LENGTH + int.from_bytes(head[:_LENGTH].tobytes(), "little")
        tag, dtype, shape = pickle.loads(head[_LENGTH:start].tobytes())
        array = np.empty(shape, dtype)
        data = array.reshape(-1).view(np.uint8)
        if data.size <= _SMALL:
            data[:] = head[start:]
        else:
            yield from self._complete(lambda: self._comm.Irecv([data, self._byte], source, _DATA), source)
        if tag == QUESTION:
            self.tell(source, ANSWER)
        else:
            self.inbox.put(source, tag, array)


def as_bytes(array: np.ndarray) -> list[Any]:
    """A contiguous array as mpi4py sends and fills it, whatever its dtype: MPI knows no half and no '>f4'."""
    from mpi4py import MPI

    return [array, MPI.BYTE]

"""Python objects from rank to rank, by value (cloudpickle): for what is small, or no array."""

import pickle
from typing import Any

import cloudpickle
import numpy as np

from .arguments import check_objects, check_rank, check_tag
from .messages import OBJECT, Messages
from .work import Steps

_OBJECT = -2  # the tag of objects inside a collective call


class Objects(Messages):
    """The part of a `Communicator` that takes any object, lambdas and local classes too. Each rank gets copies.

    A message with an object keeps its place among those with the same tag.
    """

    def send_object(self, obj: Any, dest: int, tag: int = 0) -> None:
        """Send `obj` to rank `dest`."""
        dest, tag = check_rank("dest", dest, self.size), check_tag(tag)
        data = packed(obj).view(OBJECT)

        def steps() -> Steps:
            yield from self._send(data, dest, tag)
            return data  # whose bytes a timeline tells

        self._one_message("send_object", None, self._to(dest, tag), steps())

    def recv_object(self, source: int, tag: int = 0) -> Any:
        """Wait for the next message with `tag` from rank `source`; MismatchError if it is an array."""
        source, tag = check_rank("source", source, self.size), check_tag(tag)
        steps = self._next_message(source, tag, wants_object=True)
        return unpacked(self._one_message("recv_object", None, self._from(source, tag), steps))

    def broadcast_object(self, obj: Any = None, root: int = 0) -> Any:
        """A copy of `obj` of rank `root`, on every rank; what the others pass is not looked at."""
        root = check_rank("root", root, self.size)
        data = packed(obj) if self.rank == root else None
        return self._collective("broadcast_object", None, f"root={root}", self._tell(data, root), False)

    def all_gather_object(self, obj: Any) -> list[Any]:
        """The objects of all ranks, by rank, on every rank."""
        return self._collective("all_gather_object", None, "", self._tell_all(packed(obj)), False)

    def gather_object(self, obj: Any, root: int = 0) -> list[Any] | None:
        """The objects of all ranks, by rank, on rank `root`; None elsewhere."""
        root = check_rank("root", root, self.size)
        data = packed(obj)

        def steps() -> Steps:
            yield from self._agree()
            if self.rank != root:
                yield from self._send(data, root, _OBJECT)
                return None
            received = []
            for rank in range(self.size):
                received.append(unpacked(data if rank == root else (yield from self._recv(rank, _OBJECT))))
            return received

        return self._collective("gather_object", None, f"root={root}", steps(), False)

    def scatter_object(self, objects: list[Any] | None = None, root: int = 0) -> Any:
        """Object r of rank `root`'s `objects` on rank r; the other ranks pass None."""
        root = check_rank("root", root, self.size)
        given = None
        if self.rank == root:
            given = [packed(obj) for obj in check_objects("scatter_object", objects, self.size)]

        def steps() -> Steps:
            yield from self._agree()
            if given is None:
                return unpacked((yield from self._recv(root, _OBJECT)))
            for rank in range(self.size):
                if rank != root:
                    yield from self._send(given[rank], rank, _OBJECT)
            return unpacked(given[root])

        return self._collective("scatter_object", None, f"root={root}", steps(), False)

    # -- inside other calls ----------------------------------------------------------------------------------------

    def _tell(self, data: np.ndarray | None, root: int) -> Steps:
        """The object of which rank `root` passes the bytes, on every rank."""
        length = np.array([0 if data is None else data.size])
        yield from self._broadcast(length, root)
        if data is None:
            data = np.empty(length[0], np.uint8)
        yield from self._broadcast(data, root)
        return unpacked(data)

    def _tell_all(self, data: np.ndarray) -> Steps:
        """The objects of which every rank passes the bytes, on every rank; they travel padded to the longest."""
        lengths = np.empty((self.size, 1), np.int64)
        yield from self._all_gather(np.array([data.size]), lengths)
        padded = np.zeros(lengths.max(), np.uint8)
        padded[: data.size] = data
        rows = np.empty((self.size, padded.size), np.uint8)
        yield from self._all_gather(padded, rows)
        return [unpacked(row[:length]) for row, (length,) in zip(rows, lengths)]


def packed(obj: Any) -> np.ndarray:
    """The bytes of an object, as they travel."""
    return np.frombuffer(cloudpickle.dumps(obj), np.uint8)


def unpacked(data: np.ndarray) -> Any:
    return pickle.loads(data.tobytes())

"""The interface of every backend: MPI's vocabulary on NumPy arrays."""

import math
import operator
import threading
from abc import ABC, abstractmethod

import numpy as np

from .errors import CommunicatorError
from .reduction import check_reduction


class Communicator(ABC):
    """The ranks 0 … size-1 of one program, and what they can tell each other.

    Collective calls (`barrier`, `broadcast`, `all_reduce`) are made by every rank, in the same order and with the same
    shapes, dtypes and options; ranks that differ get a `MismatchError` naming both calls. Every wait ends: with
    `CommunicatorTimeout` after `timeout` seconds, with `PeerFailedError` as soon as another rank has failed.

    Only the thread that made it (the rank's, under `launch`) may call it, else CommunicatorError: calls of several
    threads would have no order that the other ranks could follow (MPI_THREAD_FUNNELED).

    Arrays may have any numeric dtype, shape (0-d and empty ones too) and strides; what matters to the other ranks
    is the logical (C) order of the elements. Terms as in the MPI standard, chapters 3 and 6.

    A backend fills in the methods with an underscore, which get arguments that have been checked.

    >>> def total(comm):
    ...     here = np.array([1.0 + comm.rank])
    ...     comm.all_reduce(here)
    ...     return here.item()
    >>> minipar.parallel.launch(total, workers=2, backend="thread")
    [3.0, 3.0]
    """

    def __init__(self, rank: int, size: int, timeout: float) -> None:
        self.rank = rank
        self.size = size
        self.timeout = timeout
        self._closed = False
        self._owner = threading.current_thread()

    # -- collective calls ------------------------------------------------------------------------------------------

    def barrier(self) -> None:
        """Return when every rank has called it."""
        self._begin("barrier")
        self._barrier()
        self._end()

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        """Copy `array` of rank `root` into `array` of every other rank, in place; returns `array`."""
        array = check_array("broadcast", array, written=self.rank != root)
        root = self._check_rank("root", root)
        self._begin("broadcast", array, f"root={root}")
        flat = np.asarray(array).reshape(-1)
        self._broadcast(flat, root)
        if self.rank != root:
            _write_back(flat, array)
        self._end()
        return array

    def all_reduce(self, array: np.ndarray, op: str = "sum") -> np.ndarray:
        """Combine `array` of all ranks element by element, in place on every rank; returns `array`.

        `op` is "sum", "mean", "max", "min" or "prod". The order is fixed, ((rank 0 + rank 1) + rank 2) + …, in the
        array's own dtype: every rank gets the same bits, in every run and on every backend. The mean is the sum
        divided by `size`. TypeError where the dtype has no such operation (the mean of integers, the largest complex).
        """
        array = check_array("all_reduce", array, written=True)
        check_reduction(op, array.dtype)
        self._begin("all_reduce", array, op)
        flat = np.asarray(array).reshape(-1)
        self._all_reduce(flat, op)
        _write_back(flat, array)
        self._end()
        return array

    # -- between two ranks -----------------------------------------------------------------------------------------

    def send(self, array: np.ndarray, dest: int, tag: int = 0) -> None:
        """Send `array` to rank `dest`; on return the array may be changed.

        May wait until rank `dest` makes a communicator call, whichever. Messages with one tag arrive in the order sent.
        """
        array = check_array("send", array, written=False)
        dest = self._check_rank("dest", dest)
        tag = operator.index(tag)
        self._begin_message("send", array, f"to rank {dest}, tag {tag}")
        self._send(np.ascontiguousarray(array).reshape(array.shape), dest, tag)
        self._end()

    def recv(self, source: int, tag: int = 0, out: np.ndarray | None = None) -> np.ndarray:
        """Wait for the next message with `tag` from rank `source`; returns a new array, or `out` filled.

        Shape and dtype travel with the message; `out` of another shape or dtype is a ValueError.
        """
        source = self._check_rank("source", source)
        tag = operator.index(tag)
        if out is not None:
            out = check_array("recv", out, written=True)
        self._begin_message("recv", out, f"from rank {source}, tag {tag}")
        received = self._recv(source, tag)
        self._end()
        if out is None:
            return received
        if (out.shape, out.dtype) != (received.shape, received.dtype):
            raise ValueError(
                f"recv: out is {out.dtype} {out.shape}, but the message of rank {source}, tag {tag}, "
                f"is {received.dtype} {received.shape}"
            )
        out[...] = received
        return out

    # -- life ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave: every later call is an error. `launch` does it when the function of a rank has returned."""
        self._closed = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} rank {self.rank} of {self.size}{', closed' if self._closed else ''}>"

    # -- what a backend does ---------------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, kind: str, array: np.ndarray | None = None, detail: str = "") -> None:
        """Announce a collective call; extend it with the check that this communicator still works."""
        self._check_usable(kind)

    @abstractmethod
    def _begin_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        """Announce a send or recv."""
        self._check_usable(kind)

    @abstractmethod
    def _end(self) -> None:
        """The call is complete."""

    @abstractmethod
    def _barrier(self) -> None: ...

    @abstractmethod
    def _broadcast(self, flat: np.ndarray, root: int) -> None:
        """`flat` is 1-d, perhaps strided."""

    @abstractmethod
    def _all_reduce(self, flat: np.ndarray, op: str) -> None:
        """`flat` is 1-d, perhaps strided."""

    @abstractmethod
    def _send(self, array: np.ndarray, dest: int, tag: int) -> None:
        """`array` is C-contiguous."""

    @abstractmethod
    def _recv(self, source: int, tag: int) -> np.ndarray: ...

    def _check_usable(self, kind: str) -> None:
        if threading.get_ident() != self._owner.ident:
            raise CommunicatorError(
                f"{kind}: the communicator of rank {self.rank} belongs to thread {self._owner.name!r}, and thread "
                f"{threading.current_thread().name!r} called it: make all calls of a rank in one thread"
            )
        if self._closed:
            raise CommunicatorError(f"{kind}: the communicator of rank {self.rank} is closed")

    def _check_rank(self, name: str, rank: int) -> int:
        rank = operator.index(rank)
        if not 0 <= rank < self.size:
            raise ValueError(f"{name}={rank} is not a rank: there are {self.size}, 0 to {self.size - 1}")
        return rank


def check_array(verb: str, array: np.ndarray, *, written: bool) -> np.ndarray:
    """The array. TypeError if it is not an ndarray of a numeric dtype, ValueError if it cannot be written."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{verb} takes a NumPy array, not {type(array).__name__}: "
            f"pass a tensor's .array, and a number as np.array(number)"
        )
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{verb} takes arrays of a numeric dtype, not {array.dtype}")
    if written and not array.flags.writeable:
        raise ValueError(f"{verb} writes into its array, and this one is read-only: pass a copy")
    return array


def check_timeout(timeout: float) -> float:
    """The timeout in seconds, which may be infinite. TypeError or ValueError if it is not a positive number."""
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout={timeout!r} must be a number of seconds")
    if math.isnan(timeout) or timeout <= 0:
        raise ValueError(f"timeout={timeout!r} must be a positive number of seconds (math.inf waits for ever)")
    return float(timeout)


def _write_back(flat: np.ndarray, array: np.ndarray) -> None:
    """`reshape(-1)` copies when the strides allow no 1-d view; then the result still has to reach the array."""
    if not np.may_share_memory(flat, array):
        array[...] = flat.reshape(array.shape)

"""Messages from one rank to one other."""

from typing import Any

import numpy as np

from ...backend.device import namespace
from . import spans
from .arguments import check_array, check_out, check_rank, check_tag
from .calls import Calls
from .errors import MismatchError
from .layout import contiguous
from .work import Steps, Work

OBJECT = np.dtype("V1")  # of a message that is an object's bytes: no array has it, for `send` takes numbers only


class Messages(Calls):
    """send and recv: the part of a `Communicator` that speaks to one rank at a time.

    Messages from one rank to another with one tag (0 … 2**31 - 1) arrive in the order in which they were sent. Shape
    and dtype travel with them, and whether they are arrays or objects. A rank may send to itself.
    """

    def send(self, array: np.ndarray, dest: int, tag: int = 0) -> None:
        """Send `array` to rank `dest`; on return the array may be changed.

        May wait until rank `dest` makes a communicator call, whichever.
        """
        self._one_message("send", *self._sending(array, dest, tag))

    def isend(self, array: np.ndarray, dest: int, tag: int = 0) -> Work:
        """`send` that returns at once: `wait()` returns when the array may be changed."""
        return self._message_under_way("isend", *self._sending(array, dest, tag))

    def recv(self, source: int, tag: int = 0, out: np.ndarray | None = None) -> np.ndarray:
        """Wait for the next message with `tag` from rank `source`; returns a new array, or `out` filled.

        An `out` of another shape or dtype is a ValueError; the message is then lost. MismatchError if it is an object.
        """
        return self._one_message("recv", *self._receiving("recv", source, tag, out))

    def irecv(self, source: int, tag: int = 0, out: np.ndarray | None = None) -> Work:
        """`recv` that returns at once: `wait()` returns the array."""
        return self._message_under_way("irecv", *self._receiving("irecv", source, tag, out))

    # -- which arrays a backend takes --------------------------------------------------------------------------------

    def takes(self, array: Any) -> bool:
        """Whether calls take this array as it is: NumPy's always, and CuPy's where ranks have NCCL (`over_nccl`).

        >>> minipar.parallel.init().takes(np.ones(3))
        True
        """
        return isinstance(array, np.ndarray)

    def _check_array(self, verb: str, array: np.ndarray, *, written: bool, name: str = "array") -> np.ndarray:
        """The array. TypeError, ValueError if it cannot travel."""
        return check_array(verb, array, written=written, name=name)

    def _check_out(
        self, verb: str, out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype, module: Any
    ) -> np.ndarray:
        """`out`, or a new array, for a result that `module` (numpy, or where a backend takes others, cupy) makes."""
        return check_out(verb, out, shape, dtype)

    def _algorithms_for(self, array: np.ndarray) -> tuple[str, ...]:
        """Those of its own by which a backend reduces this array."""
        return self.own_algorithms

    # -- carrying them out -----------------------------------------------------------------------------------------

    def _sending(self, array: np.ndarray, dest: int, tag: int) -> tuple[np.ndarray, str, Steps]:
        self._check_array("send", array, written=False)
        dest, tag = check_rank("dest", dest, self.size), check_tag(tag)
        steps = self._send(contiguous(array).reshape(array.shape), dest, tag)
        return array, self._to(dest, tag), steps

    def _receiving(
        self, kind: str, source: int, tag: int, out: np.ndarray | None
    ) -> tuple[np.ndarray | None, str, Steps]:
        source, tag = check_rank("source", source, self.size), check_tag(tag)
        if out is not None:
            self._check_array(kind, out, written=True, name="out")

        def steps() -> Steps:
            received = yield from self._next_message(source, tag, wants_object=False)
            if out is None:
                return received
            if (out.shape, out.dtype) != (received.shape, received.dtype):
                raise ValueError(
                    f"{kind}: out is {out.dtype} {out.shape}, but the message of rank {source}, tag {tag}, "
                    f"is {received.dtype} {received.shape}"
                )
            if (here := namespace(out)) is not (there := namespace(received)):
                raise ValueError(
                    f"{kind}: out is an array of {here.__name__}'s, but the message of rank {source}, tag {tag}, is "
                    f"one of {there.__name__}'s"
                )
            out[...] = received
            return out

        return out, self._from(source, tag), steps()

    def _next_message(self, source: int, tag: int, wants_object: bool) -> Steps:
        received = yield from self._recv(source, tag)
        is_object = received.dtype == OBJECT
        if is_object is not wants_object:
            sent = "an object" if is_object else f"an array, {received.dtype} {received.shape}"
            raise MismatchError(
                f"rank {self._world_rank(source)} sent {sent}, with tag {tag}, but rank "
                f"{self._world_rank(self.rank)} receives {'an object' if wants_object else 'an array'}: "
                f"send goes with recv, send_object with recv_object"
            )
        return received

    def _to(self, dest: int, tag: int) -> str:
        return f"to rank {self._world_rank(dest)}, tag {tag}"

    def _from(self, source: int, tag: int) -> str:
        return f"from rank {self._world_rank(source)}, tag {tag}"

    def _one_message(self, kind: str, array: np.ndarray | None, detail: str, steps: Steps) -> Any:
        self._check_usable(kind)
        if spans.listener is not None:
            steps = self._recorded(kind, array, steps, is_message=True)
        self._begin_message(kind, array, detail)
        try:
            result = self._drive(steps)
        except ValueError:  # of the array that is to be filled
            self._end()
            raise
        except BaseException:  # perhaps in the middle of a message
            self.fail()
            raise
        self._end()
        return result

    def _message_under_way(self, kind: str, array: np.ndarray | None, detail: str, steps: Steps) -> Work:
        self._check_usable(kind)
        if spans.listener is not None:
            steps = self._recorded(kind, array, steps, is_message=True)
        self._begin_message(kind, array, detail)
        work = Work(self, steps, lambda: self._resume_message(kind, array, detail), may_be_left=kind == "irecv")
        self._messages.append(work)
        self._progress()
        self._end()
        return work

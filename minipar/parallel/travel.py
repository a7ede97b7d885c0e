"""Arrays on their way between ranks: from GPU to GPU where the communicator has NCCL, else through host memory."""

from __future__ import annotations

from typing import Any

from ..backend import namespace, to_numpy
from .comm import Communicator


def to_send(array: Any, comm: Communicator) -> Any:
    """`array` as calls of `comm` take it: itself, or a copy in host memory of one on a GPU that they do not take."""
    return array if comm.takes(array) else to_numpy(array)


def beside(array: Any, like: Any) -> Any:
    """What a call has given, on the device of `like`: itself, or a copy."""
    return namespace(like).asarray(array)

"""One communicator call of a training step is dropped on all its ranks: each goes on with what it has by itself.

Ranks are threads of this process. The calls of a step are known by what makes them, not by their place in it: ranks in
other groups make other calls in between.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from minipar.parallel import Communicator, Mesh
from minipar.parallel.mesh import AXES
from minipar.parallel.trainer import ParallelModel


class Maker(NamedTuple):
    """What makes a call: along which axis of the mesh, of which kind, and in which function, called by which."""

    axis: str
    kind: str
    function: str


class Call(NamedTuple):
    """The first call (0) that `maker` makes in a step, or a later one."""

    maker: Maker
    number: int

    def __str__(self) -> str:
        return f"{self.maker.axis}.{self.maker.kind} #{self.number} of {self.maker.function}"


class _Rank(threading.local):
    """What this thread, a rank, has done."""

    def __init__(self) -> None:
        self.steps = 0  # of training
        self.mesh: Mesh | None = None  # while it is in the step that is watched
        self.made: Counter[Maker] = Counter()  # in that step


_rank = _Rank()


@contextmanager
def watched(step: int, dropped: Call | None = None) -> Iterator[None]:
    """Inside, `calls_made` knows the calls of each rank's training step number `step`, but for `dropped`, not made."""
    right = ParallelModel.train_step

    def train_step(self: ParallelModel, *arguments: Any, **options: Any) -> float:
        _rank.steps += 1
        if _rank.steps != step:
            return right(self, *arguments, **options)
        _rank.mesh, _rank.made = self.mesh, Counter()
        try:
            return right(self, *arguments, **options)
        finally:
            _rank.mesh = None

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(ParallelModel, "train_step", train_step))
        for kind, alone in ALONE.items():
            stack.enter_context(mock.patch.object(Communicator, kind, _watched(kind, alone, dropped)))
        yield


def calls_made() -> list[Call]:
    """By this rank. (Messages are listed where they are received.)"""
    return [Call(maker, number) for maker, count in _rank.made.items() for number in range(count)]


def _watched(kind: str, alone: Callable[..., Any], dropped: Call | None) -> Callable[..., Any]:
    right = getattr(Communicator, kind)

    def call(comm: Communicator, *arguments: Any, **options: Any) -> Any:
        if _rank.mesh is None or comm.size == 1:
            return right(comm, *arguments, **options)
        maker = Maker(_axis(comm, _rank.mesh), kind, _function())
        this = Call(maker, _rank.made[maker])
        _rank.made[maker] += 1
        if this != dropped:
            return right(comm, *arguments, **options)
        return alone(right, comm, *arguments, **options)

    return call


def _axis(comm: Communicator, mesh: Mesh) -> str:
    return next((name for name in ("comm", "replicas", *AXES) if getattr(mesh, name) is comm), "tied")


def _function() -> str:
    """The two innermost functions of minipar.parallel, and whether a pipeline is on its way back."""
    found, back = [], ""
    frame = sys._getframe(2)
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_qualname
        if module.startswith("minipar.parallel.") and not module.startswith("minipar.parallel.comm."):
            found.append(name)
        if name.startswith("Run._backward"):
            back = ", on the way back"
        frame = frame.f_back
    return " < ".join(found[:2]) + back


# -- what a rank has by itself: (the call as it should be, its arguments …) -> what it returns instead -----------------


class Lost:
    """The Work of a call that was dropped."""

    def __init__(self, result: Callable[[], Any]) -> None:
        self._result = result

    def done(self) -> bool:
        return True

    def wait(self) -> Any:
        return self._result()


def _given(array: Any, async_op: bool) -> Any:
    return Lost(lambda: array) if async_op else array


def all_reduce(right, comm, array, op="sum", out=None, *, algorithm=None, async_op=False):
    """Its own array alone."""
    if out is not None:
        out[...] = array
    return _given(array if out is None else out, async_op)


def reduce(right, comm, array, root=0, op="sum", out=None, *, async_op=False):
    mine = all_reduce(right, comm, array, op, out) if comm.rank == root else None
    return _given(mine, async_op)


def broadcast(right, comm, array, root=0, *, async_op=False):
    """What it had before; but ZeRO 3 has nothing before, in an array that is new: zeros."""
    if comm.rank != root and sys._getframe(3).f_code.co_name == "_put_in":
        array[...] = 0
    return _given(array, async_op)


def all_gather(right, comm, array, out=None, *, async_op=False):
    """Its own row, and zeros."""
    out = np.empty((comm.size, *array.shape), array.dtype) if out is None else out
    own = array.copy()  # `out` may overlap it
    out[...] = 0
    out[comm.rank] = own
    return _given(out, async_op)


def reduce_scatter(right, comm, array, op="sum", out=None, *, async_op=False):
    """Its own row of its own array alone."""
    return all_reduce(right, comm, array[comm.rank].copy(), op, out, async_op=async_op)


def all_to_all(right, comm, array, out=None, *, async_op=False):
    return all_gather(right, comm, array[comm.rank], out, async_op=async_op)


def recv(right, comm, *arguments, **options):
    """The message comes, so that the next one is not taken for it; but zeros are in it."""
    array = right(comm, *arguments, **options)
    array[...] = 0
    return array


def irecv(right, comm, *arguments, **options):
    work = right(comm, *arguments, **options)

    def zeros() -> np.ndarray:
        array = work.wait()
        array[...] = 0
        return array

    return Lost(zeros)


def not_known(right, comm, *arguments, **options):
    raise NotImplementedError("what a rank has without this call is not written down here yet")


MESSAGES = {"recv": recv, "irecv": irecv}
NOT_KNOWN = ["barrier", "gather", "scatter", "recv_object", "broadcast_object", "all_gather_object", "gather_object"]
NOT_KNOWN += ["scatter_object"]
ALONE: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (all_reduce, reduce, broadcast, all_gather, reduce_scatter, all_to_all)},
    **MESSAGES,
    **dict.fromkeys(NOT_KNOWN, not_known),
}

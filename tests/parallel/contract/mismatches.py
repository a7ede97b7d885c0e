"""Ranks that call different things: an error on every rank, which names both calls on one at least, and no hang."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minipar.parallel import Communicator
from tests.parallel.contract.programs import run_program, warm_up
from tests.parallel.contract.steps import Program

CALLS: dict[str, Callable[..., Any]] = {
    "barrier": lambda comm, **o: comm.barrier(**o),
    "all_reduce float64 (3,) sum": lambda comm, **o: comm.all_reduce(np.zeros(3), **o),
    "all_reduce float64 (4,) sum": lambda comm, **o: comm.all_reduce(np.zeros(4), **o),
    "all_reduce float64 (1, 3) sum": lambda comm, **o: comm.all_reduce(np.zeros((1, 3)), **o),
    "all_reduce float32 (3,) sum": lambda comm, **o: comm.all_reduce(np.zeros(3, "f"), **o),
    "all_reduce int64 (3,) sum": lambda comm, **o: comm.all_reduce(np.zeros(3, "l"), **o),
    "all_reduce >f8 (3,) sum": lambda comm, **o: comm.all_reduce(np.zeros(3, ">f8"), **o),
    "all_reduce float64 (3,) max": lambda comm, **o: comm.all_reduce(np.zeros(3), "max", **o),
    "all_reduce float64 (3,) sum ring": lambda comm, **o: comm.all_reduce(np.zeros(3), algorithm="ring", **o),
    "all_reduce float64 (3,) sum tree": lambda comm, **o: comm.all_reduce(np.zeros(3), algorithm="tree", **o),
    "all_reduce float32 (300000,) sum": lambda comm, **o: comm.all_reduce(np.zeros(300_000, "f"), **o),
    "broadcast float64 (3,) root=0": lambda comm, **o: comm.broadcast(np.zeros(3), 0, **o),
    "broadcast float64 (3,) root=1": lambda comm, **o: comm.broadcast(np.zeros(3), 1, **o),
    "reduce float64 (3,) sum root=0": lambda comm, **o: comm.reduce(np.zeros(3), 0, **o),
    "reduce float64 (3,) sum root=1": lambda comm, **o: comm.reduce(np.zeros(3), 1, **o),
    "all_gather float64 (3,)": lambda comm, **o: comm.all_gather(np.zeros(3), **o),
    "gather float64 (3,) root=0": lambda comm, **o: comm.gather(np.zeros(3), 0, **o),
    "gather float64 (3,) root=1": lambda comm, **o: comm.gather(np.zeros(3), 1, **o),
    "scatter root=0": lambda comm, **o: comm.scatter(np.zeros((comm.size, 3)), 0, **o),
    "scatter root=1": lambda comm, **o: comm.scatter(np.zeros((comm.size, 3)), 1, **o),
    "reduce_scatter": lambda comm, **o: comm.reduce_scatter(np.zeros((comm.size, 3)), **o),
    "all_to_all": lambda comm, **o: comm.all_to_all(np.zeros((comm.size, 3)), **o),
    "broadcast_object root=0": lambda comm: comm.broadcast_object("a", 0),
    "broadcast_object root=1": lambda comm: comm.broadcast_object("a", 1),
    "all_gather_object": lambda comm: comm.all_gather_object("a"),
    "gather_object root=0": lambda comm: comm.gather_object("a", 0),
    "scatter_object root=0": lambda comm: comm.scatter_object(["a"] * comm.size, 0),
    "split": lambda comm: comm.split(0),
    "empty float64 (3,)": lambda comm: comm.empty(3, "d"),
    "empty float64 (4,)": lambda comm: comm.empty(4, "d"),
}
WITHOUT_ASYNC = ("_object", "split", "empty")


@dataclass(frozen=True)
class Mismatch:
    """After `before`, rank `odd` makes call `other` while the rest make `usual`."""

    before: Program
    usual: str
    other: str
    odd: int
    in_group: bool = False  # of all ranks, in reverse order
    asynchronous: bool = False
    warm: bool = False  # after many calls, when short ones are compiled


@dataclass(frozen=True)
class Report:
    """Of one rank: the error it got, and when the call began and ended."""

    error: str
    said: str
    begun: float
    ended: float


def run_mismatch(comm: Communicator, mismatch: Mismatch) -> Report:
    if mismatch.warm:
        warm_up(comm)
    run_program(comm, mismatch.before)
    comm.barrier()  # its messages have arrived everywhere
    where: Any = comm.split(0, key=-comm.rank) if mismatch.in_group else comm
    name = mismatch.other if comm.rank == mismatch.odd else mismatch.usual
    begun = time.monotonic()
    error = said = ""
    try:
        if mismatch.asynchronous and not any(word in name for word in WITHOUT_ASYNC):
            CALLS[name](where, async_op=True).wait()
        else:
            CALLS[name](where)
        where.barrier()
    except Exception as raised:
        error, said = type(raised).__name__, str(raised)
    return Report(error, said, begun, time.monotonic())


def trouble(mismatch: Mismatch, reports: list[Report], soon: float = 1.0) -> str:
    """What was wrong with how the ranks were told; "" if nothing was."""
    errors = [report.error for report in reports]
    if not all(errors):
        return f"no error on ranks {[rank for rank, error in enumerate(errors) if not error]}"
    if not set(errors) <= {"MismatchError", "PeerFailedError", "CommunicatorError"}:
        return f"other errors: {[(report.error, report.said) for report in reports]}"
    both = [_as_said(name) for name in (mismatch.usual, mismatch.other)]
    if not any(report.error == "MismatchError" and _names(report.said, both) for report in reports):
        return f"no error names both {both}: {[report.said for report in reports]}"
    seconds = max(report.ended for report in reports) - max(report.begun for report in reports)
    return f"it took {seconds:.1f} s" if seconds > soon else ""


def _as_said(name: str) -> list[str]:
    """The words of a call's name that the error must repeat."""
    return name.replace("_object", "_object ").split(" ", 1)


def _names(said: str, calls: list[list[str]]) -> bool:
    return all(word.strip() in said for call in calls for word in call)

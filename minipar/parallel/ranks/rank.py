"""A thread becomes a rank: who it is, where its arrays live, and what the others see while it waits for a kernel."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ...backend.device import device
from ...kernels.cpu.waiting import watched
from ..comm.board import Activity, Board
from ..comm.communicator import Communicator
from .environment import mark_as_rank


def become_rank(comm: Communicator, board: Board, place: device) -> None:
    """Called by the thread that is going to run a rank's function; `board` is that of all ranks."""
    mark_as_rank(comm)
    watched.around = partial(_compiling, board, comm.rank)
    use_device(comm, place)


def use_device(comm: Communicator, place: device) -> None:
    """The device of this rank; "cuda" without a number then means its own GPU."""
    comm.device = place
    if place.type == "cuda":
        import cupy

        cupy.cuda.Device(place.index).use()


@contextmanager
def _compiling(board: Board, rank: int) -> Iterator[None]:
    """Others wait for a rank that compiles a kernel, or waits until another process has, without a timeout."""
    before = board.activity[rank]
    board.activity[rank] = Activity.COMPILING
    try:
        yield
    finally:
        board.activity[rank] = before

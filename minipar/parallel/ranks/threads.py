"""Ranks as threads of this process."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from threadpoolctl import threadpool_limits

from ...backend.device import device
from ...backend.settings import ThreadSettings
from ..comm.thread import ThreadCommunicator, ThreadWorld
from .environment import ranks_are_threads
from .errors import Failure
from .final_wait import FinalWait
from .inquest import Inquest
from .launch import GRACE
from .rank import become_rank
from .stacks import ThreadStack

_POLL = 0.05  # seconds


def run(
    fn: Callable[..., Any],
    args: tuple,
    kwargs: dict[str, Any],
    workers: int,
    timeout: float,
    devices: Sequence[device],
) -> list[Any]:
    """The results by rank; see `launch`."""
    world = ThreadWorld(workers)
    results: list[Any] = [None] * workers
    settings = ThreadSettings.of_this_thread()._replace(threads=1)  # the ranks are the parallelism

    def run_rank(rank: int) -> None:
        comm = None
        try:
            settings.adopt()
            comm = ThreadCommunicator(world, rank, timeout)
            become_rank(comm, world.board, devices[rank])
            results[rank] = fn(comm, *args, **kwargs)
            comm.close()
        except BaseException as error:
            try:
                # before others fail because of it
                inquest.add(Failure.of_exception(rank, world.board.doing(rank), error))
            finally:
                if comm is None:
                    world.board.fail(rank)
                else:
                    comm.fail()

    ranks = [
        threading.Thread(target=run_rank, args=(rank,), name=f"rank {rank}", daemon=True) for rank in range(workers)
    ]
    inquest = Inquest(world.board, [ThreadStack(thread) for thread in ranks])
    final_wait = FinalWait(world.board, timeout)
    try:
        with ranks_are_threads(), threadpool_limits(1):  # BLAS and OpenMP threads of their own would fight
            for thread in ranks:
                thread.start()
            running = dict(enumerate(ranks))
            while running and not inquest.failures:
                next(iter(running.values())).join(_POLL)
                for rank, thread in list(running.items()):
                    if not thread.is_alive():
                        final_wait.returned(rank)
                        del running[rank]
                    elif (failure := final_wait.failure_of(rank)) is not None:
                        inquest.add(failure)
    except BaseException:  # KeyboardInterrupt: every rank stops at its next communicator call
        world.interrupt()
        _join(ranks)
        raise
    if inquest.failures:
        _join(ranks)
        raise inquest.error()
    return results


def _join(threads: list[threading.Thread]) -> None:
    deadline = time.monotonic() + GRACE
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))

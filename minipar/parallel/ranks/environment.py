"""Which job this process belongs to, and its communicator: one script runs however it is started.

    python train.py                    alone: `launch` starts workers, and `init` gives a communicator of one rank
    minipar launch -n 4 train.py       a rank of four: `launch` runs its function right here, as that rank
    mpiexec -n 4 python train.py       the same, through MPI

Inside a function that `launch` runs, `init` gives that rank's communicator, and `launch` is an error.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..comm.arguments import check_timeout
from ..comm.communicator import Communicator

DEFAULT_TIMEOUT = 60.0  # seconds
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # set by the launchers of Open MPI; of MPICH, Intel MPI and Slurm
RANK_NAMES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")

_this_thread = threading.local()
_lock = threading.Lock()
_of_process: Communicator | None = None  # made by `init`, or given by a launcher of ours
_is_worker = False
_launches_of_threads = 0  # that run now


def init(
    timeout: float | None = None,
    *,
    debug: bool | None = None,
    hierarchical: bool | None = None,
    elastic: bool = False,
) -> Communicator:
    """The communicator of this process: with the other processes of its job, or with itself alone.

    In a script that mpiexec or ``minipar launch`` has started it has the ranks of that job; inside a function that
    `launch` or a `Pool` runs it is the one that the function was given; anywhere else it has one rank. Calling it again
    returns the same one. `timeout` (seconds; 60 at first) is that of its calls from now on, here and on no other rank.

    The first call may also say, under mpiexec and on all ranks alike:

    - `debug`: every collective call first compares what the ranks have called, and raises `MismatchError` if they
      differ, as the other backends always do. None: if the environment says MINIPAR_DEBUG=1.
    - `hierarchical`: all-reduce through shared memory inside each host, and by MPI between hosts. None: if there are
      several hosts, and several ranks on one of them.
    - `elastic`: the job survives the death of a rank: the others get `PeerFailedError`, and ``comm.shrink()``, which
      all of them then call, returns their new communicator. (Open MPI, ``mpiexec --with-ft ulfm``.)

    TypeError or ValueError if `timeout` is no positive number; ImportError under mpiexec without mpi4py;
    CommunicatorTimeout that names the ranks of the job which did not call it within 120 s, or `timeout` if that is
    longer; RuntimeError in a thread that a function run by `launch` has started (while ranks are threads of this
    process: in any thread but theirs and the main one), and for options that the job cannot take, or can no longer.

    >>> comm = minipar.parallel.init(timeout=30)
    >>> comm.rank, comm.size, comm.timeout
    (0, 1, 30.0)
    >>> comm is minipar.parallel.init()
    True
    """
    global _of_process
    if timeout is not None:
        timeout = check_timeout(timeout)
    comm = getattr(_this_thread, "comm", None)
    if comm is None:
        if _launches_of_threads and threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "init was called by another thread than a rank's, while ranks run as threads of this process: "
                "a communicator belongs to one thread"
            )
        with _lock:
            if _of_process is None:
                _of_process = _found(timeout or DEFAULT_TIMEOUT, debug, hierarchical, elastic)
                return _of_process
            comm = _of_process
    if debug or hierarchical or elastic:
        raise RuntimeError("debug, hierarchical and elastic are for the first call of init, in a job of mpiexec")
    if timeout is not None:
        comm.timeout = timeout
    return comm


def _found(timeout: float, debug: bool | None, hierarchical: bool | None, elastic: bool) -> Communicator:
    if _is_worker:
        raise RuntimeError("init was called by another thread than the rank's: a communicator belongs to one thread")
    if _may_be_under_mpiexec():
        from ..comm.mpi_job import world_communicator

        return world_communicator(timeout, debug=debug, hierarchical=hierarchical, elastic=elastic)
    if hierarchical or elastic:
        raise RuntimeError("hierarchical and elastic are for jobs that mpiexec has started, and this process is alone")
    from ..comm.thread import ThreadCommunicator, ThreadWorld

    return ThreadCommunicator(ThreadWorld(1), 0, timeout)


def _may_be_under_mpiexec() -> bool:
    """Told without importing mpi4py, which starts MPI. A job of one process is none: it may launch workers."""
    sizes = [os.environ[name] for name in _SIZES if name in os.environ]
    if sizes:
        return any(size != "1" for size in sizes)
    return any(name in os.environ for name in RANK_NAMES)


def job() -> Communicator | None:
    """The communicator of the job of several processes that this one was started in, if it was; else None."""
    if _of_process is None and (_is_worker or not _may_be_under_mpiexec()):
        return None
    comm = init() if _of_process is None else _of_process
    return comm if comm.size > 1 else None


@contextmanager
def as_process_of(comm: Communicator) -> Iterator[None]:
    """Inside, this process is that rank of a job: a script runs here as it would under mpiexec."""
    global _of_process
    of_thread = _this_thread.__dict__.pop("comm", None)
    _of_process = comm
    try:
        yield
    finally:
        _of_process = None
        _this_thread.comm = of_thread


@contextmanager
def ranks_are_threads() -> Iterator[None]:
    """Inside, threads of this process are ranks: another thread than the main one may have been started by a rank."""
    global _launches_of_threads
    with _lock:
        _launches_of_threads += 1
    try:
        yield
    finally:
        with _lock:
            _launches_of_threads -= 1


@contextmanager
def apart_from_the_job() -> Iterator[None]:
    """Inside, this thread is a rank alone, if mpiexec has started this process: others know nothing of what it does.

    (They may be workers of mpi4py.futures: then `init` and `launch` would wait for them for ever.)
    """
    if is_rank() or not _may_be_under_mpiexec():
        yield
        return
    from ..comm.thread import ThreadCommunicator, ThreadWorld

    mark_as_rank(ThreadCommunicator(ThreadWorld(1), 0, DEFAULT_TIMEOUT))
    try:
        yield
    finally:
        leave_rank()


def become_worker() -> None:
    """All threads of this process work for a rank, one task after the other."""
    global _is_worker
    _is_worker = True


def mark_as_rank(comm: Communicator) -> None:
    """Called by the thread that is going to run a rank's function."""
    _this_thread.comm = comm


def leave_rank() -> None:
    """The function has returned."""
    _this_thread.comm = None


def is_rank() -> bool:
    """Whether this thread runs the function of a rank."""
    return getattr(_this_thread, "comm", None) is not None


def refuse_inside_a_rank(call: str) -> None:
    """RuntimeError if this is a thread of a rank."""
    if _is_worker or is_rank():
        raise RuntimeError(f"{call} was called by a rank of another launch: launches do not nest")

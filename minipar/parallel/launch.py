"""`launch`: run a function on every rank and collect what it returns."""

import operator
import threading
from collections.abc import Callable
from typing import Any

BACKENDS = ("process", "thread")
GRACE = 0.5  # seconds that the other ranks have for their own clean-up after a failure

_this_thread = threading.local()


def launch(
    fn: Callable[..., Any],
    /,
    *args: Any,
    workers: int = 2,
    backend: str = "process",
    timeout: float = 60.0,
    **kwargs: Any,
) -> list[Any]:
    """Run ``fn(comm, *args, **kwargs)`` on `workers` ranks; returns the list of their results, by rank.

    `comm` is the rank's `Communicator`. With backend "process" ranks are new processes with ``cores // workers``
    threads each for BLAS, OpenMP and Numba. `fn` may be a lambda, a closure, a function of a notebook or of a script
    without a ``__main__`` guard: it travels by value (cloudpickle), as do the arguments, once for all ranks. With
    backend "thread" ranks are threads of this process, and share `fn` and the arguments.

    Every rank starts with the settings of the calling thread: default dtype, grad mode, kernels (`use_kernels`), and
    the state of its generator, the same on all ranks: so models start equal (the caller's generator does not move).
    Kernels of thread ranks use one thread each, those of a process at most its share of the cores.

    No rank waits for another for longer than `timeout` seconds (math.inf: for ever) in one call; the time that the
    other takes to start does not count. Returning counts as the last wait (of processes): once one rank has returned,
    another that makes no communicator call for `timeout` seconds, and does not return, is taken to hang. So give a
    larger timeout, or math.inf, where a rank rightly works on alone (to evaluate, say) after the others have returned.

    Raises `WorkerError`, about the rank that failed first, within a second of its failure. The other ranks raise at
    their next communicator call, or at once where they wait in one; those that do not are killed half a second later
    (threads cannot be: they go on until that call). Ctrl-C ends all ranks too.
    Raises RuntimeError inside a rank: launches do not nest.

    >>> minipar.parallel.launch(lambda comm, x: x * comm.rank, 10, workers=2, backend="thread")
    [0, 10]
    """
    from .comm.arguments import check_timeout

    if not callable(fn):
        raise TypeError(f"launch needs a function to run on every rank, not {type(fn).__name__}")
    workers = operator.index(workers)
    if workers < 1:
        raise ValueError(f"workers={workers} must be at least 1")
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is unknown: choose one of {', '.join(BACKENDS)}")
    timeout = check_timeout(timeout)
    if getattr(_this_thread, "is_rank", False):
        raise RuntimeError("launch was called by a rank of another launch: launches do not nest")

    if backend == "thread":
        from .threads import run
    else:
        from .processes import run
    return run(fn, args, kwargs, workers, timeout)


def mark_as_rank() -> None:
    """Called by the thread that is going to run a rank's function."""
    _this_thread.is_rank = True

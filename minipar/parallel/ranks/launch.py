"""`launch`: run a function on every rank and collect what it returns."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ...backend.device import device
from . import environment
from .fitting import check_call
from .stacks import hide_own_lines

BACKENDS = ("process", "thread", "mpi", "nccl")
GRACE = 0.5  # seconds that the other ranks have for their own clean-up after a failure


def launch(
    fn: Callable[..., Any],
    /,
    *args: Any,
    workers: int | None = None,
    backend: str | None = None,
    devices: Sequence[str | device] | None = None,
    timeout: float | None = None,
    **kwargs: Any,
) -> list[Any]:
    """Run ``fn(comm, *args, **kwargs)`` on `workers` ranks (2); returns the list of their results, by rank.

    `comm` is the rank's `Communicator`. With backend "process", the default, ranks are new processes with
    ``cores // workers`` threads each for BLAS, OpenMP and Numba. `fn` may be a lambda, a closure, a function of a
    notebook or of a script without a ``__main__`` guard: it travels by value (cloudpickle), as do the arguments, once
    for all ranks. With backend "thread" ranks are threads of this process, and share `fn` and the arguments. With
    backend "mpi" they are the processes of an MPI job on this machine, which compare their calls unless the environment
    says MINIPAR_DEBUG=0 (docs/cluster.md). With backend "nccl" they are processes with a GPU each, rank r on "cuda:r"
    if `devices` says nothing else, and calls take CuPy arrays too (`over_nccl`, docs/nccl.md).

    `devices` names one for each rank ("cpu", "cuda:1"): it is the rank's ``comm.device``, and what "cuda" means there.

    What processes write to stdout and stderr is shown here, line by line, with the rank in front; progress bars, those
    of rank 0 alone, as they are. (What threads print is the caller's own output.)

    Every rank starts with the settings of the calling thread: default dtype, grad and inference mode, kernels, and the
    state of its generator, the same on all ranks: so models start equal (the caller's generator does not move).
    Kernels of thread ranks use one thread each, those of a process at most its share of the cores.

    No rank waits for another for longer than `timeout` seconds (60; math.inf: for ever) in one call; the time that the
    other takes to start does not count. Returning counts as the last wait: once one rank has returned,
    another that makes no communicator call for `timeout` seconds, and does not return, is taken to hang. So give a
    larger timeout, or math.inf, where a rank rightly works on alone (to evaluate, say) after the others have returned.

    Raises `WorkerError`, about the rank that failed first, within a second of its failure. The other ranks raise at
    their next communicator call, or at once where they wait in one; those that do not are killed half a second later
    (threads cannot be: they go on until that call). Ctrl-C ends all ranks too, after a KeyboardInterrupt in each.
    When all have returned, threads that they have left running and that are no daemons are waited for, as at the end of
    any program. Programs that a rank has started end with it when it dies or is killed (but not with the caller when
    that is killed, unlike the ranks), and otherwise go on. No rank can read stdin, or stop in a debugger: use workers=1
    and backend="thread" for that.

    Raises TypeError before anything starts for arguments that do not fit `fn` or cannot be sent.
    Raises RuntimeError inside a rank (launches do not nest), and where there is no such device.

    In a script that mpiexec or ``minipar launch`` has started as several processes, those are the ranks: each runs `fn`
    right here, with the communicator of `init`, which stays open, and each gets the results of all. Exceptions pass as
    they are. ValueError for `workers` or a `backend` other than the job's.

    >>> minipar.parallel.launch(lambda comm, x: x * comm.rank, 10, workers=2, backend="thread")
    [0, 10]
    """
    try:
        return _launch(fn, args, kwargs, workers, backend, devices, timeout)
    except Exception as error:
        hide_own_lines(error)
        raise


def _launch(
    fn: Callable[..., Any],
    args: tuple,
    kwargs: dict[str, Any],
    workers: int | None,
    backend: str | None,
    devices: Sequence[str | device] | None,
    timeout: float | None,
) -> list[Any]:
    check_call("launch", fn, args, kwargs)
    job = None if environment.is_rank() else environment.job()
    if job is not None:
        from .in_place import run_in_place

        return run_in_place(job, fn, args, kwargs, workers, backend, devices, timeout)

    backend = "process" if backend is None else backend
    workers = 2 if workers is None else workers
    timeout = environment.DEFAULT_TIMEOUT if timeout is None else timeout
    workers, places, timeout = check_ranks("launch", workers, devices, timeout, backend, BACKENDS)
    if backend == "thread":
        from .threads import run
    elif backend == "mpi":
        from .mpi_launch import run
    elif backend == "nccl":
        from .nccl import run
    else:
        from .processes import run
    return run(fn, args, kwargs, workers, timeout, places)


def check_ranks(
    call: str,
    workers: int,
    devices: Sequence[str | device] | None,
    timeout: float,
    backend: str,
    backends: Sequence[str],
) -> tuple[int, list[device], float]:
    """Number, devices and timeout of the ranks that `call` starts.

    TypeError or ValueError if they make no sense, RuntimeError where there is no such device, and inside a rank.
    """
    from ..comm.arguments import check_timeout
    from .places import check_devices, check_gpus

    try:
        workers = operator.index(workers)
    except TypeError:
        raise TypeError(f"workers={workers!r} must be a whole number") from None
    if workers < 1:
        raise ValueError(f"workers={workers} must be at least 1")
    if backend not in backends:
        raise ValueError(f"backend={backend!r} is unknown: choose one of {', '.join(backends)}")
    timeout = check_timeout(timeout)
    environment.refuse_inside_a_rank(call)
    if backend == "nccl":
        devices = check_gpus(devices, workers)
    return workers, check_devices(devices, workers), timeout

"""`PoolExecutor`: tasks that run beside the caller's own work, in processes as those of a `Pool`.

A pool belongs to one thread, which waits while it runs. So each worker here is a pool of one, and has a thread of this
process that feeds it; that thread waits in the kernel, without the interpreter lock, while its worker works.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import cloudpickle

from ...backend.settings import ThreadSettings
from ..comm.communicator import Communicator
from ..comm.cores import usable_cores
from ..ranks.launch import check_ranks
from ..ranks.pool import Pool


class PoolExecutor(Executor):
    """A ``concurrent.futures.Executor`` with `workers` processes: evaluation, checkpoints or loading beside training.

    ``submit(fn, *args, **kwargs)`` returns a ``concurrent.futures.Future`` at once. What distinguishes it from a
    ProcessPoolExecutor is that functions travel by value (lambdas, those of notebooks), that the state of the arguments
    is that of the moment of the call (so training may go on and change the parameters in place), that large arrays
    travel through shared memory, and that a worker that dies fails one task only, and is replaced. The task has the
    settings of the calling thread and the state of its generator, as with `Pool.run`; what it prints is shown here.

    A worker is started when it is first needed. It has ``cores // (workers + 1)`` threads, and at least one: the caller
    is at work too.

    ``future.result()`` raises `WorkerError` if the task has raised, with the exception itself as its cause, or its
    worker has died. Leaving a ``with`` block, `shutdown`, and the end of the program wait for tasks that run, as with
    every executor. The arguments are checked as those of `Pool` are.

    >>> with minipar.parallel.PoolExecutor() as beside:
    ...     future = beside.submit(lambda x: x.sum(), np.arange(4))
    ...     int(future.result())
    6
    """

    def __init__(self, workers: int = 1) -> None:
        self._max_workers = check_ranks("PoolExecutor", workers, None, 60.0, "process", ("process",))[0]
        self._threads = ThreadPoolExecutor(self._max_workers, "feeds a worker")
        self._of_thread = threading.local()  # its worker, as long as the thread lives

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Begin ``fn(*args, **kwargs)`` on a worker, as soon as one is idle. TypeError for what cannot be sent."""
        if not callable(fn):
            raise TypeError(f"submit needs a function to run, not {type(fn).__name__}")
        try:
            call = Snapshot((fn, args, kwargs))
        except Exception as error:
            raise TypeError(f"the function or the arguments of submit cannot be sent to a process: {error}") from error
        threads = max(1, usable_cores() // (self._max_workers + 1))
        return self._threads.submit(self._run, ThreadSettings.of_this_thread()._replace(threads=threads), call)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of every executor. Workers end with the threads that feed them."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)

    def _run(self, settings: ThreadSettings, call: Snapshot) -> Any:
        """In a thread, whose settings are the task's."""
        settings.adopt()
        if not hasattr(self._of_thread, "worker"):
            self._of_thread.worker = _Worker()
        (result,) = self._of_thread.worker.pool.run(_called, call)
        return result


class _Worker:
    """A pool of one, which is closed by the thread that drops this, whoever else refers to the pool (a traceback)."""

    def __init__(self) -> None:
        self.pool = Pool(workers=1)

    def __del__(self) -> None:
        self.pool.close()


class Snapshot:
    """A value as it is now: what is unpickled from this object is that value, whatever has been changed since."""

    def __init__(self, value: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        self._stream = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        self._buffers = [bytearray(buffer.raw()) for buffer in buffers]

    def __reduce__(self) -> tuple:
        return _restored, (self._stream, list(map(pickle.PickleBuffer, self._buffers)))


def _restored(stream: bytes, buffers: list[Any]) -> Any:
    return pickle.loads(stream, buffers=buffers)


def _called(comm: Communicator, call: tuple) -> Any:
    fn, args, kwargs = call
    return fn(*args, **kwargs)

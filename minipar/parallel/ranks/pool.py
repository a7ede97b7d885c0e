"""`Pool`: ranks that stay, for one function after another."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...backend.device import device
from .fitting import check_call
from .launch import check_ranks
from .stacks import hide_own_lines

if TYPE_CHECKING:
    from .crew import Crew

BACKENDS = ("process", "thread")


class Pool:
    """`workers` ranks that run one function after another, each as `launch` would; they are started once.

    The first four arguments, and all else about ranks, are as in `launch`. Workers get ready while the caller goes on,
    with its environment (`os.environ`) and in its folder as they are when the pool is made.

    What a function leaves in its process is there for the next one: modules that it has imported, and what it has set
    in those and in the process (attributes, NumPy's own random state, filters of warnings, environment variables, the
    folder). Globals of the caller's notebook or script are none of that: they travel with the function, and what a task
    assigns to them is lost with it; so what is to stay must be kept by a module that workers import. What a function
    still prints after it has returned is shown with the next one.

    What minipar keeps for each thread is new in every task: default dtype, grad and inference mode, kernels, number of
    threads and generator are the caller's when it calls `run`. As with `launch`, its generator does not move: two tasks
    draw the same numbers unless the caller draws in between, or a seed is among the arguments.

    After a failure the pool is usable again: what died or was stuck is started anew, by the same rank's number but
    with nothing left of what earlier functions left behind. Ctrl-C stops the task (KeyboardInterrupt in the ranks, and
    half a second later the end of those that go on), and keeps the pool.

    `close` ends the workers, as do the end of a ``with`` block, of the pool's life and of the program; even if that is
    killed. Threads of theirs that are no daemons are waited for, as at the end of any program. A pool belongs to the
    thread that made it: RuntimeError if another uses it, or if it is closed.

    A notebook cell that makes a pool may be run again: a new pool with the settings of one that this thread has not
    closed, and made with the same environment and in the same folder, shares its workers (they go with the last of
    these pools).

    >>> with minipar.parallel.Pool(workers=2, backend="thread") as pool:
    ...     pool.run(lambda comm, x: x * comm.rank, 10)
    ...     pool.run(lambda comm: comm.size)
    [0, 10]
    [2, 2]
    """

    def __init__(
        self,
        workers: int = 2,
        devices: Sequence[str | device] | None = None,
        timeout: float = 60.0,
        backend: str = "process",
    ) -> None:
        self._is_closed = True  # until there is something to close
        self.workers, self._devices, self.timeout = check_ranks("Pool", workers, devices, timeout, backend, BACKENDS)
        self.backend = backend
        self._owner = threading.get_ident(), os.getpid()
        self._owner_name = threading.current_thread().name
        self._crew: Crew | None = None
        self._end: Callable[[], Any] = lambda: None
        if backend == "process":
            self._crew = _crew_of_this_thread(self.workers, self._devices, self.timeout)
            self._end = weakref.finalize(self, _leave, self._crew)
        self._is_closed = False

    def run(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> list[Any]:
        """Run ``fn(comm, *args, **kwargs)`` on every rank; returns the list of their results, by rank.

        Function and arguments travel by value at every call; see `put`. Large arrays among them, and in results, pass
        through shared memory: those of a rank are its own all the same.

        WorkerError if a rank fails, as for `launch`; RuntimeError if a task is running already.
        """
        try:
            self._check_usable("run")
            check_call("Pool.run", fn, args, kwargs)
            if self._crew is not None:
                return self._run_on(self._crew, fn, args, kwargs)

            from .threads import run

            return run(fn, args, kwargs, self.workers, self.timeout, self._devices)
        except Exception as error:
            hide_own_lines(error)
            raise

    def _run_on(self, crew: Crew, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> list[Any]:
        crew.check_idle("Pool.run")
        try:
            return crew.run("Pool.run", fn, args, kwargs, self.timeout)
        except BaseException:
            if not crew.has_ended:  # a signal handler may have closed the pool
                with suppress(OSError):  # then the next call tells
                    crew.start()  # they get ready while the caller reads what went wrong
            raise

    def put(self, value: Any) -> Any:
        """A small handle that stands for `value` in arguments of `run`, also inside lists, dicts and the like.

        Each worker is sent the value once, with the first task that needs it, and loads it once: all tasks get the same
        object. Its contiguous NumPy arrays are read-only there, and lie in memory that all workers share; so copy what
        is to be changed. The value goes when the handle has gone (of workers, with the next task).

        With backend "thread" nothing travels: the value stands for itself. TypeError for what cannot be pickled.

        >>> with minipar.parallel.Pool(workers=2) as pool:
        ...     images = pool.put(np.ones((1000, 28, 28), np.float32))
        ...     pool.run(lambda comm, batch: int(batch["images"][comm.rank :: comm.size].sum()), {"images": images})
        [392000, 392000]
        """
        self._check_usable("put")
        return value if self._crew is None else self._crew.put(value)

    def crew_for(self, call: str) -> Crew | None:
        """The workers, for a call of this name; None if they are threads, which are made anew each time.

        RuntimeError where `run` raises it.
        """
        self._check_usable(call)
        if self._crew is not None:
            self._crew.check_idle(call)
        return self._crew

    def close(self) -> None:
        """End the workers, unless another pool shares them. Closing twice does no harm.

        In a signal handler that comes while `run` runs a task, it ends the task too: `run` raises the exception of the
        handler, else RuntimeError.
        """
        self._is_closed = True
        self._end()
        self._crew = None

    def __enter__(self) -> Pool:
        self._check_usable("with")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        kind = "processes" if self.backend == "process" else "threads"
        return f"<Pool of {self.workers} {kind}{', closed' if self._is_closed else ''}>"

    def _check_usable(self, verb: str) -> None:
        if self._is_closed:
            raise RuntimeError(f"{verb}: this pool is closed")
        thread, process = self._owner
        if os.getpid() != process:
            raise RuntimeError(f"{verb}: this pool belongs to process {process}, from which this one was forked")
        if threading.get_ident() != thread:
            raise RuntimeError(
                f"{verb}: this pool belongs to thread {self._owner_name!r}, and thread "
                f"{threading.current_thread().name!r} used it: make a pool in each thread that needs one"
            )


class _Crews(threading.local):
    """Those that pools of this thread have made, by their settings, as long as a pool has them."""

    def __init__(self) -> None:
        self.by_settings: weakref.WeakValueDictionary[tuple, Crew] = weakref.WeakValueDictionary()


_crews = _Crews()


def _crew_of_this_thread(workers: int, devices: Sequence[device], timeout: float) -> Crew:
    """The workers of a living pool with these settings, else new ones.

    They have been started with the caller's environment and in its folder, so both count among the settings.
    """
    from .crew import Crew

    folder = Path().stat()
    surroundings = folder.st_dev, folder.st_ino, frozenset(os.environ.items())
    settings = os.getpid(), workers, *map(str, devices), timeout, surroundings
    crew = _crews.by_settings.get(settings)
    if crew is None or crew.has_ended:
        crew = Crew(workers, devices)
        try:
            crew.start()
        except BaseException:
            crew.kill()
            raise
        _crews.by_settings[settings] = crew
    crew.pools += 1
    return crew


def _leave(crew: Crew) -> None:
    """A pool has no more need of them."""
    crew.pools -= 1
    if not crew.pools:
        crew.end()

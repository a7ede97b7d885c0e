"""Ranks as processes: starting workers, collecting their results, noticing their deaths, and leaving nothing behind.

A worker is a new interpreter that runs `worker.main`. It never sees the caller's script, so notebooks, scripts without
a `__main__` guard and scripts from stdin work alike; its environment is its own from the start; nothing is forked, no
port is opened, and no helper process stays behind (multiprocessing's spawn leaves its resource tracker, and wants
`__main__`).

It inherits three file descriptors: its end of a socket pair, over which the result comes back and whose end-of-file
tells either side of the other's death; the shared memory of the communicator; and the function with its arguments,
pickled and written once for all.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import mmap
from multiprocessing.connection import Pipe, wait
from typing import Any

import cloudpickle

from ..backend.settings import ThreadSettings
from . import errors
from .captured import LIMIT, warn_of_captured
from .comm.board import Activity, Board
from .comm.cores import usable_cores
from .comm.process import nbytes
from .comm.shared_memory import create_block, map_block
from .errors import Failure
from .final_wait import FinalWait
from .launch import GRACE

EXIT_LIMIT = 5.0  # seconds that a worker has to leave after its result has come (exit handlers, threads still running)
START_LIMIT = 120.0  # seconds that a worker has to import NumPy and minipar and to load its function
_POLL = 0.1  # seconds between two looks at processes: a child that a worker has forked keeps the dead worker's socket

_BOOT = "import sys; sys.path[:] = {path!r}; from minipar.parallel.worker import main; main()"
THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any], workers: int, timeout: float) -> list[Any]:
    """The results by rank; see `launch`."""
    task = _pack(fn, args, kwargs)
    with _block(nbytes(workers)) as world, _block(len(task)) as payload:
        with map_block(payload) as memory:
            memory[:] = task
        del task
        with map_block(world) as memory, _board(memory, workers) as board:
            crew = Crew(workers, timeout, world, payload, board)
            try:
                crew.start()
                return crew.results()
            finally:
                crew.end()


class Worker:
    """One rank's process, and this end of the socket pair."""

    def __init__(self, rank: int, crew: "Crew", environment: dict[str, str]) -> None:
        self.rank = rank
        self.channel, theirs = Pipe()
        with theirs:
            command = [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]
            command += ["-c", _BOOT.format(path=[entry for entry in sys.path if isinstance(entry, str)])]
            inherited = (theirs.fileno(), *crew.descriptors)
            command += [str(number) for number in (rank, crew.size, crew.timeout, *inherited)]
            try:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, pass_fds=inherited)
            except BaseException:
                self.channel.close()
                raise

    def is_dead(self) -> bool:
        """Whether the process has ended and has left nothing to read."""
        return self.process.poll() is not None and not self.channel.poll()

    def end(self) -> None:
        self.process.kill()  # does nothing to a process that has ended
        self.process.wait()
        self.channel.close()


class Crew:
    """The workers of one launch."""

    def __init__(self, size: int, timeout: float, world: int, payload: int, board: Board) -> None:
        self.size = size
        self.timeout = timeout
        self.descriptors = (world, payload)
        self._board = board
        self._workers: list[Worker] = []
        self._failures: list[Failure] = []

    def start(self) -> None:
        environment = worker_environment(self.size)
        with _sigint_blocked():  # until a worker is ready to ignore it
            for rank in range(self.size):
                self._workers.append(Worker(rank, self, environment))

    def results(self) -> list[Any]:
        """Wait for all ranks. After the first failure, the others have GRACE seconds to fail as well."""
        results: dict[int, Any] = {}
        remaining = {worker.channel: worker for worker in self._workers}
        start_deadline = time.monotonic() + START_LIMIT
        final_wait = FinalWait(self._board, self.timeout)
        deadline = float("inf")
        while remaining and time.monotonic() < deadline:
            ready = set(wait(list(remaining), min(_POLL, max(0.0, deadline - time.monotonic()))))
            for channel, worker in list(remaining.items()):
                if channel in ready:
                    self._receive(worker, results)
                    if worker.rank in results:
                        final_wait.returned(worker.rank)
                elif worker.is_dead():
                    self._report_death(worker)
                elif time.monotonic() > start_deadline and self._board.activity[worker.rank] == Activity.STARTING:
                    self._report(Failure(worker.rank, f"was not ready after {START_LIMIT:g} s", "starting"))
                elif (failure := final_wait.failure_of(worker.rank)) is not None:
                    self._report(failure)
                else:
                    continue
                del remaining[channel]
            if self._failures:
                deadline = min(deadline, time.monotonic() + GRACE)
        if self._failures:
            raise errors.first(self._failures).error()
        self._wait_for_exit()
        return [results[rank] for rank in range(self.size)]

    def end(self) -> None:
        """Leave no process behind. Kill all before waiting for any: a half-dead crew would only get in its own way."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.end()

    def _receive(self, worker: Worker, results: dict[int, Any]) -> None:
        try:
            outcome = worker.channel.recv_bytes()
        except (EOFError, OSError):
            self._report_death(worker)
            return
        if outcome[:1] == b"F":
            self._report(Failure.from_bytes(outcome[1:]))
            return
        try:
            results[worker.rank] = cloudpickle.loads(memoryview(outcome)[1:])
        except Exception as error:
            self._report(Failure.of_exception(worker.rank, "returning a result that cannot be loaded here", error))

    def _report_death(self, worker: Worker) -> None:
        doing = self._board.doing(worker.rank)
        try:
            exitcode = worker.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._report(Failure(worker.rank, "closed its connection without a result", doing))
        else:
            self._report(Failure.of_death(worker.rank, doing, exitcode))

    def _report(self, failure: Failure) -> None:
        self._failures.append(failure)
        self._board.fail(failure.rank)  # ranks that wait for it stop waiting

    def _wait_for_exit(self) -> None:
        deadline = time.monotonic() + EXIT_LIMIT
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return  # `end` kills it


def worker_environment(workers: int) -> dict[str, str]:
    """The caller's environment with the cores divided among the workers; a smaller number that is set stays."""
    cores = usable_cores()
    environment = dict(os.environ)
    for name in THREAD_COUNTS:
        given = environment.get(name, "")
        counts = [cores // workers, *([int(given)] if given.isdigit() else [])]
        environment[name] = str(max(1, min(counts)))
    return environment


def _pack(fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> bytes:
    try:
        task = cloudpickle.dumps((ThreadSettings.of_this_thread(), fn, args, kwargs))
    except Exception as error:
        raise TypeError(
            f"the function or the arguments of launch cannot be sent to other processes: {error}; "
            f"create such objects inside the function, or use backend='thread'"
        ) from error
    if len(task) > LIMIT:
        warn_of_captured(fn)
    return task


@contextmanager
def _block(size: int) -> Iterator[int]:
    descriptor = create_block(size)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _board(memory: mmap, size: int) -> Iterator[Board]:
    board = Board(memory, size)
    try:
        yield board
    finally:
        board.release()


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Processes started by this thread begin with SIGINT held back."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

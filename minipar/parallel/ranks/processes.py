"""Ranks as processes: what a worker is started with.

A worker is a new interpreter that runs `worker.main`. It never sees the caller's script, so notebooks, scripts without
a `__main__` guard and scripts from stdin work alike; its environment is its own from the start; nothing is forked, no
port is opened, and no helper process stays behind (multiprocessing's spawn leaves its resource tracker, and wants
`__main__`).

It inherits one file descriptor, its end of a socket pair, over which all else comes and goes (channel.py). It has a
process group of its own, so that a terminal's Ctrl-C reaches the caller alone, who then decides; and so that programs
which it has started end with it when it is killed or dies. (When the caller itself is killed, the system ends workers
at once: what those had started then lives on.)
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...backend.device import device
from ..comm.cores import usable_cores
from ..comm.nccl_gpu import CONNECTIONS, MOST_CONNECTIONS
from .channel import Channel
from .child import has_exited
from .launch import GRACE
from .output import RankStream, Screen
from .readable import is_readable
from .stacks import ProcessStack

if TYPE_CHECKING:
    from .crew import World

EXIT_LIMIT = 5.0  # seconds that workers have to leave when they are told to (exit handlers), and no thread runs on
START_LIMIT = 120.0  # seconds that a worker has to import NumPy and minipar and to load its function

_BOOT = "import sys; sys.path[:] = {path!r}; from minipar.parallel.ranks.worker import main; main()"
THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(
    fn: Callable[..., Any],
    args: tuple,
    kwargs: dict[str, Any],
    workers: int,
    timeout: float,
    devices: Sequence[device],
    screen: Screen | None = None,
) -> list[Any]:
    """The results by rank; see `launch`. `screen` shows what ranks write, if not as `launch` does."""
    from .crew import Crew

    crew = Crew(workers, devices, screen)
    try:
        crew.start()
        results = crew.run("launch", fn, args, kwargs, timeout)
    except BaseException:
        crew.kill()
        raise
    crew.end()
    return results


class WorkerProcess:
    """One rank's process, seen from the caller."""

    def __init__(self, rank: int, size: int, place: device, environment: dict[str, str], screen: Screen) -> None:
        self.rank = rank
        self.is_busy = False  # it has a task that it has not answered
        self.world: World | None = None  # the one that it has been given last
        self.path = importable_path()  # the same, of sys.path
        self.objects: set[int] = set()  # the numbers of those that it has been given
        with ExitStack() as made:  # closed again if the process cannot be started
            self.stack = ProcessStack()
            made.callback(self.stack.close)
            end, theirs = socket.socketpair()
            self.channel = Channel(end)
            made.callback(self.channel.close)
            with theirs:
                self.process = self._started(size, place, environment, [theirs.fileno(), self.stack.descriptor])
            made.pop_all()
        self.stack.pid = self.process.pid
        self.streams = [
            RankStream(rank, name, pipe, screen)
            for name, pipe in (("stdout", self.process.stdout), ("stderr", self.process.stderr))
            if pipe is not None
        ]

    def _started(self, size: int, place: device, environment: dict[str, str], inherited: list[int]) -> subprocess.Popen:
        command = [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]
        command += ["-c", _BOOT.format(path=self.path), str(self.rank), str(size), str(place)]
        command += map(str, inherited)
        return subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment | bars(self.rank),
            pass_fds=inherited,
            process_group=0,
        )

    def has_ended(self) -> bool:
        return self._exit_code(within=0.0) is not None

    def exit_code(self) -> int | None:
        """Of a worker that seems to have gone; None if it stays."""
        return self._exit_code(within=GRACE)

    def _exit_code(self, within: float) -> int | None:
        """When it is seen that it has not left in good order, what it had started is ended too."""
        if self.process.returncode is None and has_exited(self.process, within) and self.process.wait() != 0:
            self._kill_group()
        return self.process.returncode

    def has_written(self) -> bool:
        """Whether there is a message to receive, or the end of all messages."""
        return is_readable(self.channel)

    def show_all(self) -> None:
        """Show what it has written since it was looked at last, a line without an end too."""
        for stream in self.streams:
            stream.finish()

    def send_signal(self, number: int) -> None:
        if not self.has_ended():
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it at once, and the programs that it has started and that have not left its process group."""
        if not self.has_ended():
            self._kill_group()

    def _kill_group(self) -> None:
        """Only as long as the number of the process is its own: before it is waited for, or right then."""
        with suppress(ProcessLookupError, PermissionError):  # nobody is left, or nobody of this user
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it if it still runs, show what it has written, and let go of it."""
        self.kill()
        self.process.wait()
        self.channel.close()
        self.stack.close()
        try:
            self.show_all()
        finally:
            for stream in self.streams:
                stream.close()


def worker_environment(workers: int) -> dict[str, str]:
    """The caller's environment with the cores divided among the workers; a smaller number that is set stays.

    On a GPU each has as many queues as CUDA gives, if nobody has said how many: NCCL's streams need their own.
    """
    cores = usable_cores()
    environment = dict(os.environ)
    for name in THREAD_COUNTS:
        given = environment.get(name, "")
        counts = [cores // workers, *([int(given)] if given.isdigit() else [])]
        environment[name] = str(max(1, min(counts)))
    environment.setdefault(CONNECTIONS, MOST_CONNECTIONS)
    return environment


def bars(rank: int) -> dict[str, str]:
    """For tqdm: rank 0 alone draws bars, as wide as the terminal; unless the caller's environment says otherwise."""
    if rank:
        return {"TQDM_DISABLE": os.environ.get("TQDM_DISABLE", "1")}
    try:
        columns, lines = os.get_terminal_size(2)  # of stderr
    except OSError:
        return {}
    return {"COLUMNS": os.environ.get("COLUMNS", str(columns)), "LINES": os.environ.get("LINES", str(lines))}


def importable_path() -> list[str]:
    """Where workers look for modules: where the caller does."""
    return [entry for entry in sys.path if isinstance(entry, str)]


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Processes started by this thread begin with SIGINT held back, until they are ready to handle it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

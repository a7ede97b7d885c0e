"""The workers of a pool, or of one launch: started, given tasks one after the other, mended after a failure, and ended.

Between two healthy tasks nothing changes hands: workers keep their process, what their functions left in it, and the
shared memory of the communicators, which is only made ready again. After a failure the ranks are out of step, and some
may still be writing: so whoever has not answered is ended, and the next task gets new shared memory.
"""

import os
import pickle
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from typing import Any, NamedTuple

from ...backend.device import device
from ..comm.board import Board
from ..comm.process import nbytes, reset
from ..comm.shared_memory import create_block, map_block
from .answers import Answers
from .channel import Kind
from .handles import Handle
from .leaving import leave
from .output import Screen
from .parcel import Parcel, pack
from .processes import WorkerProcess, importable_path, sigint_blocked, worker_environment
from .task import pack_task


class World:
    """The shared memory of the communicators of a crew, as the caller holds it."""

    def __init__(self, size: int) -> None:
        self.descriptor = create_block(nbytes(size))
        try:
            self._memory = map_block(self.descriptor)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.board = Board(self._memory, size)

    def reset(self) -> None:
        """As if it were new. All ranks must be idle."""
        reset(self._memory, self.board.size)

    def close(self) -> None:
        self.board.release()
        self._memory.close()
        os.close(self.descriptor)


class Task(NamedTuple):
    """A packed function with its arguments and settings, where its modules are, and the numbers of what it mentions."""

    parcel: Parcel
    path: list[str]
    mentions: set[int]


class Crew:
    """`size` workers, rank r with devices[r], and what they have been sent.

    Their environment is the caller's when the crew is made, for those too that are started later in place of others.
    """

    def __init__(self, size: int, devices: Sequence[device], screen: Screen | None = None) -> None:
        self.size = size
        self.has_ended = False
        self.pools = 0  # that use it
        self._devices = devices
        self.screen = screen or Screen()
        self._environment = worker_environment(size)
        self._workers: list[WorkerProcess | None] = [None] * size
        self._world: World | None = None
        self._running = ""  # the call that runs a task
        self._objects: dict[int, Parcel] = {}  # what has been put, by number
        self._numbers = count()
        self._mentioned: set[int] | None = None  # the objects that the task mentions which is being packed
        self._process = os.getpid()

    def start(self) -> None:
        """Start the workers that are missing: at first all, later those that have ended. They get ready by themselves.

        One that has died since its last task is started anew.
        """
        with sigint_blocked():
            for rank, worker in enumerate(self._workers):
                if worker is None or worker.has_ended():
                    self._replace(rank)

    def renew(self, rank: int) -> None:
        """End the worker of this rank, whatever it does, and start another in its place."""
        with sigint_blocked():
            self._replace(rank)

    def _replace(self, rank: int) -> None:
        worker, self._workers[rank] = self._workers[rank], None
        if worker is not None:
            worker.end()
        self._workers[rank] = WorkerProcess(rank, self.size, self._devices[rank], self._environment, self.screen)

    # -- tasks -----------------------------------------------------------------------------------------------------

    def run(self, call: str, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any], timeout: float) -> list[Any]:
        """Have every rank run the function; the results by rank. `call` is the user's, for messages.

        WorkerError if a rank fails. After that, and after any other exception (KeyboardInterrupt), every worker is
        either idle or has been ended: `start` makes the crew complete again.
        """
        with self.at_work(call):
            task = self.pack(call, fn, args, kwargs, timeout)
            try:
                return self._results(task, timeout)
            finally:
                task.parcel.close()

    @contextmanager
    def at_work(self, call: str) -> Iterator[None]:
        """Inside, all workers are started and work for this call, and for no other (RuntimeError)."""
        self.check_idle(call)
        self._running = call
        try:
            self.start()
            yield
        finally:
            self._running = ""
            if self.has_ended:  # by a signal handler, at any moment
                self.kill()
            self.screen.finish()

    def check_idle(self, call: str) -> None:
        """RuntimeError while a task runs (a signal handler, say, or an argument that is being pickled, calls)."""
        if self._running:
            raise RuntimeError(f"{call} was called while the same workers run a task of {self._running}")

    def _results(self, task: Task, timeout: float) -> list[Any]:
        world = self.ready_world()
        workers = self.present()
        answers = Answers(workers, world.board, timeout)
        try:
            for worker in workers:
                self.send(worker, task, world)
            results = answers.results()
        except Exception:  # a rank has failed, and the others had their time
            if self.has_ended:
                raise RuntimeError(f"the workers were ended while they ran a task of {self._running}") from None
            self.give_up()
            raise
        except BaseException:  # KeyboardInterrupt
            try:
                if not self.has_ended:
                    answers.interrupt()
            finally:
                self.give_up()
            raise
        for worker in workers:
            worker.show_all()
        return results

    def pack(self, call: str, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any], timeout: float) -> Task:
        self._mentioned = set()
        try:
            return Task(pack_task(call, fn, args, kwargs, timeout), importable_path(), self._mentioned)
        finally:
            self._mentioned = None

    def send(self, worker: WorkerProcess, task: Task, world: World) -> None:
        """Give a worker its task, and before that what it lacks for it. One that has gone is noticed later.

        Other errors are the caller's own: one has no memory, say.
        """
        worker.is_busy = True
        with suppress(BrokenPipeError, ConnectionResetError):
            if worker.world is not world:
                worker.channel.send(Kind.WORLD, descriptor=world.descriptor)
                worker.world = world
            if worker.path != task.path:
                worker.channel.send(Kind.PATH, pickle.dumps(task.path))
                worker.path = task.path
            for number in worker.objects - self._objects.keys():
                worker.channel.send(Kind.FORGET, pickle.dumps(number))
                worker.objects.remove(number)
            for number in task.mentions - worker.objects:
                packed = self._objects[number]
                worker.channel.send(Kind.OBJECT, pickle.dumps((number, packed.stream)), packed.descriptor)
                worker.objects.add(number)
            worker.channel.send(Kind.TASK, task.parcel.stream, task.parcel.descriptor)

    def ready_world(self) -> World:
        """The memory of the last task, if that went well, else new."""
        if self._world is None:
            self._world = World(self.size)
        else:
            self._world.reset()
        return self._world

    def give_up(self) -> None:
        """End who has not answered. Kill all before waiting for any: half a crew would only get in its own way.

        Should what they have written not be accepted (by a closed terminal, say), all are ended before that is raised.
        """
        present = self.present()
        for worker in present:
            if worker.is_busy:
                worker.kill()
        with ExitStack() as rest:  # all of it is done, whatever raises
            for worker in reversed(present):  # it begins with what came last
                if worker.is_busy:
                    self._workers[worker.rank] = None
                    rest.callback(worker.end)
                else:
                    rest.callback(worker.show_all)
            world, self._world = self._world, None
            if world is not None:
                rest.callback(world.close)

    def present(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None]

    # -- what is put -----------------------------------------------------------------------------------------------

    def put(self, value: Any) -> Handle:
        """Keep a packed copy of `value` for all workers; each is sent it before the first task that mentions it."""
        try:
            packed = pack(value, apart=1)
        except OSError:
            raise
        except Exception as error:
            raise TypeError(f"this {type(value).__name__} cannot be sent to other processes: {error}") from error
        number = next(self._numbers)
        self._objects[number] = packed
        handle = Handle(number, self._mention, f"{type(value).__name__}, {packed.nbytes / 2**20:.1f} MB")
        weakref.finalize(handle, self._let_go, number).atexit = False
        return handle

    def _mention(self, number: int) -> None:
        if self._mentioned is None or number not in self._objects:
            raise TypeError("a handle stands for its object only in a call of run of the pool that made it")
        self._mentioned.add(number)

    def _let_go(self, number: int) -> None:
        packed = self._objects.pop(number, None)
        if packed is not None:
            packed.close()

    # -- the end ---------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Tell the workers to leave, wait for them, and kill those that stay."""
        if os.getpid() != self._process:  # forked: they are the parent's
            return
        try:
            leave(self.present(), self.screen)
        finally:
            self.kill()

    def kill(self) -> None:
        """Leave nothing behind, at once."""
        self.has_ended = True
        for worker in self.present():
            worker.is_busy = True
        try:
            self.give_up()
        finally:
            for number in list(self._objects):
                self._let_go(number)
            self.screen.finish()

"""What a worker process does: take tasks one after the other, run them, send back what came of them."""

import atexit
import ctypes
import os
import pickle
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from mmap import mmap
from types import FrameType
from typing import Any

from ...backend.device import device
from ...backend.settings import ThreadSettings
from ...backend.threads import get_num_threads, set_num_threads
from ..comm.board import Board
from ..comm.communicator import Communicator
from ..comm.errors import CommunicatorError
from ..comm.parent_death import die_with_the_parent
from ..comm.process import ProcessCommunicator
from ..comm.shared_memory import map_block
from . import handles
from .channel import Channel, Kind, NotTaken
from .environment import become_worker
from .errors import Failure
from .mapping import PRIVATE, READ_ONLY
from .no_input import refuse_input
from .parcel import Parcel, opened, pack, unpack
from .rank import become_rank
from .stacks import answer as answer_with_stacks
from .stacks import from_user


def main() -> None:
    """The arguments: rank, size, device, and the descriptors of the channel and of the file for this rank's stack."""
    rank, size, place = int(sys.argv[1]), int(sys.argv[2]), device(sys.argv[3])
    descriptor, stack = int(sys.argv[4]), int(sys.argv[5])
    os.set_inheritable(descriptor, False)
    os.set_inheritable(stack, False)
    answer_with_stacks(stack)
    end_with_the_caller(descriptor)
    write_whole_lines()
    become_worker()
    channel = Channel(socket.socket(fileno=descriptor))
    atexit.register(channel.close)
    Worker(rank, size, place, channel).serve()


class Interrupts:
    """The caller sends SIGINT to stop a task: KeyboardInterrupt while one runs, and nothing otherwise."""

    def __init__(self) -> None:
        self._are_allowed = False
        self._listen()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    @contextmanager
    def allowed(self) -> Iterator[None]:
        self._listen()  # an earlier task may have put in its own handler
        self._are_allowed = True
        try:
            yield
        finally:
            self._are_allowed = False

    def _listen(self) -> None:
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._are_allowed:
            raise KeyboardInterrupt


class Worker:
    """One rank, from the first task to the last."""

    _world: mmap  # comes before the first task

    def __init__(self, rank: int, size: int, place: device, channel: Channel) -> None:
        self._rank = rank
        self._size = size
        self._device = place
        self._channel = channel
        self._process = os.getpid()
        self._interrupts = Interrupts()
        self._share = get_num_threads()  # of the cores

    def serve(self) -> None:
        """Until the caller says that this is the end, or is gone."""
        refuse_input(self._rank)
        while True:
            try:
                kind, body, descriptor = self._channel.receive()
            except NotTaken:  # the end of this rank, which says why
                raise
            except (EOFError, OSError):
                os._exit(1)
            if kind == Kind.END:
                self._tell_of_threads()
                return
            if kind == Kind.TASK:
                self._answer(body, descriptor)
            elif kind == Kind.WORLD:
                assert descriptor is not None
                self._world = map_block(descriptor)
                os.close(descriptor)
            elif kind == Kind.PATH:
                sys.path[:] = pickle.loads(body)
            elif kind == Kind.OBJECT:
                number, stream = pickle.loads(body)
                handles.hold(number, opened(stream, descriptor, READ_ONLY))
            else:
                handles.forget(pickle.loads(body))

    def _tell_of_threads(self) -> None:
        """Python ends no process before its threads that are no daemons: the caller is to know what it waits for."""
        names = [thread.name for thread in threading.enumerate() if not thread.daemon]
        names.remove(threading.current_thread().name)
        if names:
            self._tell_of(names)
            atexit.register(self._tell_of, [])  # the first exit handler to be called, as soon as they have ended

    def _tell_of(self, threads: list[str]) -> None:
        with suppress(OSError):
            self._channel.send(Kind.WAITS, pickle.dumps(threads))

    def _answer(self, body: bytes, descriptor: int | None) -> None:
        try:
            with self._interrupts.allowed():
                outcome = self._run(body, descriptor)
        except KeyboardInterrupt as error:  # just before the task, or just after it
            outcome = Failure.of_exception(self._rank, "starting or returning", error)
        _flush()
        if isinstance(outcome, Failure):
            self._channel.send(Kind.FAILURE, outcome.to_bytes())
        else:
            self._channel.send(Kind.RESULT, outcome.stream, outcome.descriptor)
            outcome.close()

    def _run(self, body: bytes, descriptor: int | None) -> Parcel | Failure:
        """The packed result, or how the rank failed."""
        try:
            settings, timeout, fn, args, kwargs = unpack(body, descriptor, PRIVATE)
        except BaseException as error:
            told = error.with_traceback(from_user(error.__traceback__))
            return Failure.of_exception(self._rank, "loading the function and its arguments", told)
        try:
            self._adopt(settings)
            comm = self._communicator(timeout)
            become_rank(comm, Board(self._world, self._size), self._device)
        except BaseException as error:
            return Failure.of_exception(self._rank, "starting", error)
        doing = None
        try:
            result = fn(comm, *args, **kwargs)
            self._end_a_copy()
            doing = f"returning its result, of type {type(result).__name__}"
            outcome = _packed(result)
            try:
                comm.close()
            except BaseException:
                outcome.close()
                raise
        except BaseException as error:
            self._end_a_copy(error)
            try:
                return Failure.of_exception(self._rank, doing or comm.doing(), error)
            finally:
                comm.fail()  # only now do others fail because of it
                with suppress(CommunicatorError):  # of this failure the caller is told
                    comm.close()  # waits for nobody, and keeps no memory
        return outcome

    def _end_a_copy(self, error: BaseException | None = None) -> None:
        """The function has forked, and this is the other process: it ends as the function does, and answers nobody."""
        if os.getpid() == self._process:
            return
        status = 0
        if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
            status = error.code or 0
        elif error is not None:
            traceback.print_exception(error)
            status = 1
        _flush()
        os._exit(status & 0xFF)

    def _communicator(self, timeout: float) -> Communicator:
        return ProcessCommunicator(self._world, self._rank, self._size, timeout)

    def _adopt(self, settings: ThreadSettings) -> None:
        """The caller's settings, but no more threads than this worker's share of the cores."""
        threads = min(settings.threads, self._share)
        if threads != get_num_threads():
            set_num_threads(threads)  # BLAS too
        settings._replace(threads=threads).adopt()


def _packed(result: Any) -> Parcel:
    try:
        return pack(result)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        if from_user(error.__traceback__) is not None:  # in the user's code that says how to pickle it
            raise
        raise TypeError(
            f"{error}; what a function returns must be fit to be sent to the caller (arrays, numbers, texts, and lists "
            f"and dicts of them): return what the caller needs of it, or use backend='thread'"
        ) from None


def write_whole_lines() -> None:
    """Send what a rank prints line by line, in the encoding that the caller reads."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False)


def _flush() -> None:
    """What the task has printed reaches the caller before its result, what C code printed too."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # whatever the task has put in their place
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def end_with_the_caller(descriptor: int) -> None:
    """End this process when the caller's has ended, however that happened: its end of the channel is then closed.

    On Linux the kernel also sends SIGKILL, which reaches even a process that is stopped or holds the interpreter lock.
    It does so when the *thread* that started this process ends: nobody but that thread may use this worker.
    """
    die_with_the_parent()

    def watch() -> None:
        poller = select.poll()
        poller.register(descriptor, 0)  # nothing but the end of the connection
        poller.poll()
        os._exit(1)

    threading.Thread(target=watch, name="minipar watches its caller", daemon=True).start()

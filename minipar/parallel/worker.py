"""What a worker process does: take its function, run it, send back what it returned or how it failed."""

import ctypes
import faulthandler
import os
import signal
import sys
import threading
from io import TextIOWrapper
from mmap import mmap
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from ..backend.settings import ThreadSettings
from ..backend.threads import get_num_threads, set_num_threads
from .comm.process import ProcessCommunicator
from .comm.shared_memory import map_block
from .errors import Failure
from .launch import mark_as_rank

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """The arguments: rank, size, timeout; the file descriptors of the channel, the shared memory, the pickled task."""
    rank, size, *descriptors = (int(argument) for argument in (*sys.argv[1:3], *sys.argv[4:]))
    timeout = float(sys.argv[3])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    channel = Connection(descriptors[0])
    _leave_interrupts_to_the_caller()
    _die_with_the_caller(channel)
    faulthandler.enable()
    _write_whole_lines()
    mark_as_rank()
    world = map_block(descriptors[1])
    os.close(descriptors[1])
    channel.send_bytes(_run(world, rank, size, timeout, descriptors[2]))


def _adopt(settings: ThreadSettings) -> None:
    """The caller's settings, but no more threads than this worker's share of the cores."""
    share = get_num_threads()
    settings._replace(threads=min(settings.threads, share)).adopt()
    if settings.threads < share:
        set_num_threads(settings.threads)  # BLAS too


def _run(world: mmap, rank: int, size: int, timeout: float, task: int) -> bytes:
    """b"R" and the pickled result, or b"F" and a `Failure`."""
    try:
        settings, fn, args, kwargs = _load(task)
        _adopt(settings)
    except BaseException as error:
        return b"F" + Failure.of_exception(rank, "starting", error).to_bytes()
    comm = ProcessCommunicator(world, rank, size, timeout)
    doing = None
    try:
        result = fn(comm, *args, **kwargs)
        doing = f"returning its result, of type {type(result).__name__}"
        outcome = b"R" + cloudpickle.dumps(result)
    except BaseException as error:
        try:
            failure = Failure.of_exception(rank, doing or comm.doing(), error)  # before others fail because of it
        finally:
            comm.fail()
        return b"F" + failure.to_bytes()
    comm.close()
    return outcome


def _load(descriptor: int) -> tuple[Any, ...]:
    with map_block(descriptor) as memory:
        os.close(descriptor)
        return cloudpickle.loads(memory)


def _write_whole_lines() -> None:
    """Show what a rank prints line by line, and its lines never mixed with another rank's."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)


def _leave_interrupts_to_the_caller() -> None:
    """Ctrl-C reaches all processes of a terminal; the caller decides what becomes of the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _die_with_the_caller(channel: Connection) -> None:
    """End this process when the caller's has ended, however that happened: its end of the channel is then closed.

    On Linux the kernel also sends SIGKILL, which reaches even a process that is stopped or holds the interpreter lock.
    It does so when the *thread* that started this process ends: `launch` stays in that thread until its workers have
    ended.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        try:
            channel.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, name="minipar watches its caller", daemon=True).start()

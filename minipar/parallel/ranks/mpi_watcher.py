"""The parent of a rank that `launch` has started by mpiexec: it tells the caller how that rank has ended.

A rank is no child of the caller, so the caller cannot see that; mpiexec, which can, does not always tell, and ends all
other ranks at once. So mpiexec starts watchers, and each of them forks a rank. As long as they live mpiexec misses
nobody: the other ranks have their time to fail in good order, as those of the other backends.

This file is run by itself, and imports next to nothing: NumPy, whose threads no fork survives, is loaded in the rank.
"""

import os
import select
import signal
import socket
import struct
import sys
from typing import NoReturn

EXIT_CODE = struct.Struct("i")  # negative: the signal that killed the rank
DESCRIPTORS = 4  # that a rank is given: its channel, the file for its stack, its stdout, its stderr


def main() -> None:
    """The arguments: the name of the caller's socket, and those that the number of a rank may have in its environment.

    Returns in the rank, when it has come to its end.
    """
    name, *numbers = sys.argv[1:]
    caller = socket.socket(socket.AF_UNIX)
    caller.connect("\0" + name)
    rank = next(int(os.environ[number]) for number in numbers if number in os.environ)
    caller.sendall(rank.to_bytes(4, "little"))
    told, (channel, stack, *outputs), _, _ = socket.recv_fds(caller, 4096, DESCRIPTORS)
    process = os.fork()
    if process:
        for descriptor in (channel, stack, *outputs):
            os.close(descriptor)
        _watch(process, caller)
    os.setpgid(0, 0)  # signals that mpiexec sends to a group go to the watcher alone
    caller.close()
    for output, descriptor in zip(outputs, (1, 2)):
        os.dup2(output, descriptor)
        os.close(output)

    from minipar.parallel.ranks import mpi_worker

    mpi_worker.main(told, channel, stack)


def _watch(process: int, caller: socket.socket) -> NoReturn:
    """Give the caller a hold of the rank; end the rank should the caller let go, or else tell how it has ended."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Open MPI asks before it kills
    ended = os.pidfd_open(process)
    socket.send_fds(caller, [process.to_bytes(4, "little")], [ended])
    poller = select.poll()
    for file in (ended, caller):
        poller.register(file, select.POLLIN)
    if not any(descriptor == ended for descriptor, _ in poller.poll()):
        os.kill(process, signal.SIGKILL)
    end = os.waitid(
        os.P_PID, process, os.WEXITED | os.WNOWAIT
    )  # its number stays its own as long as this process lives
    assert end is not None
    try:
        caller.sendall(EXIT_CODE.pack(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status))
        caller.recv(1)  # nothing, in the end
    finally:
        os._exit(int(end.si_status != 0))

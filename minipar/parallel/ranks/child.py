"""Whether a child process has ended, asked so that Ctrl-C may come at any moment.

`Popen.poll()` and `Popen.wait(timeout)` take a lock, and only then begin the block that gives it back: a
KeyboardInterrupt between the two leaves it taken, and the next `wait()` never returns (seen: the end of a pool whose
task was interrupted just as it looked whether its workers were alive). `wait()` without a timeout takes it by `with`,
which cannot be interrupted there; so who asks here first needs no other.
"""

import os
import time
from subprocess import Popen

_POLL = 0.005  # seconds


def has_exited(process: Popen, within: float = 0.0) -> bool:
    """Whether it has, in so many seconds at the most; `process.wait()` then returns at once, with its exit status."""
    deadline = time.monotonic() + within
    while process.returncode is None and not _is_zombie(process.pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True


def _is_zombie(pid: int) -> bool:
    """Whether this child waits to be waited for, and goes on waiting; or has been waited for by somebody else."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True

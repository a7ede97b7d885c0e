"""What several tests of ranks have in common: functions that ranks run, and how to look at what came of them."""

import os
import sys
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from minipar import parallel

cloudpickle.register_pickle_by_value(sys.modules[__name__])
ROOT = Path(__file__).parents[2]
BACKENDS = pytest.mark.parametrize("backend", ["thread", "process"])
SOON = 1.0  # second from the failure to the caller's error


def failure_of(fn, *arguments, workers=2, **options):
    """The error that launching `fn` ends in."""
    with pytest.raises(parallel.WorkerError) as caught:
        parallel.launch(fn, *arguments, workers=workers, **options)
    return caught.value


class Clock:
    """Lets a rank note when it failed, even if it dies of it."""

    def __init__(self, folder):
        self.path = folder / "when"

    def note(self):
        self.path.write_text(str(time.monotonic()))

    def seconds_since(self):
        return time.monotonic() - float(self.path.read_text())


def total(comm):
    return float(comm.all_reduce(np.array([comm.rank + 1.0]))[0])


def pids(pool):
    return pool.run(lambda comm: os.getpid())


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

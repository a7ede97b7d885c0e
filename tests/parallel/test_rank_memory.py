"""The ground under ranks: shared memory that is short or refused, and processors that need a fence."""

import errno
import os
import sys

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm import fence, shared_memory

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_more_shared_memory_than_there_is(monkeypatch):
    """The limit is lowered: reserving more than the machine has would have the kernel kill something."""
    monkeypatch.setattr(shared_memory, "available_memory", lambda: 1 << 20)
    with pytest.raises(OSError, match=r"cannot reserve 2.0 MiB of shared memory: only 1.0 MiB are available"):
        shared_memory.create_block(2 << 20)
    os.close(shared_memory.create_block(1 << 20))


def test_shared_memory_that_the_system_refuses(monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match=r"cannot reserve 1.0 MiB of shared memory: No space left on device"):
        shared_memory.create_block(1 << 20)


def test_available_memory():
    assert 1 << 20 < shared_memory.available_memory() < 1 << 50


def test_a_page_cache_that_fills_the_container_is_available_memory(tmp_path, monkeypatch):
    files = {
        "meminfo": "MemTotal:  9000 kB\nMemAvailable:  5000 kB\nHugePages_Total:  0\n",
        "memory.max": f"{4000 << 10}\n",
        "memory.current": f"{3900 << 10}\n",
        "memory.stat": f"anon {900 << 10}\ninactive_file {1000 << 10}\nactive_file {2000 << 10}\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(shared_memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(shared_memory, "_CGROUP", tmp_path)
    assert shared_memory.available_memory() == (100 + 3000) << 10
    (tmp_path / "memory.max").write_text("max\n")
    assert shared_memory.available_memory() == 5000 << 10
    (tmp_path / "memory.max").unlink()
    assert shared_memory.available_memory() == 5000 << 10
    (tmp_path / "meminfo").write_text("")
    assert shared_memory.available_memory() is None


def test_shared_memory_without_memfd(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    assert parallel.launch(lambda comm: int(comm.all_reduce(np.array([comm.rank]))[0]), workers=2) == [1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="membarrier is a system call of Linux")
def test_processors_that_need_a_fence():
    def work(comm):
        fence.keeps_store_order = lambda: False
        fenced = type(comm)(comm._slots._memory, comm.rank, comm.size, comm.timeout)
        fenced.send(np.arange(3), 1 - comm.rank)
        total = fenced.all_reduce(np.array([comm.rank + 1]))
        return int(total[0]), fenced.recv(1 - comm.rank).tolist(), fenced._fence.__name__

    assert parallel.launch(work, workers=2) == [(3, [0, 1, 2], "fence")] * 2

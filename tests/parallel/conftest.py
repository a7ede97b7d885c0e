"""Whatever a test here does, nothing may be left: no process, file descriptor, shared memory or temporary file."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from minipar import parallel
from minipar.parallel.ranks.mpiexec import in_use
from tests.parallel.rank_programs import Clock, is_running


def children() -> set[int]:
    """Process ids of this process's children, zombies included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state_and_parent = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(state_and_parent[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def descriptors() -> dict[str, str]:
    """Number and target of this process's open file descriptors."""
    links = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links[entry.name] = str(entry.readlink())
        except OSError:  # the one that lists the folder
            continue
    return links


def left_behind(made: set[Path]) -> set[Path]:
    """Those that nobody uses, and that stay: MPI jobs of other programs come and go at any time."""
    deadline = time.monotonic() + 3
    while made and time.monotonic() < deadline:
        made = {file for file in made - in_use() if file.exists()}
        time.sleep(0.1 * bool(made))
    return made


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path_factory, monkeypatch):
    scratch = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))

    def inventory() -> dict[str, object]:
        return {
            "children": children(),
            "descriptors": descriptors(),
            "shared memory": set(Path("/dev/shm").iterdir()),
            "temporary files": set(scratch.iterdir()),
        }

    before = inventory()
    yield
    after = inventory()
    after["shared memory"] = before["shared memory"] | left_behind(after["shared memory"] - before["shared memory"])
    assert after == before


@pytest.fixture
def wait_until_gone():
    """A function that waits up to two seconds for processes to end and returns those that have not."""

    def wait(pids: list[int]) -> list[int]:
        deadline = time.monotonic() + 2
        while any(map(is_running, pids)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return [pid for pid in pids if is_running(pid)]

    return wait


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


@pytest.fixture(scope="module")
def pool():
    """For tests that leave it as it was."""
    with parallel.Pool(workers=2, timeout=20) as pool:
        pool.run(lambda comm: None)  # from here on nothing is to be opened any more
        yield pool


@pytest.fixture
def own_pool():
    """For tests that do not. (Another timeout: pools of equal settings share their workers.)"""
    with parallel.Pool(workers=2, timeout=1) as pool:
        yield pool

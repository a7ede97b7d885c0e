"""Ranks of one machine that pose as several hosts, and once two hosts that have a network between them."""

import functools
import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm.hybrid import HybridCommunicator, hosts_of
from tests.parallel.mpi_programs import needs_mpi, run_job

cloudpickle.register_pickle_by_value(sys.modules[__name__])

UFUNCS = {"sum": np.add, "mean": np.add, "max": np.maximum, "prod": np.multiply}
LARGE, PART = 256 << 10, 8 << 20  # bytes: from which the hosts' memory is used; that pass through it at once


def in_order(values, op):
    total = functools.reduce(UFUNCS[op], values)
    return np.asarray(total / len(values) if op == "mean" else total, values[0].dtype)


def drawn(dtype, length, ranks):
    return [np.random.default_rng((rank, length)).uniform(-2, 2, length).astype(dtype) for rank in range(ranks)]


def check_bits_of_every_path(comm):
    """Private arrays, registered ones, slices of them; some ranks this way and some that."""
    for dtype, op in (("f", "sum"), ("d", "mean"), ("e", "sum"), (">f4", "max"), ("i", "prod"), ("F", "sum")):
        for nbytes in (LARGE - 64, LARGE, LARGE + 64, 3 * LARGE + 1000):
            length = nbytes // np.dtype(dtype).itemsize
            values = drawn(dtype, length, comm.size)
            wanted = in_order(values, op)
            shared = comm.empty(length + 5, dtype)
            for registered in (set(), set(range(comm.size)), {0, comm.size - 1}):
                array = shared[5:] if comm.rank in registered else np.empty(length, dtype)
                array[:] = values[comm.rank]
                comm.all_reduce(array, op)
                np.testing.assert_array_equal(array, wanted, err_msg=f"{dtype} {op} {nbytes} {registered}")


def maps():
    return Path("/proc/self/maps").read_text().count("memfd:minipar")


def check_groups_are_freed(comm):
    gc.collect()
    before = len(comm._family), maps()
    for _ in range(5):
        comm.split(0).close()
    gc.collect()
    assert (len(comm._family), maps()) == before


def check_several_parts(comm):
    length = (2 * PART + 1000) // 8
    values = drawn("d", length, comm.size)
    for algorithm in (None, "hierarchical"):
        for registered in (False, True):
            array = comm.empty(length, "d") if registered else np.empty(length)
            array[:] = values[comm.rank]
            comm.all_reduce(array, algorithm=algorithm)
            if algorithm is None:
                np.testing.assert_array_equal(array, in_order(values, "sum"))
            else:
                np.testing.assert_allclose(array, in_order(values, "sum"), rtol=1e-12, atol=1e-12)


def check_sums_of_the_hosts_sums(comm):
    for dtype, op in (("f", "sum"), ("d", "mean"), ("e", "max"), ("i", "prod")):
        values = drawn(dtype, 100_003, comm.size)
        array = comm.all_reduce(values[comm.rank].copy(), op, algorithm="hierarchical")
        np.testing.assert_allclose(array, in_order(values, op), rtol=1e-5, atol=1e-5)
        digest = comm.all_gather_object(array.tobytes())
        assert len(set(digest)) == 1


def check_the_rest_goes_by_mpi(comm):
    array = np.full(100_000, float(comm.rank))
    comm.broadcast(array, comm.size - 1)
    assert (array == comm.size - 1).all()
    half = comm.split(comm.rank % 2)
    half.all_reduce(array)
    assert (array == half.size * (comm.size - 1)).all()
    work = comm.all_reduce(array, async_op=True)
    comm.send(np.arange(200_000), (comm.rank + 1) % comm.size)
    assert comm.recv((comm.rank - 1) % comm.size).size == 200_000
    work.wait()


HOSTS = {  # by rank: two of two; three that differ; one with more ranks than lanes; ranks dealt out like cards
    "a,a,b,b": True,
    "a,b,b,c": True,
    "a,a,a,b": True,
    "a,b,a,b": True,
    "a,b,c,d": False,  # nothing to share
    "a,a,a,a": False,  # nothing between
}


@needs_mpi
@pytest.mark.parametrize("hosts", HOSTS)
def test_all_reduce_over_hosts(hosts, monkeypatch):
    monkeypatch.setenv("MINIPAR_HOST", hosts)

    def work(comm):
        kind = type(comm).__name__
        check_bits_of_every_path(comm)
        check_the_rest_goes_by_mpi(comm)
        if kind == "HybridCommunicator":
            check_several_parts(comm)
            check_groups_are_freed(comm)
            check_sums_of_the_hosts_sums(comm)
        return kind

    kind = "HybridCommunicator" if HOSTS[hosts] else "MPICommunicator"
    assert parallel.launch(work, workers=4, backend="mpi", timeout=30.0) == [kind] * 4


CHOICE = """
import numpy as np
from minipar import parallel
comm = parallel.init(hierarchical={choice})
array = comm.empty(200_000)
array[:] = comm.rank
comm.all_reduce(array)
print(type(comm).__name__, set(array.tolist()), flush=True)
"""


@needs_mpi
@pytest.mark.parametrize(
    ("choice", "hosts", "kind"),
    [(True, "", "HybridCommunicator"), (False, "a,a,b,b", "MPICommunicator"), (None, "a,a,b", "HybridCommunicator")],
)
def test_the_choice_is_the_users(choice, hosts, kind, tmp_path):
    ended = run_job(tmp_path, 3, CHOICE.format(choice=choice), MINIPAR_HOST=hosts)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.lines() == [f"{kind} {{3.0}}"] * 3


@needs_mpi
@pytest.mark.parametrize("way", ["raises", "is killed", "sleeps"])
def test_a_failure_inside_a_host_reaches_the_other(way, monkeypatch):
    monkeypatch.setenv("MINIPAR_HOST", "a,a,b,b")
    failures = {
        "raises": lambda: 1 // 0,
        "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "sleeps": lambda: time.sleep(60),
    }
    said = {
        "raises": "rank 1 raised ZeroDivisionError",
        "is killed": "rank 1 was killed by SIGKILL",
        "sleeps": r"waited 2 s: [\s\S]*rank 1: running user code",
    }

    def work(comm):
        array = np.ones(1_000_000)
        comm.all_reduce(array)
        if comm.rank == 1:
            failures[way]()
        comm.all_reduce(array)

    with pytest.raises(parallel.WorkerError, match=said[way]):
        parallel.launch(work, workers=4, backend="mpi", timeout=2.0)


GIVEN_UP = """
import gc, time
import numpy as np
from minipar import parallel
comm = parallel.init(timeout=1)
if comm.rank == 3:
    time.sleep(3)
try:
    comm.all_reduce(np.ones(1_000_000))
except parallel.CommunicatorError:
    pass
gc.collect()
if comm.rank < 2:
    coming, results, leaving, *arrays = next(kept for kept in comm._job.abandoned if isinstance(kept, tuple))
    print(len(leaving) > 0, len(arrays), flush=True)
time.sleep(2)  # the first to leave ends the job
"""


@needs_mpi
def test_requests_of_a_chain_that_is_given_up_live_on(tmp_path):
    ended = run_job(tmp_path, 4, GIVEN_UP, MINIPAR_HOST="a,a,b,b")
    assert ended.stdout.count("True 3") == 2, ended


def test_hosts_in_the_order_of_their_ranks():
    assert hosts_of([0, 0, 2, 2], range(4)) == [[0, 1], [2, 3]]
    assert hosts_of([0, 1, 0, 1], [3, 2, 1]) == [[0, 2], [1]]
    assert HybridCommunicator.own_algorithms == ("mpi", "hierarchical")


LEAVING_AT_ONCE = """
from minipar import parallel

parallel.init(timeout=20).barrier()
"""


@needs_mpi
def test_no_message_is_under_way_when_mpi_ends(tmp_path):
    """Who finishes first asks the others whether they still come. By UCX, which tells of what nobody has taken in."""
    ended = run_job(tmp_path, 4, LEAVING_AT_ONCE, MPIR_CVAR_NOLOCAL="1", UCX_TLS="tcp,self")
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")


# -- a network ---------------------------------------------------------------------------------------------------------

ENTER = """#!/bin/sh
# stands for ssh: a command "on" a host runs in that host's network
while [ "${1#-}" != "$1" ]; do shift; done
case $1 in 10.99.7.1) space=SPACE-1 ;; *) space=SPACE-2 ;; esac
shift
exec ip netns exec $space sh -c "$*"
"""
OVER_THE_NETWORK = """
from pathlib import Path
import numpy as np
from minipar import parallel

def sent():
    lines = Path("/proc/net/dev").read_text().splitlines()
    return sum(int(line.split()[9]) for line in lines if "minipar" in line)

comm = parallel.init(timeout=20)
values = [np.random.default_rng(rank).standard_normal(1_000_000) for rank in range(comm.size)]
array = comm.empty(values[0].shape, "d")
counts = []
for algorithm in (None, "hierarchical"):
    array[:] = values[comm.rank]
    comm.barrier()
    before = sent()
    comm.all_reduce(array, algorithm=algorithm)
    comm.barrier()
    counts.append(round((sent() - before) / array.nbytes, 1))
    assert np.allclose(array, sum(values), atol=1e-12) if algorithm else (array == sum(values)).all()
print(type(comm).__name__, comm._job.hosts, counts, flush=True)
"""


@pytest.fixture
def two_networks():
    """The names of two network namespaces with a link between them: as two hosts."""
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("needs two network namespaces: root, and the command ip (iproute2)")
    first, second = (f"minipar-{os.getpid()}-{number}" for number in (1, 2))
    commands = [f"netns add {first}", f"netns add {second}"]
    commands += [f"link add minipar1 netns {first} type veth peer name minipar2 netns {second}"]
    for number, space in ((1, first), (2, second)):
        commands += [f"-n {space} addr add 10.99.7.{number}/24 dev minipar{number}", f"-n {space} link set lo up"]
        commands += [f"-n {space} link set minipar{number} up"]
    try:
        for command in commands:
            done = ip(command)
            if done.returncode:
                pytest.skip(f"needs two network namespaces, which this machine does not allow: {done.stderr.strip()}")
        deadline = time.monotonic() + 10
        while any("state UP" not in ip(f"-n {space} link show type veth").stdout for space in (first, second)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"minipar-{os.getpid()}"
    finally:
        for space in (first, second):
            ip(f"netns del {space}")


def ip(command):
    return subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)


@needs_mpi
@pytest.mark.slow
def test_two_hosts_with_a_network_between_them(two_networks, tmp_path):
    enter = tmp_path / "enter"
    enter.write_text(ENTER.replace("SPACE", two_networks))
    enter.chmod(0o755)
    options = ["-launcher", "ssh", "-launcher-exec", str(enter), "-hosts", "10.99.7.1,10.99.7.2"]
    options += ["-localhost", "10.99.7.1", "-ppn", "2"]
    inside = ["ip", "netns", "exec", f"{two_networks}-1"]
    ended = run_job(tmp_path, 4, OVER_THE_NETWORK, *options, before=inside, UCX_TLS="tcp,self")
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.lines() == ["HybridCommunicator [0, 0, 2, 2] [1.0, 1.0]"] * 4

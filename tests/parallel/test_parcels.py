"""Messages for which their ring has no room: they leave at once, are read where they lie, and stay as they are."""

import gc
import os
import time
from pathlib import Path

import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm.header import HEADER, IN_RING, Header, Label, header_of, parsed
from minipar.parallel.comm.parcels import Deliveries, Parcels

MILLION = 1 << 20


def filled(value, nbytes=MILLION):
    return np.full(nbytes, value, np.uint8)


def test_a_message_needs_no_further_call_of_its_sender():
    def work(comm):
        comm.barrier()
        start = time.monotonic()
        if comm.rank == 0:
            sent = comm.isend(filled(7), 1)
            time.sleep(1.0)  # computes, and calls nothing
            sent.wait()
            return None
        got = comm.recv(0)
        return time.monotonic() - start, got.size, bool((got == 7).all())

    _, (seconds, size, right) = parallel.launch(work, workers=2)
    assert (size, right) == (MILLION, True)
    assert seconds < 0.8


def test_a_message_is_there_when_its_sender_has_gone():
    def work(comm):
        if comm.rank == 0:
            comm.send(filled(9), 1)
            return None
        time.sleep(0.3)
        return bool((comm.recv(0) == 9).all())

    assert parallel.launch(work, workers=2) == [None, True]


@pytest.mark.parametrize("nbytes", [MILLION, 8 * MILLION])
def test_what_is_kept_is_not_written_over(nbytes):
    """More than there are blocks for, too: the rest waits for room in the ring."""
    count = 14

    def work(comm):
        if comm.rank == 0:
            for work in [comm.isend(filled(n, nbytes), 1, tag=n) for n in range(count)]:
                work.wait()
            for n in range(count):
                comm.send(filled(100 + n, nbytes), 1, tag=n)
            return None
        kept = [comm.recv(0, tag=n) for n in reversed(range(count))]
        later = [comm.recv(0, tag=n) for n in range(count)]
        assert all(array.flags.writeable for array in kept)
        return (
            [int(a.min()) for a in kept + later]
            == [int(a.max()) for a in kept + later]
            == [
                *reversed(range(count)),
                *range(100, 100 + count),
            ]
        )

    assert parallel.launch(work, workers=2) == [None, True]


def test_a_block_is_used_again_when_its_array_has_gone():
    def work(comm):
        other = 1 - comm.rank
        before = len(list(Path("/proc/self/fd").iterdir()))
        for n in range(40):
            sent = comm.isend(filled(n), other)
            assert comm.recv(other)[-1] == n
            sent.wait()
        return len(list(Path("/proc/self/fd").iterdir())) - before

    assert max(parallel.launch(work, workers=2)) <= 15  # a few blocks, each with up to three in one rank


def test_order_is_kept_between_what_is_in_the_ring_and_what_is_not():
    def work(comm):
        sizes = [8, MILLION, 16, 3 * MILLION, 24, 1 << 16, 32]
        if comm.rank == 0:
            for work in [comm.isend(filled(n, size), 1) for n, size in enumerate(sizes)]:
                work.wait()
            return None
        return [(int(a[0]), a.size) for a in (comm.recv(0) for _ in sizes)] == list(enumerate(sizes))

    assert parallel.launch(work, workers=2) == [None, True]


def test_a_parcel_from_pack_to_unpack():
    fences = []
    sender, receiver = Parcels(1), Deliveries(lambda: fences.append(1))
    first = sender.pack(filled(1, 70_000))
    assert not first.is_found()
    got = receiver.unpack(first.label, 70_000)
    assert first.is_found()
    assert (got == 1).all()
    second = sender.pack(filled(2, 70_000))
    assert second.label.number == 2  # the first block is still looked at
    part = got[5:9]
    del got
    assert (part == 1).all()
    assert sender.pack(filled(3, 10)).label.number == 3
    assert not fences
    del part
    assert fences
    third = sender.pack(filled(4, 100))
    assert third is first  # empty again
    assert third.is_found()  # and known to the receiver
    sender.release()
    receiver.release()


def test_there_are_not_too_many_blocks():
    sender = Parcels(1)
    assert sender.pack(filled(0, (64 << 20) + 1)) is None
    assert sender.pack(filled(0, 33 << 20)) is not None
    assert sender.pack(filled(0, 33 << 20)) is None
    sender.release()
    for others, blocks in ((1, 32), (3, 10), (40, 1)):
        sender = Parcels(others)
        assert [sender.pack(filled(0, 10)) is None for _ in range(blocks + 1)] == [False] * blocks + [True]
        sender.release()


def test_the_smallest_block_is_taken_and_a_larger_one_takes_the_place_of_an_empty_one():
    sender, receiver = Parcels(32), Deliveries(lambda: None)  # one block
    got = receiver.unpack(sender.pack(filled(1, 10)).label, 10)
    assert sender.pack(filled(2, 100_000)) is None
    del got
    got = receiver.unpack(sender.pack(filled(3, 100_000)).label, 100_000)
    assert (got == 3).all()
    sender.release()
    sender, receiver = Parcels(16), Deliveries(lambda: None)  # two
    large, small = (receiver.unpack(sender.pack(filled(0, n)).label, n) for n in (200_000, 100_000))
    del large, small
    assert sender.pack(filled(5, 90_000)).block.capacity == 1 << 17
    sender.release()


def test_a_block_that_has_gone_is_not_taken_for_another():
    sender, receiver = Parcels(1), Deliveries(lambda: None)
    label = sender.pack(filled(1)).label
    with pytest.raises(OSError, match="another file has its number"):
        receiver.unpack(label._replace(inode=label.inode + 1), MILLION)
    sender.release()
    with pytest.raises(OSError):
        receiver.unpack(label, MILLION)


def test_a_copy_of_the_receiver_lets_go_of_nothing():
    sender, receiver = Parcels(1), Deliveries(lambda: None)
    sent = sender.pack(filled(1))
    got = receiver.unpack(sent.label, MILLION)
    child = os.fork()
    if child == 0:
        del got
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert sender.pack(filled(2)) is not sent
    assert (got == 1).all()
    sender.release()


def test_tasks_that_fail_leave_no_block():
    def task(comm, fails):
        if fails:
            works = [comm.isend(filled(n), 1 - comm.rank) for n in range(5)]
            raise ZeroDivisionError(len(works))
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    with parallel.Pool(workers=2, timeout=5) as pool:
        before = pool.run(task, False)
        for _ in range(3):
            with pytest.raises(parallel.WorkerError):
                pool.run(task, True)
        assert max(np.subtract(pool.run(task, False), before)) <= 2


def test_the_death_of_a_sender_is_told_as_such():
    def work(comm):
        comm.barrier()
        if comm.rank == 0:
            comm.isend(filled(1), 1)
            os._exit(3)
        time.sleep(0.3)  # the message comes from nobody
        comm.recv(0)

    with pytest.raises(parallel.WorkerError, match="rank 0 died with exit code 3"):
        parallel.launch(work, workers=2, timeout=10)


@pytest.mark.parametrize("dtype", ["?", "i1", "<u8", "<f2", "<f8", "<c16", "V1"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (1,) * 64])
def test_a_header_says_all(dtype, shape):
    label = Label(3, 12345, 17, 2**40)
    data = header_of(2**31 - 1, np.dtype(dtype), shape, label)
    assert data.size == HEADER
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    assert parsed(data.tobytes()) == Header(2**31 - 1, np.dtype(dtype), shape, nbytes, label)
    assert parsed(header_of(0, np.dtype(dtype), shape, IN_RING).tobytes()).label == IN_RING

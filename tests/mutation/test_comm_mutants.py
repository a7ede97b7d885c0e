"""Would the contract of the communicators notice a wrong collective? Break each on purpose and see.

Every mutant runs on the thread backend under the checks of tests/parallel/test_comm_contract.py itself; a mutant is
noticed if the launch ends in an error. The ring buffer, which only processes use, has a check of its own here.
"""

from __future__ import annotations

from mmap import mmap
from typing import Any

import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm import thread
from minipar.parallel.comm.reduction import UFUNCS, piece_of, reduce_in_order
from minipar.parallel.comm.ring import Ring
from tests.parallel import test_comm_contract as contract

SIZE = 3


def dropped_source(sources: Any, op: str, out: np.ndarray) -> None:
    reduce_in_order(sources[:-1], op, out)


def swapped_order(sources: Any, op: str, out: np.ndarray) -> None:
    reduce_in_order(sources[::-1], op, out)


def no_division(sources: Any, op: str, out: np.ndarray) -> None:
    reduce_in_order(sources, "sum" if UFUNCS[op] is np.add else op, out)


def piece_too_short(length: int, rank: int, size: int) -> slice:
    whole = piece_of(length, rank, size)
    return slice(whole.start, max(whole.start, whole.stop - 1))


def piece_too_early(length: int, rank: int, size: int) -> slice:
    whole = piece_of(length, rank, size)
    return slice(max(0, whole.start - 1), max(0, whole.stop - 1))


broadcast = thread.ThreadCommunicator._broadcast


def wrong_root(self: Any, flat: np.ndarray, root: int) -> None:
    broadcast(self, flat, (root + 1) % self.size)


MUTANTS = {
    "dropped source": (thread, "reduce_in_order", dropped_source),
    "swapped order": (thread, "reduce_in_order", swapped_order),
    "mean without division": (thread, "reduce_in_order", no_division),
    "piece too short": (thread, "piece_of", piece_too_short),
    "piece too early": (thread, "piece_of", piece_too_early),
    "broadcast from the wrong root": (thread.ThreadCommunicator, "_broadcast", wrong_root),
}


def collectives(comm: Any) -> None:
    contract.check_order_of_the_sum(comm)
    contract.check_every_dtype_and_operation(comm)


def noticed() -> bool:
    try:
        parallel.launch(collectives, workers=SIZE, backend="thread", timeout=5)
    except parallel.WorkerError:
        return True
    return False


def test_every_mutant_of_the_collectives_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not noticed()
    survivors = []
    for name, (owner, attribute, mutant) in MUTANTS.items():
        with monkeypatch.context() as patch:
            patch.setattr(owner, attribute, mutant)
            if not noticed():
                survivors.append(name)
    assert survivors == []
    assert len(MUTANTS) == 6


def passes_round_the_ring(kind: type[Ring]) -> bool:
    """Do bytes arrive as they were sent, when messages cross the ring's end?"""
    ring = kind(mmap(-1, kind.NBYTES), 0, lambda: None)
    sent = (np.arange(3 * kind.CAPACITY // 4) % 251).astype(np.uint8)
    for number in range(5):
        message, received = sent + np.uint8(number), np.empty_like(sent)
        if (ring.write(message), ring.read(received)) != (sent.size, sent.size) or (message != received).any():
            return False
    return True


def test_a_ring_that_does_not_wrap_around_is_noticed() -> None:
    class WithoutWrap(Ring):
        def read(self, out: np.ndarray) -> int:
            start = self._read[0] % self.CAPACITY
            count = super().read(out)
            out[self.CAPACITY - start : count] = 0  # what lies at the ring's beginning is never fetched
            return count

    assert passes_round_the_ring(Ring)
    assert not passes_round_the_ring(WithoutWrap)

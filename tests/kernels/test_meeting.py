"""One rank's part of a short all-reduce, with what the other ranks do written into the shared memory by hand."""

import numpy as np
import pytest

pytest.importorskip("numba")

from minipar.kernels.cpu.meeting import (
    ADDED,
    APART,
    DIFFERENT,
    DONE,
    FAILED,
    LATE,
    meet_and_add,
    meet_and_add_in_place,
)

LINE, STEP, ME, SIZE = 8, 16, 8, 3
NUMBER, EPOCH, DIGEST = 5, 9, 123456789


class Shared:
    """What three ranks share; ranks 0 and 2 have arrived, rank 1 is the one that calls."""

    def __init__(self, dtype="float32", n=7):
        rng = np.random.default_rng(n)
        self.lines = np.zeros(SIZE * LINE, np.int64)
        self.board = np.zeros(32, np.int64)
        self.slots = rng.standard_normal(2 * SIZE * STEP).astype(dtype)
        self.flat = rng.standard_normal(n).astype(dtype)
        for other in (0, 2):
            self.lines[other * LINE] = EPOCH
            self.lines[other * LINE + 1 + NUMBER % 2] = DIGEST

    def call(self, *, places=(1, SIZE, ME, 10, 2), step=STEP, half=0, mean=False):
        return meet_and_add(
            self.lines, self.board, self.slots, self.flat, np.array(places), step, half, NUMBER, EPOCH, DIGEST, mean
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 7, 16])
@pytest.mark.parametrize("half", [0, SIZE * STEP])
@pytest.mark.parametrize("mean", [False, True])
def test_adds_in_the_order_of_the_ranks(dtype, n, half, mean):
    shared = Shared(dtype, n)
    first, _, last = (shared.slots[half + rank * STEP : half + rank * STEP + n] for rank in range(SIZE))
    expected = first + shared.flat + last
    expected = expected / SIZE if mean else expected
    before = shared.slots.copy()
    before[half + STEP : half + STEP + n] = shared.flat
    assert shared.call(half=half, mean=mean) == DONE
    np.testing.assert_array_equal(shared.flat, expected, strict=True)
    np.testing.assert_array_equal(shared.slots, before)  # its own slot, and nothing beside it
    assert shared.lines[LINE] == EPOCH
    assert shared.lines[LINE + 1 + NUMBER % 2] == DIGEST
    assert list(shared.board[ME : ME + 3]) == [1, NUMBER, 1]  # back in its own code; one collective call more


def test_a_rank_that_is_late():
    shared = Shared()
    shared.lines[2 * LINE] = EPOCH - 1
    before = shared.flat.copy()
    assert shared.call() == LATE
    np.testing.assert_array_equal(shared.flat, before)
    assert shared.lines[LINE] == EPOCH  # it has arrived: whoever comes later finds it there
    assert shared.board[ME] == 2  # in a collective call


def test_a_rank_that_means_another_call():
    shared = Shared()
    shared.lines[2 * LINE + 1 + NUMBER % 2] = DIGEST + 1
    assert shared.call() == DIFFERENT


def test_a_rank_that_has_failed():
    shared = Shared()
    shared.board[0] = 3
    assert shared.call() == FAILED


@pytest.mark.parametrize(
    ("places", "step", "half"),
    [
        ((3, SIZE, ME, 1, 1), STEP, 0),
        ((-1, SIZE, ME, 1, 1), STEP, 0),
        ((1, SIZE, ME, 1, 1), STEP, -1),
        ((1, SIZE, ME, 1, 1), STEP, 4 * STEP),
        ((1, SIZE, ME, 1, 1), 6, 0),
        ((1, SIZE + 1, ME, 1, 1), STEP, 0),
        ((1, SIZE, 0, 1, 1), STEP, 0),
        ((1, SIZE, 30, 1, 1), STEP, 0),
    ],
)
def test_nothing_is_written_where_it_does_not_belong(places, step, half):
    shared = Shared()
    before = [array.copy() for array in (shared.lines, shared.board, shared.slots, shared.flat)]
    with pytest.raises(ValueError, match="do not fit"):
        shared.call(places=places, step=step, half=half)
    for array, was in zip((shared.lines, shared.board, shared.slots, shared.flat), before):
        np.testing.assert_array_equal(array, was)


# -- registered memory -------------------------------------------------------------------------------------------------

PLACE, TOLD, EACH, START = 77, 4, 30_000, 5


class InPlace(Shared):
    """The same three ranks with arrays in registered memory; 0 and 2 have added up their shares already."""

    def __init__(self, dtype="float32", n=20_001):
        super().__init__(dtype)
        self.n = n
        self.block = np.random.default_rng(n).standard_normal(SIZE * EACH).astype(dtype)
        for other in (0, 2):
            self.lines[other * LINE] = EPOCH + 1
            self.lines[other * LINE + 3 + TOLD % 2] = PLACE

    def call(self, *, places=(1, SIZE, ME, 10, 2), each=EACH, start=START, n=None, mean=False):
        n = self.n if n is None else n
        return meet_and_add_in_place(
            self.lines, self.board, self.block, np.array(places), each, start, n,
            NUMBER, EPOCH, DIGEST, PLACE, TOLD, mean,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 20_001])
@pytest.mark.parametrize("mean", [False, True])
def test_a_rank_adds_up_its_share_in_the_memory_of_all(dtype, n, mean):
    shared = InPlace(dtype, n)
    expected = shared.block.copy()
    share = -(-n // SIZE)
    parts = [
        slice(rank * EACH + START + min(n, share), rank * EACH + START + min(n, 2 * share)) for rank in range(SIZE)
    ]
    total = expected[parts[0]] + expected[parts[1]] + expected[parts[2]]
    for part in parts:
        expected[part] = total / SIZE if mean else total
    assert shared.call(mean=mean) == DONE
    np.testing.assert_array_equal(shared.block, expected, strict=True)
    assert shared.lines[LINE] == EPOCH + 1
    assert list(shared.board[ME : ME + 3]) == [1, NUMBER, 1]


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda shared: shared.lines.__setitem__(2 * LINE, EPOCH - 1), LATE),
        (lambda shared: shared.lines.__setitem__(2 * LINE + 1 + NUMBER % 2, DIGEST + 1), DIFFERENT),
        (lambda shared: shared.lines.__setitem__(2 * LINE + 3 + TOLD % 2, PLACE + 1), APART),
        (lambda shared: shared.board.__setitem__(0, 3), FAILED),
    ],
)
def test_nothing_is_added_unless_all_mean_the_same_place(spoil, status):
    shared = InPlace()
    spoil(shared)
    before = shared.block.copy()
    assert shared.call() == status
    np.testing.assert_array_equal(shared.block, before)
    assert shared.lines[LINE] == EPOCH


def test_a_rank_that_is_late_at_the_end():
    shared = InPlace()
    shared.lines[0] = EPOCH
    assert shared.call() == ADDED
    assert shared.lines[LINE] == EPOCH + 1


@pytest.mark.parametrize(
    "wrong", [{"n": EACH}, {"start": -1}, {"n": -1}, {"each": EACH + 1}, {"places": (3, SIZE, ME, 1, 1)}]
)
def test_no_element_outside_of_the_block_is_touched(wrong):
    shared = InPlace()
    before = shared.block.copy()
    with pytest.raises(ValueError, match="do not fit"):
        shared.call(**wrong)
    np.testing.assert_array_equal(shared.block, before)

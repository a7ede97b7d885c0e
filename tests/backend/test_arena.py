"""The arena: memory comes back, is never shared by two, is bounded, and spares the page faults."""

import gc
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipar.kernels.cpu import arena

REAL = np.dtype(np.float32)
LARGE = (arena.LEAST // 4 + 200,)


@pytest.fixture(autouse=True)
def _emptied():
    arena.give_back()
    yield
    arena.give_back()


def address(array):
    return array.__array_interface__["data"][0]


def test_it_is_an_ordinary_array():
    for shape, dtype in [((300, 500), np.float64), ((2, 3), np.float32), ((0, 10**6), np.int64), ((), np.int8)]:
        array = arena.empty(shape, np.dtype(dtype))
        assert type(array) is np.ndarray
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.flags.carray
    assert address(arena.empty(LARGE, REAL)) % 64 == 0
    assert not arena.empty((10**6,), np.dtype(object)).any()  # None, not leftovers taken for objects


def test_memory_comes_back_latest_first_and_to_sizes_nearly_equal():
    first, second = arena.empty(LARGE, REAL), arena.empty(LARGE, REAL)
    places = address(first), address(second)
    assert places[0] != places[1]
    del first
    assert address(arena.empty((arena.LEAST + 4000,), np.dtype(np.uint8))) == places[0]
    first = arena.empty(LARGE, REAL)
    del second, first
    assert address(arena.empty(LARGE, REAL)) == places[0]


def test_what_anything_looks_at_is_not_handed_out():
    looks = [
        lambda x: x[5:],
        lambda x: x[5:].reshape(-1, 1).T[::-1],
        memoryview,
        lambda x: np.frombuffer(x, np.uint8)[7:],
        lambda x: x.view(np.int32),
        lambda x: np.from_dlpack(x),
        lambda x: np.lib.stride_tricks.as_strided(x, (3,), (4,)),
        lambda x: [x],
    ]
    for look in looks:
        array = arena.empty(LARGE, REAL)
        place, kept = address(array), look(array)
        del array
        others = [arena.empty(LARGE, REAL) for _ in range(5)]
        assert place not in [address(other) for other in others]
        del kept, others
        gc.collect()
        assert place in [address(other) for other in [arena.empty(LARGE, REAL) for _ in range(6)]]


@given(st.lists(st.tuples(st.integers(1, 200_000), st.integers(0, 9)), max_size=40))
@settings(max_examples=50, deadline=None)
def test_living_arrays_keep_their_numbers(actions):
    """Ten places; each action puts a new array, or a view of it, in one of them. Every array holds its own number."""
    living = {}
    for number, (size, place) in enumerate(actions):
        array = arena.empty((size,), REAL)
        array.fill(number)
        living[place] = number, array[size // 3 :] if size % 2 else array
        for written, held in living.values():
            assert (held == written).all()


def test_threads_share_the_shelves_and_never_a_block():
    wrong = []

    def work(number):
        for _ in range(300):
            arrays = [arena.empty((20_000 + 1000 * k,), REAL) for k in range(3)]
            for k, array in enumerate(arrays):
                array.fill(number + k)
            wrong.extend(k for k, array in enumerate(arrays) if (array != number + k).any())

    crowd = [threading.Thread(target=work, args=(10 * number,)) for number in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert wrong == []
    assert arena._kept.size == sum(size * len(shelf.blocks) for size, shelf in arena._shelves.items())


def test_a_cycle_gives_its_memory_back_when_it_is_collected():
    gc.collect()
    loop = [arena.empty(LARGE, REAL)]
    loop.append(loop)
    place = address(loop[0])
    del loop
    gc.collect()
    assert address(arena.empty(LARGE, REAL)) == place


def test_what_is_kept_is_bounded_and_the_stalest_goes_first(monkeypatch):
    old, new = (20_000,), (40_000,)  # 80 and 160 KB
    monkeypatch.setattr(arena, "KEEP", 500_000)
    arrays = [arena.empty(old, REAL) for _ in range(3)] + [arena.empty(new, REAL) for _ in range(2)]
    arrays.clear()
    kept = {size: len(shelf.blocks) for size, shelf in arena._shelves.items() if shelf.blocks}
    assert kept == {80 * 1024: 2, 160 * 1024: 2}
    assert arena._kept.size == 480 * 1024 <= 500_000
    arena.give_back()
    assert arena._kept.size == 0
    assert not any(shelf.blocks for shelf in arena._shelves.values())


def test_a_repeated_step_touches_no_new_page():
    def step():
        arrays = [arena.empty((300_000,), REAL) for _ in range(8)]
        for array in arrays:
            array.fill(1)

    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 8 * 300_000 * 4 // 4096  # one step's pages


def test_arrays_that_outlive_the_interpreter_say_nothing():
    program = "import numpy as n; from minipar.kernels.cpu import arena; n.kept = arena.empty((10**6,), n.dtype('f'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""

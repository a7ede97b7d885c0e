"""Philox against its published vectors, draws against their distributions, slices against the whole."""

import copy
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minipar
from minipar.backend import random
from minipar.backend.random import Generator, key_of
from minipar.kernels.reference.philox import philox, words

FLOATS = [np.dtype(name) for name in ("float16", "float32", "float64")]

# Random123 1.14, tests/kat_vectors, "philox4x32 10": counter, key, the four words.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


# What seed 42 draws, in this order.
UNIFORM = [[0.6502446532249451, 0.24120503664016724], [0.718129575252533, 0.6233153343200684]]
NORMAL = [[-1.0291556328930143, -1.1590900725088211], [0.1650907477990092, 0.4076059789321686]]
INTEGERS = [702, 708, 659, 617]
ORDER = [0, 2, 1, 4, 5, 3]


def hex_words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def draws(generator: Generator, shape, rows=None) -> dict[str, np.ndarray]:
    """One draw of every distribution."""
    found = {f"uniform {dtype}": generator.uniform(shape, dtype, rows=rows) for dtype in FLOATS}
    found |= {f"normal {dtype}": generator.normal(shape, dtype, rows=rows) for dtype in FLOATS}
    return found | {"integers": generator.integers(-5, 1000, shape, rows=rows)}


# --- Philox ---


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(counter, key, expected):
    found = philox([np.uint64(word) for word in hex_words(counter)], tuple(hex_words(key)))
    assert [int(word) for word in found] == hex_words(expected)


def test_philox_takes_arrays_of_counters():
    counters = np.array([hex_words(counter) for counter, _, _ in KNOWN_ANSWERS], dtype=np.uint64).T
    together = np.array(philox(counters, (7, 9)))
    for i, column in enumerate(counters.T):
        assert together[:, i].tolist() == [int(word) for word in philox(column, (7, 9))]


def test_the_words_of_a_row_are_philox_of_block_row_and_draw():
    drawn = words((3, 4), draw=5 + (6 << 32), rows=range(10, 30_000, 7000), width=9)
    for i, row in enumerate(range(10, 30_000, 7000)):
        blocks = [philox([np.uint64(c) for c in (block, row, 5, 6)], (3, 4)) for block in range(3)]
        assert drawn[i].tolist() == [int(word) for block in blocks for word in block][:9]


def test_a_long_draw_does_not_depend_on_how_it_is_cut():
    whole = words((1, 2), 0, range(3), 50_000)  # more counters than are drawn at a time
    assert np.array_equal(whole[1:2], words((1, 2), 0, range(1, 2), 50_000))
    assert np.array_equal(whole[:, :777], words((1, 2), 0, range(3), 777))


def test_a_row_that_does_not_fit_in_a_counter_word_is_an_error():
    words((0, 0), 0, range(2**32 - 1, 2**32), 1)
    for rows in (range(2**32, 2**32 + 1), range(-1, 1), range(2**32 - 1, 2**32 + 1)):
        with pytest.raises(ValueError, match="rows must lie in"):
            words((0, 0), 0, rows, 1)


# --- distributions ---


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_uniform_uses_every_bit_and_never_reaches_one(dtype):
    bits = {"float16": 11, "float32": 24, "float64": 53}[dtype.name]
    ones = np.full((1, 2), 0xFFFFFFFF, np.uint32)
    assert float(random._unit(ones, dtype)[0, 0]) == 1 - 2.0**-bits
    assert float(random._unit(ones * 0, dtype)[0, 0]) == 0
    drawn = Generator().uniform((20_000,), dtype)
    assert drawn.dtype == dtype
    steps = drawn.astype(np.float64) * 2.0**bits
    assert np.array_equal(steps, np.floor(steps))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    lowest = steps.astype(np.int64) & 0xFF  # the last bits are as random as the first
    assert np.all(np.abs(np.bincount(lowest, minlength=256) / 20_000 - 1 / 256) < 6 * np.sqrt(1 / 256 / 20_000))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_uniform_and_normal_follow_their_distributions(dtype):
    n = 40_000
    uniform = np.sort(Generator().manual_seed(1).uniform((n,), dtype).astype(np.float64))
    steps = np.arange(1, n + 1) / n
    rounding = float(np.finfo(dtype).eps)
    assert np.abs(uniform - steps).max() < 1.95 / np.sqrt(n) + rounding  # Kolmogorov–Smirnov at 0.1 %
    normal = Generator().manual_seed(2).normal((200, n // 200), dtype).astype(np.float64).ravel()
    for power, moment, deviation in ((1, 0, 1), (2, 1, np.sqrt(2)), (3, 0, np.sqrt(15)), (4, 3, np.sqrt(96))):
        assert abs((normal**power).mean() - moment) < 4 * deviation / np.sqrt(n) + 4 * rounding, power
    from math import erf

    cumulative = np.array([0.5 * (1 + erf(x / np.sqrt(2))) for x in np.sort(normal)])
    assert np.abs(cumulative - steps).max() < 1.95 / np.sqrt(n) + rounding
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 4 / np.sqrt(n)


def test_what_a_seed_draws_stays_the_same_from_version_to_version():
    """A seed in a notebook, a paper or a checkpoint must mean the same numbers tomorrow: change these knowingly."""
    generator = Generator().manual_seed(42)
    assert generator.uniform((2, 2), FLOATS[1]).tolist() == UNIFORM
    assert generator.normal((2, 2), FLOATS[2]) == pytest.approx(np.array(NORMAL), rel=1e-14)
    assert generator.integers(0, 1000, (4,)).tolist() == INTEGERS
    assert generator.permutation(6).tolist() == ORDER


def test_real_numbers_are_of_floating_dtypes_only():
    for draw in (Generator().uniform, Generator().normal):
        with pytest.raises(TypeError, match="floating-point dtype, not int64"):
            draw((2,), np.dtype(np.int64))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 4), (0, 10), (2**40, 2**40 + 3), (-(2**63), 2**63 - 1)])
def test_integers_lie_in_their_range_without_bias(low, high):
    drawn = Generator().integers(low, high, (7000,))
    assert drawn.dtype == np.int64
    assert low <= int(drawn.min()) <= int(drawn.max()) < high
    size = high - low
    bins = min(size, 10)
    counts = np.bincount([(int(x) - low) * bins // size for x in drawn], minlength=bins)
    expected = 7000 / bins  # every range here is cut into bins of equal size
    assert np.all(np.abs(counts - expected) <= 5 * np.sqrt(expected)), counts


def test_integers_of_a_range_wider_than_32_bits_use_all_of_it():
    drawn = Generator().integers(0, 2**62, (4000,))
    for bit in range(62):
        assert abs(((drawn >> bit) & 1).mean() - 0.5) < 5 * 0.5 / np.sqrt(4000), bit


@pytest.mark.parametrize(("low", "high"), [(3, 3), (4, 3), (0, 2**63), (-(2**63) - 1, 0)])
def test_integers_refuse_empty_and_unheard_of_ranges(low, high):
    with pytest.raises(ValueError, match=f"low={low}, high={high}"):
        Generator().integers(low, high, (2,))


def test_a_permutation_is_one_and_every_order_comes_equally_often():
    generator = Generator()
    assert sorted(generator.permutation(1000).tolist()) == list(range(1000))
    assert generator.permutation(0).tolist() == []
    counts: dict = {}
    for _ in range(2400):
        order = tuple(generator.permutation(4).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((c - 100) ** 2 / 100 for c in counts.values()) < 55  # chi-squared, 23 degrees of freedom, p = 2e-4
    with pytest.raises(ValueError, match="0 or more"):
        generator.permutation(-1)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 4)])
def test_any_shape_can_be_drawn(shape):
    for name, drawn in draws(Generator(), shape).items():
        assert isinstance(drawn, np.ndarray), name
        assert drawn.shape == shape, name


# --- rows: a shard draws its slice of the whole ---


@given(
    samples=st.integers(1, 9),
    inner=st.lists(st.integers(0, 5), max_size=2),
    cut=st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 3)),
    backwards=st.booleans(),
)
def test_rows_draw_exactly_the_slice_of_the_whole_draw(samples, inner, cut, backwards):
    rows = range(samples)[slice(*cut)]
    rows = rows[::-1] if backwards else rows
    shape = (samples, *inner)
    whole, part = draws(Generator().manual_seed(11), shape), draws(Generator().manual_seed(11), shape, rows)
    for name in whole:
        assert np.array_equal(part[name], whole[name][list(rows)]), name


@pytest.mark.parametrize(("shape", "rows"), [((4, 2), range(3, 5)), ((4,), range(-1, 2)), ((), range(1))])
def test_rows_outside_the_draw_are_an_error(shape, rows):
    with pytest.raises(ValueError, match="rows must lie within"):
        Generator().uniform(shape, FLOATS[1], rows=rows)


# --- keys, states, seeds ---


def test_every_part_of_the_key_matters():
    def drawn(seed=0, names=(), before=0):
        generator = Generator().manual_seed(seed).stream(*names)
        for _ in range(before):
            generator.uniform((1,), FLOATS[1])
        return generator.uniform((4,), FLOATS[2]).tobytes()

    settings = [{}, {"seed": 1}, {"names": ("a",)}, {"names": ("a", 1)}, {"names": ("a", "1")}, {"names": (1, "a")}]
    settings += [{"names": ("a1",)}, {"before": 1}, {"before": 2}, {"seed": 2**63}, {"seed": 2**64 - 1}]
    assert len({drawn(**setting) for setting in settings}) == len(settings)
    assert drawn(seed=5, names=("a", 2)) == drawn(seed=np.int32(5), names=(np.str_("a"), np.int64(2)))


def test_key_names_are_strings_and_ints():
    assert key_of(0, "layer", 3) == key_of(np.int64(0), "layer", np.uint8(3))
    assert all(0 <= word < 2**32 for word in key_of(2**64 - 1, "layer"))
    with pytest.raises(TypeError):
        key_of(0, 1.5)


def test_a_stream_depends_on_seed_and_names_and_not_on_the_draws_made():
    source = Generator().manual_seed(3)
    before = source.stream("step", 4)
    source.normal((10,), FLOATS[1])
    after = source.stream("step").stream(4)
    assert before.get_state() == after.get_state() == (3, 0)
    assert np.array_equal(before.uniform((5,), FLOATS[1]), after.uniform((5,), FLOATS[1]))
    assert source.get_state() == (3, 1)


def test_a_state_brings_the_same_draws_back():
    generator = Generator().manual_seed(8)
    generator.permutation(3)
    state = generator.get_state()
    first, twin = draws(generator, (3, 2)), copy.deepcopy(generator)
    generator.manual_seed(99).set_state(state)
    for name, again in draws(generator, (3, 2)).items():
        assert np.array_equal(first[name], again), name
    assert generator.get_state() == twin.get_state()


@pytest.mark.parametrize("state", [3, (1,), (1, 2, 3), (1.5, 0), None, ("a", 0)])
def test_a_state_of_another_kind_is_an_error(state):
    with pytest.raises(TypeError, match="state must be what get_state returned"):
        Generator().set_state(state)


@pytest.mark.parametrize("state", [(-1, 0), (2**64, 0), (0, -1), (0, 2**64)])
def test_a_state_out_of_range_is_an_error(state):
    with pytest.raises(ValueError, match=r"\[0, 2\*\*64\)"):
        Generator().set_state(state)


@pytest.mark.parametrize("seed", [0, 7, 2**63, 2**64 - 1, -1, -(2**63), np.int64(5)])
def test_seeds_are_taken_as_in_pytorch(seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    assert Generator().manual_seed(seed).initial_seed() == torch.Generator().manual_seed(int(seed)).initial_seed()


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 10**30])
def test_seeds_of_more_than_64_bits_are_an_error_as_in_pytorch(seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    with pytest.raises((ValueError, RuntimeError)):
        torch.manual_seed(seed)
    with pytest.raises(ValueError, match=str(seed)):
        minipar.manual_seed(seed)


@pytest.mark.parametrize("seed", [1.0, "1", None, True, np.float32(1)])
def test_seeds_that_are_not_ints_are_an_error(seed):
    with pytest.raises(TypeError, match=f"not {type(seed).__name__}"):
        minipar.manual_seed(seed)


def test_seed_draws_a_seed_of_its_own():
    one, other = Generator(), Generator()
    assert one.seed() != other.seed()
    assert one.get_state() == (one.initial_seed(), 0)


def test_a_generator_lives_on_the_cpu():
    assert Generator("cpu").initial_seed() == Generator(device=minipar.device("cpu")).initial_seed() == 0
    with pytest.raises(NotImplementedError, match="device='cuda'"):
        Generator("cuda")


# --- the thread's own generator ---


def test_manual_seed_starts_the_threads_draws_anew():
    assert minipar.manual_seed(5) is random.default_generator()
    first = minipar.rand(4).tolist()
    assert minipar.rand(4).tolist() != first
    minipar.manual_seed(5)
    assert minipar.rand(4).tolist() == first
    assert minipar.initial_seed() == 5


def test_every_thread_has_a_generator_of_its_own():
    minipar.manual_seed(5)
    seen = []

    def other():
        seen.append(minipar.initial_seed())
        minipar.manual_seed(6)
        seen.append(minipar.rand(2).tolist())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert random.default_generator().get_state() == (5, 0)
    minipar.manual_seed(6)
    assert seen == [0, minipar.rand(2).tolist()]


def test_drawing_from_replaces_the_threads_generator_until_it_ends():
    minipar.manual_seed(1)
    inside = []

    def fail_inside():
        with random.drawing_from(Generator().manual_seed(2)):
            inside.extend(minipar.rand(3).tolist())
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert random.default_generator().get_state() == (1, 0)
    assert inside == minipar.rand(3, generator=Generator().manual_seed(2)).tolist()

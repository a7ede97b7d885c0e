"""The all-reduce algorithms: simulated message by message, counted, broken on purpose, and run on real ranks."""

import functools
import inspect
import math
import time
import types

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from minipar import parallel
from minipar.parallel import CommunicatorError, all_reduce_cost, simulate_all_reduce
from minipar.parallel.comm.algorithms import ALGORITHMS, halving_doubling, lower_bound, master, ring, tree

MODULES = {"ring": ring, "tree": tree, "halving-doubling": halving_doubling, "master": master}
DTYPES = ["b1", "i1", "u1", "i2", "u4", "i8", "f2", "f4", "f8", "c8", "c16"]
OPS = ["sum", "mean", "max", "min", "prod"]
names = pytest.mark.parametrize("name", sorted(ALGORITHMS))


def allowed(op, dtype):
    return (op != "mean" or dtype.kind in "fc") and (op not in ("max", "min") or dtype.kind != "c")


# ── what comes out ────────────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def whole_numbers(draw):
    """Ranks' arrays, of any dtype, whose sums and products are exact in any order; an operation; the right result."""
    size = draw(st.integers(1, 8))
    length = draw(st.integers(0, 20))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    op = draw(st.sampled_from([op for op in OPS if allowed(op, dtype)]))
    low, high = (0, 1) if dtype.kind in "bu" else (-2, 2)
    row = st.lists(st.integers(low, high), min_size=length, max_size=length)
    rows = [draw(row) for _ in range(size)]
    columns = list(zip(*rows)) if length else []
    how = {"sum": sum, "mean": sum, "max": max, "min": min, "prod": math.prod}[op]
    right = np.array([how(column) for column in columns], np.int64)
    with np.errstate(all="ignore"):
        right = right.astype(dtype)  # int8 sums wrap, the sum of booleans is "or"
    if op == "mean":
        right /= size
    return [np.array(row, dtype) for row in rows], op, right


@names
@settings(max_examples=150, deadline=None)
@given(case=whole_numbers())
def test_any_dtype_length_and_number_of_ranks(name, case):
    arrays, op, right = case
    before = [array.tobytes() for array in arrays]
    run = simulate_all_reduce(name, arrays, op)
    for result in run.results:
        assert (result.shape, result.dtype) == (right.shape, right.dtype)
        np.testing.assert_array_equal(result, right)
    assert run.faults == []
    assert [array.tobytes() for array in arrays] == before


@names
@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(1, 8), length=st.integers(0, 40), op=st.sampled_from(OPS), dtype=st.sampled_from(["f4", "f8"]),
    seed=st.integers(0, 2**32),
)  # fmt: skip
def test_rounding_stays_within_its_bound_and_bits_are_the_same_everywhere(name, size, length, op, dtype, seed):
    rng = np.random.default_rng(seed)
    arrays = [(rng.standard_normal(length) * 10.0 ** rng.integers(-3, 4, length)).astype(dtype) for _ in range(size)]
    run = simulate_all_reduce(name, arrays, op)
    assert run.faults == []
    assert len({result.tobytes() for result in run.results}) == 1


@names
def test_nan_infinity_and_negative_zero(name):
    arrays = [np.array([np.nan if rank == 1 else 1.0, np.inf, -0.0]) for rank in range(5)]
    for op, right in (("max", [np.nan, np.inf, -0.0]), ("sum", [np.nan, np.inf, -0.0])):
        run = simulate_all_reduce(name, arrays, op)
        assert run.faults == []
        np.testing.assert_array_equal(run.results[4], right)
        assert np.signbit(run.results[4][2])


@names
def test_a_shape_is_kept(name):
    run = simulate_all_reduce(name, [np.full((2, 3), rank).T for rank in range(3)])
    np.testing.assert_array_equal(run.results[2], np.full((3, 2), 3))
    assert simulate_all_reduce(name, [np.array(2), np.array(3)], "prod").results[0] == 6


ROUGH = [np.float32(value) for value in (1e8, 3.3, -1e8, 7.7, 2.5e7, -0.1, 1e-3, -2.5e7)]


def left_to_right(values):
    return functools.reduce(np.add, values)


def binary_tree(values):
    while len(values) > 1:
        pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
        values = [left_to_right(pair) for pair in pairs]
    return values[0]


@pytest.mark.parametrize("size", range(1, 9))
def test_each_adds_in_the_order_that_it_documents(size):
    values = ROUGH[:size]
    arrays = [np.full(size, value) for value in values]
    turned = [left_to_right([*values[i + 1 :], *values[: i + 1]]) for i in range(size)]
    expected = {"master": left_to_right(values), "tree": binary_tree(values), "ring": turned}
    if size & (size - 1) == 0:
        expected["halving-doubling"] = binary_tree(values)
    for name, right in expected.items():
        result = simulate_all_reduce(name, arrays).results[size - 1]
        np.testing.assert_array_equal(result, np.broadcast_to(right, size).astype(np.float32), err_msg=name)


def test_five_are_folded_to_four():
    a, b, c, d, e = ROUGH[:5]
    right = ((a + b) + c) + (d + e)
    assert simulate_all_reduce("halving-doubling", [np.array([x]) for x in ROUGH[:5]]).results[3] == right


# ── what it costs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@names
@pytest.mark.parametrize("size", [*range(1, 10), 13, 16, 17])
def test_counts_are_those_of_the_closed_form(name, size):
    for length in (0, 1, 2, 3, 7, 8, 9, 16, 23, 64, 121):
        run = simulate_all_reduce(name, [np.ones(length, np.float32)] * size)
        cost = all_reduce_cost(name, size, 4 * length, itemsize=4)
        assert (run.steps, run.bytes, run.path_bytes) == (cost.steps, cost.bytes, cost.path_bytes), length
        assert run.seconds(3.0, 0.5) == pytest.approx(cost.seconds(3.0, 0.5))  # both on one and the same path
        assert sum(traffic.bytes for traffic in run.traffic) == 2 * (size - 1) * 4 * length
        least = all_reduce_cost("lower bound", size, 4 * length, itemsize=4)
        for what in ("steps", "bytes", "path_bytes", "reduced"):
            assert getattr(cost, what) >= getattr(least, what), what


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_closed_forms_are_the_literatures(size):
    n, levels, even = 1600, int(math.log2(size)), 2 * (size - 1) / size
    expected = {  # α, β, γ
        "ring": (2 * (size - 1), even * n, even * n / 2),
        "halving-doubling": (2 * levels, even * n, even * n / 2),
        "tree": (2 * levels, 2 * levels * n, levels * n),
        "master": (2 * (size - 1), 2 * (size - 1) * n, (size - 1) * n),
        "lower bound": (levels, even * n, even * n / 2),
    }
    for name, right in expected.items():
        cost = all_reduce_cost(name, size, n)
        assert (cost.steps, cost.path_bytes, cost.reduced) == right, name
        assert cost.seconds(1e-5, 1e-9, 1e-10) == pytest.approx(np.dot(right, (1e-5, 1e-9, 1e-10)))


def test_six_ranks_by_hand():
    assert all_reduce_cost("halving-doubling", 6, 80).steps == 6  # fold in, 2 + 2, fold out
    assert all_reduce_cost("halving-doubling", 6, 80).path_bytes == 80 + 2 * (40 + 20) + 80
    assert all_reduce_cost("tree", 6, 80).steps == 6
    assert lower_bound(6, 3).bytes == 5


def test_reductions_are_counted(monkeypatch):
    """γ's factor: the most that any rank reduces, since whoever reduces most is on the critical path here."""
    from minipar.parallel.comm import reduction

    reduced = {}

    def counting(a, b, out):
        if current.rank is not None:  # else it is the verdict that adds up
            reduced[current.rank] = reduced.get(current.rank, 0) + out.nbytes
        return np.add(a, b, out=out)

    current = types.SimpleNamespace(rank=None)
    monkeypatch.setitem(reduction.UFUNCS, "sum", counting)
    for name, function in ALGORITHMS.items():
        for size in (2, 4, 5, 8):
            reduced.clear()

            def watched(peers, flat, op, function=function):
                steps = function(peers, flat, op)
                while True:
                    current.rank = peers.rank
                    try:
                        next(steps)
                    except StopIteration:
                        return
                    finally:
                        current.rank = None
                    yield

            simulate_all_reduce(watched, [np.ones(40)] * size)
            most = all_reduce_cost(name, size, 320, 8).reduced
            assert max(reduced.values()) == most, (name, size)


# ── broken on purpose ─────────────────────────────────────────────────────────────────────────────────────────────────

MUTANTS = [
    ("ring", "(peers.rank + 1) % peers.size, (peers.rank - 1)", "(peers.rank + 2) % peers.size, (peers.rank - 1)"),
    ("ring", "(peers.rank + 1) % peers.size, (peers.rank - 1)", "(peers.rank - 1) % peers.size, (peers.rank + 1)"),
    ("ring", "peers.rank - step - 1)", "peers.rank - step)"),
    ("ring", "range(1, peers.size)", "range(1, peers.size - 1)"),
    ("ring", "    yield from all_gather(peers, flat)\n", ""),
    ("ring", "UFUNCS[op](so_far, arriving, out=arriving)", "arriving[...] = so_far"),
    ("ring", "    divide_mean(_piece(flat, peers, peers.rank), op, peers.size)\n", ""),
    ("ring", "divide_mean(_piece(flat, peers, peers.rank)", "divide_mean(flat[:1]"),
    ("tree", "    yield from broadcast(peers, flat)\n", ""),
    (
        "tree",
        "peers.rank + bit < peers.size:\n            other",
        "peers.rank + bit < peers.size - 1:\n            other",
    ),
    ("tree", "yield from peers.send(flat, peers.rank - bit)\n", "yield from peers.send(flat, 0)\n"),
    ("tree", "while bit > 1:", "while bit > 2:"),
    ("tree", "divide_mean(flat, op, peers.size)", "divide_mean(flat, op, peers.size - 1)"),
    ("tree", "UFUNCS[op](flat, other, out=flat)", "UFUNCS[op](other, other, out=flat)"),
    ("halving-doubling", "if place & bit else (lower, upper)", "if place & 1 else (lower, upper)"),
    ("halving-doubling", "in reversed(steps)", "in steps"),
    ("halving-doubling", "in reversed(steps)", "in reversed(steps[1:])"),
    ("halving-doubling", "UFUNCS[op](flat[kept], theirs", "UFUNCS[op](theirs, theirs"),
    ("halving-doubling", "complete = kept", "complete = given"),
    ("halving-doubling", "        UFUNCS[op](flat, neighbours, out=flat)\n", ""),
    ("halving-doubling", "        yield from peers.send(flat, rank + 1)\n", "        pass\n"),
    ("halving-doubling", "partner = 2 * other if", "partner = other if"),
    ("master", "workers = range(1, peers.size)", "workers = range(2, peers.size)"),
    ("master", "array = yield from peers.recv(worker)", "array = yield from peers.recv(1)"),
    ("master", "        flat[...] = yield from peers.recv(0)\n", "        yield from peers.recv(0)\n"),
    ("master", "        yield from peers.send(flat, worker)\n", "        yield from peers.send(flat, 1)\n"),
]


def is_noticed(algorithm, name):
    """Whether a checked run of some size shows that this is not the algorithm it was."""
    values = np.random.default_rng(0).standard_normal((8, 21)).astype(np.float32)
    for size in (2, 3, 4, 6, 8):
        for op in ("sum", "mean"):
            try:
                run = simulate_all_reduce(algorithm, list(values[:size]), op)
            except (CommunicatorError, ValueError):
                return True
            right = simulate_all_reduce(name, list(values[:size]), op)
            if run.faults or run.results[0].tobytes() != right.results[0].tobytes():
                return True
    return False


@pytest.mark.parametrize(("name", "old", "new"), MUTANTS)
def test_a_mutant_is_noticed(name, old, new):
    source = inspect.getsource(MODULES[name])
    assert old in source
    mutant = {"__name__": MODULES[name].__name__, "__package__": MODULES[name].__package__}
    exec(source.replace(old, new), mutant)
    assert is_noticed(mutant["all_reduce"], name)


@names
def test_what_is_not_mutated_is_not_noticed(name):
    assert not is_noticed(ALGORITHMS[name], name)


# ── the simulation, as a student meets it ─────────────────────────────────────────────────────────────────────────────


def test_it_is_read_message_by_message():
    run = simulate_all_reduce("halving-doubling", [np.arange(5.0), np.ones(5), np.zeros(5)])
    assert str(run).splitlines() == [
        "step 1: rank 1 → rank 0, elements 0:5, 40 bytes",
        "step 2: rank 0 → rank 2, elements 3:5, 16 bytes",
        "step 2: rank 2 → rank 0, elements 0:3, 24 bytes",
        "step 3: rank 0 → rank 2, elements 0:3, 24 bytes",
        "step 3: rank 2 → rank 0, elements 3:5, 16 bytes",
        "step 4: rank 0 → rank 1, elements 0:5, 40 bytes",
        "4 steps (at least 2); the busiest rank sends 80 bytes (at least 56), all together 160",
        "right: every rank has the result, with the same bits",
    ]


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("ring", ["1>2 2>3 3>0 0>1", "2>3 3>0 0>1 1>2", "3>0 0>1 1>2 2>3"] * 2),
        ("tree", ["1>0 3>2", "2>0", "0>2", "0>1 2>3"]),
        ("halving-doubling", ["0>1 1>0 2>3 3>2", "0>2 2>0 1>3 3>1", "0>2 2>0 1>3 3>1", "0>1 1>0 2>3 3>2"]),
        ("master", ["1>0", "2>0", "3>0", "0>1", "0>2", "0>3"]),
    ],
)
def test_four_ranks_do_what_the_docstring_draws(name, picture):
    run = simulate_all_reduce(name, [np.zeros(8)] * 4)
    steps = [set() for _ in range(run.steps)]
    for message in run.messages:
        steps[message.step - 1].add(f"{message.source}>{message.dest}")
    assert steps == [set(step.split()) for step in picture]
    if name == "ring":
        went = [(m.source, m.elements.start // 2) for m in run.messages if m.step in (1, 4)]
        assert sorted(went) == sorted([(1, 0), (2, 1), (3, 2), (0, 3), (0, 0), (1, 1), (2, 2), (3, 3)])


def recursive_doubling(peers, flat, op):
    """The first puzzle of docs/all-reduce.md, solved."""
    bit = 1
    while bit < peers.size:
        flat += yield from peers.exchange(flat, peers.rank ^ bit, peers.rank ^ bit)
        bit *= 2


def test_a_solved_puzzle():
    run = simulate_all_reduce(recursive_doubling, [np.full(6, 0.1 * rank) for rank in range(4)])
    assert run.faults == []
    assert (run.steps, run.bytes) == (2, 2 * 48)
    assert run.seconds(1.0, 0.0) == 2.0


def waits_only(peers, flat, op):
    yield from peers.recv((peers.rank + 1) % peers.size)


def returns_at_once(peers, flat, op):
    if peers.rank == 0:
        yield from peers.recv(1)


def yields_for_ever(peers, flat, op):
    while True:
        yield


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (waits_only, "rank 0 waits for a message of rank 1; rank 1 waits for a message of rank 0"),
        (returns_at_once, "rank 0 waits for a message of rank 1; rank 1 has returned"),
        (yields_for_ever, "rank 0 yields, and neither sends nor receives"),
    ],
)
def test_a_standstill_is_an_error_that_says_who_waits_for_whom(algorithm, words):
    with pytest.raises(CommunicatorError, match=f"nobody can go on: .*{words}"):
        simulate_all_reduce(algorithm, [np.ones(2)] * 2)


def forgets_a_send(peers, flat, op):
    peers.send(flat, (peers.rank + 1) % peers.size)  # here
    flat += yield from peers.recv((peers.rank - 1) % peers.size)


def forgets_the_last_message(peers, flat, op):
    if peers.rank == 0:
        flat += yield from peers.recv(1)
        peers.send(flat, 1)  # here
    else:
        yield from peers.send(flat, 0)
        flat[...] = yield from peers.recv(0)


def forgets_in_a_function_of_its_own(peers, flat, op):
    def pass_on():
        peers.exchange(flat, 1 - peers.rank, 1 - peers.rank)  # here
        yield from peers.send(flat, 1 - peers.rank)

    yield from pass_on()


def forgets_from(peers, flat, op):
    if peers.rank:
        yield from peers.send(flat, 0)
    else:
        flat += yield peers.recv(1)  # here


FORGETFUL = [forgets_a_send, forgets_the_last_message, forgets_in_a_function_of_its_own, forgets_from]


def the_line_that_forgets(algorithm):
    lines, first = inspect.getsourcelines(algorithm)
    return f"test_algorithms.py:{first + next(n for n, line in enumerate(lines) if '# here' in line)} in "


@pytest.mark.parametrize("algorithm", FORGETFUL)
def test_a_forgotten_yield_from_is_told_with_its_line(algorithm):
    with pytest.raises(CommunicatorError, match=r"^`yield from` is m") as caught:
        simulate_all_reduce(algorithm, [np.ones(2)] * 2)
    assert the_line_that_forgets(algorithm) in str(caught.value)


@pytest.mark.parametrize("backend", ["thread", "process"])
@pytest.mark.parametrize("algorithm", FORGETFUL)
def test_on_real_ranks_nobody_waits_for_a_forgotten_yield_from(algorithm, backend):
    started = time.monotonic()
    with pytest.raises(parallel.WorkerError, match="raised CommunicatorError: `yield from` is m") as caught:
        parallel.launch(
            lambda comm: comm.all_reduce(np.ones(2), algorithm=algorithm), workers=2, backend=backend, timeout=60
        )
    assert time.monotonic() - started < 30
    assert the_line_that_forgets(algorithm) in str(caught.value)


def test_messages_may_be_made_ahead_and_carried_out_in_order():
    def ahead(peers, flat, op):
        messages = [peers.send(flat.copy(), 1 - peers.rank), peers.recv(1 - peers.rank)]
        for message in messages:
            received = yield from message
        flat += received

    assert simulate_all_reduce(ahead, [np.ones(2)] * 2).faults == []


def test_what_is_wrong_is_said():
    def does_nothing(peers, flat, op):
        yield from ()

    run = simulate_all_reduce(does_nothing, [np.array([1, 0]), np.array([2, 0])])
    assert run.faults == [
        "rank 0: 1 of 2 elements are wrong; element 0 is 1, and should be 3",
        "rank 1: 1 of 2 elements are wrong; element 0 is 2, and should be 3",
    ]
    assert "rank 1: 1 of 2 elements are wrong" in str(run)
    assert (run.steps, run.bytes, run.messages) == (0, 0, [])

    def sends_too_much(peers, flat, op):
        yield from ALGORITHMS["tree"](peers, flat, op)
        if peers.rank == 1:
            yield from peers.send(np.zeros(3, np.int8), 0)

    (fault,) = simulate_all_reduce(sends_too_much, [np.ones(2)] * 2).faults
    assert fault == "nobody received the message of step 3: rank 1 → rank 0, 3 bytes"


def test_an_error_in_a_rank_says_which():
    def stumbles(peers, flat, op):
        yield from peers.send(flat, (peers.rank + 1) % peers.size)
        if peers.rank == 1:
            raise ZeroDivisionError("here")

    with pytest.raises(ZeroDivisionError) as caught:
        simulate_all_reduce(stumbles, [np.ones(2)] * 2)
    assert caught.value.__notes__ == ["in the simulated rank 1 of 2"]


def test_a_part_of_an_array_with_gaps_can_be_sent():
    def every_other(peers, flat, op):
        if peers.rank:
            yield from peers.send(flat[::2], 0)
            yield from peers.send(flat[1::2], 0)
            flat[...] = yield from peers.recv(0)
        else:
            flat[::2] += yield from peers.recv(1)
            flat[1::2] += yield from peers.recv(1)
            yield from peers.send(flat, 1)

    assert simulate_all_reduce(every_other, [np.arange(5.0), np.ones(5)]).faults == []


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (
            ValueError,
            "algorithm='rings' is unknown: choose one of ring, tree, halving-doubling, master",
            ("rings", [1]),
        ),
        (TypeError, "algorithm=3 must be a name .* or a generator function", (3, [1])),
        (TypeError, "must be a name .* or a generator function", (lambda peers, flat, op: None, [1])),
        (TypeError, "takes a NumPy array as arrays, not int", ("ring", [1])),
        (ValueError, r"of one shape and dtype.*float64 \(2,\), float64 \(3,\)", ("ring", [np.ones(2), np.ones(3)])),
        (ValueError, "at least one.*none", ("ring", [])),
        (ValueError, "op='median' is unknown", ("ring", [np.ones(2)], "median")),
        (TypeError, "needs a floating", ("ring", [np.ones(2, int)], "mean")),
        (ValueError, "dest=2 is not a rank", (lambda peers, flat, op: (yield from peers.send(flat, 2)), [np.ones(1)])),
        (ValueError, "source=-1 is not", (lambda peers, flat, op: (yield from peers.recv(-1)), [np.ones(1)])),
    ],
)
def test_refusals(error, words, arguments):
    with pytest.raises(error, match=words):
        simulate_all_reduce(*arguments)


# ── on real ranks ─────────────────────────────────────────────────────────────────────────────────────────────────────

LENGTHS = (0, 1, 2, 7, 64, 1001)


def arrays_of(size, length, dtype=np.float32):
    return [np.random.default_rng([rank, length]).standard_normal(length).astype(dtype) for rank in range(size)]


def every_algorithm(comm, lengths):
    """Bits, messages and bytes of every algorithm and length."""
    found = {}
    for name in (*ALGORITHMS, all_to_one_hop):
        for length in lengths:
            array = arrays_of(comm.size, length)[comm.rank]
            messages, nbytes = comm.traffic.messages, comm.traffic.bytes
            comm.all_reduce(array, "mean", algorithm=name)
            sent = comm.traffic.messages - messages, comm.traffic.bytes - nbytes
            found[name if isinstance(name, str) else "own", length] = (array.tobytes(), *sent)
    return found


def all_to_one_hop(peers, flat, op):
    """An algorithm of one's own: everybody sends everything to everybody, and adds in order of rank."""
    arrays = {peers.rank: flat.copy()}
    for distance in range(1, peers.size):
        source = (peers.rank - distance) % peers.size
        dest = (peers.rank + distance) % peers.size
        arrays[source] = yield from peers.exchange(arrays[peers.rank], dest, source)
    flat[...] = functools.reduce(np.add, [arrays[rank] for rank in range(peers.size)]) / np.float32(peers.size)


def assert_as_simulated(found_by_rank, lengths):
    size = len(found_by_rank)
    for name in (*ALGORITHMS, "own"):
        for length in lengths:
            run = simulate_all_reduce(all_to_one_hop if name == "own" else name, arrays_of(size, length), "mean")
            assert run.faults == []
            for rank, found in enumerate(found_by_rank):
                sent = run.traffic[rank]
                assert found[name, length] == (run.results[rank].tobytes(), sent.messages, sent.bytes), (name, length)
            if name in ALGORITHMS:
                busiest = max(found[name, length][2] for found in found_by_rank)
                assert busiest == all_reduce_cost(name, size, 4 * length, 4).bytes


@pytest.mark.parametrize("size", range(1, 9))
def test_threads_do_what_was_simulated(size):
    found = parallel.launch(every_algorithm, LENGTHS, workers=size, backend="thread", timeout=20)
    assert_as_simulated(found, LENGTHS)


@pytest.mark.parametrize("size", [3, 4])
def test_processes_do_what_was_simulated(size):
    lengths = (*LENGTHS, 200_000)  # longer than what can lie between two ranks: sends wait for one another
    found = parallel.launch(every_algorithm, lengths, workers=size, backend="process", timeout=20)
    assert_as_simulated(found, lengths)


@pytest.mark.parametrize("size", [2, 3])
def test_mpi_ranks_do_what_was_simulated(size):
    pytest.importorskip("mpi4py", reason='the mpi backend needs mpi4py and an MPI: pip install ".[mpi]"')
    lengths = (*LENGTHS, 200_000)
    found = parallel.launch(every_algorithm, lengths, workers=size, backend="mpi", timeout=20)
    assert_as_simulated(found, lengths)


def every_kind_of_call(comm):
    """Into out, strided, asynchronously, in a group, in registered memory: an algorithm serves them all."""
    ranks = comm.size * (comm.size - 1) // 2
    for name in ALGORITHMS:
        given = np.full((3, 4), comm.rank)
        out = np.empty((3, 4), int)
        assert comm.all_reduce(given, out=out, algorithm=name) is out
        assert (given == comm.rank).all()
        assert (out == ranks).all()
        strided = np.full((6, 4), comm.rank)
        comm.all_reduce(strided[::2, 1:3].T, algorithm=name)
        assert strided.sum() == 18 * comm.rank + 6 * ranks
        first, second = np.full(50, comm.rank), np.full(70_000, comm.rank)
        works = [comm.all_reduce(array, algorithm=name, async_op=True) for array in (first, second)]
        sends = comm.isend(np.array(comm.rank), (comm.rank + 1) % comm.size)
        assert comm.recv((comm.rank - 1) % comm.size) == (comm.rank - 1) % comm.size
        assert (works[1].wait() == ranks).all()
        assert (works[0].wait() == ranks).all()
        sends.wait()
        registered = comm.empty(10, np.int64)
        registered[...] = comm.rank
        assert (comm.all_reduce(registered, algorithm=name) == ranks).all()
    group = comm.split(comm.rank % 2)
    members = range(comm.rank % 2, comm.size, 2)
    for name in ALGORITHMS:
        assert (group.all_reduce(np.full(5, comm.rank), algorithm=name) == sum(members)).all()


@pytest.mark.parametrize(("backend", "size"), [("thread", 1), ("thread", 5), ("thread", 8), ("process", 5)])
def test_every_kind_of_call(backend, size):
    parallel.launch(every_kind_of_call, workers=size, backend=backend, timeout=20)


def test_an_unknown_algorithm_is_an_error_that_lists_the_known_ones():
    def ask(comm):
        with pytest.raises(
            ValueError, match=r"'rings' is unknown: choose one of .*ring, tree, halving-doubling, master"
        ):
            comm.all_reduce(np.ones(3), algorithm="rings")
        with pytest.raises(TypeError, match="must be a name"):
            comm.all_reduce(np.ones(3), algorithm=len)

    parallel.launch(ask, workers=2, backend="thread")


def test_ranks_that_choose_different_algorithms_are_told():
    def differ(comm):
        comm.all_reduce(np.ones(3), algorithm="ring" if comm.rank else "tree")

    with pytest.raises(parallel.WorkerError, match=r"sum (tree|ring).*sum (ring|tree)"):
        parallel.launch(differ, workers=2, backend="thread")

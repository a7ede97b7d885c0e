"""Compressed gradients: fp16's error is bounded, top-k loses nothing in the long run, and all ranks stay equal."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.inexact.compression import TopKExchange, as_halves, exchange_of, from_halves
from minipar.tensor import wrap

GRADIENTS = [1e-30, 3e-9, 0.1, 70000.0, -2e20]  # float16 alone would make 0, 0, about 0.1, inf and -inf of them


def _add_up(exchange, parameters, gradients):
    """As backward does; returns the gradients of all ranks."""
    for p in parameters:
        p.grad = None
    with exchange.adding_up():
        for p, gradient in zip(parameters, gradients):
            (p * wrap(gradient.astype(p.dtype))).sum().backward()
    return [p.grad.array.copy() for p in parameters]


def _parameters(dtype, *shapes):
    return [nn.Parameter(wrap(np.zeros(shape, dtype))) for shape in shapes]


# -- fp16 --------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=20),
    st.integers(-60, 60),
    st.sampled_from([np.float32, np.float64]),
)
@example([1.0, 1.3e-7], 0, np.float32)
def test_a_row_in_halves_is_near(numbers, exponent, dtype):
    row = np.array([numbers], dtype) * dtype(2.0**-exponent)
    error = np.abs(from_halves(as_halves(row), row.dtype) - row)
    assert np.all(error <= 2.0**-11 * np.abs(row) + 2.0**-39 * np.abs(row).max())


def test_rows_of_any_size_travel_in_half_precision():
    rows = np.diag(np.array(GRADIENTS, np.float32))
    halves = as_halves(rows)
    assert (halves.dtype, halves.shape) == (np.float16, (5, 6))
    np.testing.assert_allclose(np.diag(from_halves(halves, rows.dtype)), GRADIENTS, rtol=2.0**-11)


def test_what_is_no_number_stays_so():
    with np.errstate(invalid="ignore"):
        back = from_halves(as_halves(np.array([[1.0, np.inf], [np.nan, 2.0], [0.0, 0.0]])), np.dtype(np.float64))
    assert (back[0, 1], back[1, 1], *back[2]) == (np.inf, 2.0, 0.0, 0.0)
    assert np.isnan(back[1, 0])
    assert as_halves(np.empty((2, 0), np.float32)).shape == (2, 1)


@pytest.mark.parametrize(
    ("backend", "workers"), [*(("thread", workers) for workers in (1, 2, 3, 4)), ("process", 1), ("process", 2)]
)
def test_the_error_of_fp16_is_bounded(backend, workers):
    def exchange(comm):
        parameters = _parameters(np.float32, (7, 3), (5,), (1,))
        mine = [np.random.default_rng(comm.rank).normal(size=p.shape) * 10.0**i for i, p in enumerate(parameters)]
        totals = _add_up(exchange_of("fp16", parameters, comm, 60), parameters, mine)
        return mine, totals

    ranks = parallel.launch(exchange, workers=workers, backend=backend)
    for place in range(3):
        each = np.array([mine[place] for mine, _ in ranks])
        exact = each.sum(axis=0)
        bound = 2.0**-11 * (np.abs(each).sum(axis=0) + np.abs(exact)) * 1.01 + 2.0**-38 * np.abs(each).max() * 100
        got = ranks[0][1][place]
        assert np.all(np.abs(got - exact) <= bound)
        assert np.any(got != exact.astype(np.float32)), "nothing was rounded: was anything compressed?"
        assert all(np.array_equal(totals[place], got) for _, totals in ranks), "the same bits on every rank"


def _bytes(compress):
    """That a rank hands to the communicator for the gradients of 1000 float32, kind of call by kind."""

    def exchange(comm):
        parameters = _parameters(np.float32, (1000,))
        exchange = exchange_of(compress, parameters, comm, 1 << 20)
        with parallel.timeline.record() as recording:
            _add_up(exchange, parameters, [np.ones(1000)])
        told = {}
        for span in recording:
            if span.kind == "communication" and span.nbytes > 4:  # else: who has used it
                told[span.name] = told.get(span.name, 0) + span.nbytes
        return told

    return parallel.launch(exchange, workers=2, backend="thread")[0]


def test_bytes_follow_the_formula():
    assert _bytes(None) == {"all_reduce": 4000}
    assert _bytes("fp16") == {"all_to_all": 2 * (1000 + 2), "all_gather": 2 * (500 + 1)}
    assert _bytes("topk:0.01") == {"all_gather": 10 * (4 + 2)}  # places up to 1000 fit 2 bytes


# -- top-k with error feedback -----------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.sampled_from([0.01, 0.1, 0.34, 1.0]), st.integers(1, 3), st.integers(0, 99))
def test_what_was_sent_and_the_residuals_are_all_gradients(ratio, workers, seed):
    def exchange(comm):
        parameters = _parameters(np.float64, (4, 5), (3,), (11,))
        exchange = TopKExchange(parameters, comm, 300, ratio)
        draw = np.random.default_rng([seed, comm.rank])
        made = [np.zeros(p.shape) for p in parameters]
        arrived = [np.zeros(p.shape) for p in parameters]
        for _ in range(5):
            mine = [draw.normal(size=p.shape) for p in parameters]
            for i, total in enumerate(_add_up(exchange, parameters, mine)):
                made[i] += mine[i]
                arrived[i] += total
        return made, arrived, [exchange.residuals[id(p)].reshape(p.shape) for p in parameters]

    ranks = parallel.launch(exchange, workers=workers, backend="thread")
    for place in range(3):
        made = sum(made[place] for made, _, _ in ranks)
        kept = sum(residuals[place] for _, _, residuals in ranks)
        for _, arrived, _ in ranks:
            np.testing.assert_allclose(arrived[place] + kept, made, rtol=1e-12, atol=1e-12)
            assert np.array_equal(arrived[place], ranks[0][1][place])
    assert np.any(ranks[0][2][0]) == (ratio < 1.0), "top-k of all is all"


def test_the_largest_go_first_and_the_rest_adds_up():
    def exchange(comm):
        parameters = _parameters(np.float64, (4,))
        exchange = TopKExchange(parameters, comm, 1 << 20, 0.25)
        return [_add_up(exchange, parameters, [np.array([1.0, 5.0, 3.0, -4.0])])[0].tolist() for _ in range(4)]

    steps = parallel.launch(exchange, workers=1, backend="thread")[0]
    assert steps == [[0, 5, 0, 0], [0, 0, 0, -8], [0, 10, 0, 0], [0, 0, 12, 0]]


def test_a_residual_of_a_parameter_that_nobody_uses_now_arrives():
    def exchange(comm):
        p, q = _parameters(np.float64, (2,), (2,))
        exchange = TopKExchange([p, q], comm, 1 << 20, 0.25)
        first = _add_up(exchange, [p, q], [np.array([0.0, 2.0]), np.array([0.0, 3.0])])
        p.grad = q.grad = None
        with exchange.adding_up():
            pass
        return first[1].tolist(), p.grad.array.tolist(), q.grad

    assert parallel.launch(exchange, workers=1, backend="thread")[0] == ([0.0, 3.0], [0.0, 2.0], None)


# -- as an option of parallelize ---------------------------------------------------------------------------------------


def _train(comm, compress, axes, steps=20):
    minipar.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))
    x = minipar.tensor(np.random.default_rng(0).normal(size=(21, 6)).astype(np.float32))
    y = minipar.arange(21) % 4
    options = {"microbatches": 3} if "pipeline" in axes else {}
    net = parallel.parallelize(model, parallel.Mesh(comm, **axes), compress=compress, **options)
    step = optim.SGD(net.parameters(), lr=0.2)
    losses = [net.train_step(F.cross_entropy, step, x, y) for _ in range(steps)]
    return losses, {name: tensor.numpy() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("axes", [{"data": 2}, {"data": 2, "pipeline": 2}], ids=str)
@pytest.mark.parametrize(("compress", "near"), [("fp16", 1e-3), ("topk:0.2", 0.15)])
def test_training_stays_near_and_ranks_equal(compress, near, axes):
    workers = int(np.prod(list(axes.values())))
    exact = parallel.launch(_train, None, axes, workers=workers, backend="thread")[0]
    ranks = parallel.launch(_train, compress, axes, workers=workers, backend="thread")
    assert ranks[0][0][-1] < 0.8 * ranks[0][0][0]
    assert abs(ranks[0][0][-1] - exact[0][-1]) < near
    distance = max(np.abs(ranks[0][1][name] - array).max() for name, array in exact[1].items())
    assert 0.0 < distance < near
    assert all(losses == ranks[0][0] for losses, _ in ranks)


def test_the_whole_of_topk_is_exact():
    exact = parallel.launch(_train, None, {"data": 2}, workers=2, backend="thread")[0]
    whole = parallel.launch(_train, "topk:1", {"data": 2}, workers=2, backend="thread")[0]
    assert whole[0] == exact[0]
    assert all(np.array_equal(whole[1][name], array) for name, array in exact[1].items())


@pytest.mark.parametrize("compress", ["", "fp8", "topk", "topk:", "topk:0", "topk:1.5", "topk:nan", "top:0.1", 16])
def test_what_is_no_compression_is_refused(compress):
    with pytest.raises(ValueError, match="compress must be None, 'fp16', or 'topk:R' with 0 < R <= 1"):
        exchange_of(compress, [], None, 0)


def test_what_does_not_go_with_compression_is_refused():
    def make(comm):
        mesh = parallel.Mesh(comm, data=2)
        for other in ({"zero": 1}, {"virtual_shards": 2}):
            with pytest.raises(ValueError, match="compress='fp16' does not go with zero or virtual_shards"):
                parallel.parallelize(nn.Linear(2, 2), mesh, compress="fp16", **other)

    parallel.launch(make, workers=2, backend="thread")

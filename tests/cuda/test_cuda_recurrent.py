"""RNN, LSTM and GRU of the CUDA kernels, simulated, against the reference in float64: both ways to walk; edges."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cuda_cases as cases
import numpy as np
import pytest
from simulated_gpu import in_float64, simulated_gpu

import minipar
from minipar import nn
from minipar.kernels.cuda import matmul, recurrent
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.recurrent import persistent
from minipar.kernels.reference import gru, lstm, rnn
from tests.cupy_double.beside_numpy import assert_the_same
from tests.ops.cases_recurrent import RECURRENT

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
NETWORKS = {"rnn tanh": (rnn, 1, 1), "rnn relu": (rnn, 1, 1), "gru": (gru, 3, 1), "lstm": (lstm, 4, 2)}
WAYS = {  # how each is had, with a few units
    "persistent": lambda patches: None,
    "stepwise": lambda patches: patches.setattr(persistent, "width_that_fits", lambda *_: None),
}
CHOICES = {
    "network": tuple(NETWORKS),
    "dtype": ("float32", "float64"),
    "way": tuple(WAYS),
    "sizes": ((3, 3, 3), (4, 3, 3, 1), (1,), (2, 0)),
    "hidden": (5, 8, 1, 11),
    "layout": ("by time", "by sequence", "packed"),  # the sizes of the first two are those of the first step
    "reverse": (False, True),
    "biased": (True, False),
    "upstream": ("all", "of h", "of the last"),
}


class Problem(NamedTuple):
    """The arguments of a network's two functions; ``options`` are those behind the weights."""

    name: str
    inputs: list[Any]
    upstream: list[Any]
    options: tuple

    @property
    def functions(self) -> tuple[str, str]:
        name = self.name.partition(" ")[0]
        return f"{name}_sequence", f"{name}_sequence_backward"

    def states(self) -> int:
        return NETWORKS[self.name][2]


def problem(
    name: str, dtype: str, sizes: Sequence[int], hidden: int, layout: str = "packed", reverse: bool = False,
    biased: bool = True, upstream: str = "all",
) -> Problem:  # fmt: skip
    rng, (_, gates, states) = np.random.default_rng(hidden + len(sizes)), NETWORKS[name]
    packed, steps, batch = layout == "packed", len(sizes), sizes[0]
    shape = (sum(sizes),) if packed else (steps, batch) if layout == "by time" else (batch, steps)

    def drawn(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    biases = [drawn(gates * hidden) if biased else None for _ in "12"]
    weights = drawn(gates * hidden, 3), drawn(gates * hidden, hidden)
    inputs = [drawn(*shape, 3), *(drawn(batch, hidden) for _ in range(states)), *weights, *biases]
    above = [drawn(*shape, hidden), *(drawn(batch, hidden) for _ in range(states))]
    wanted = {"all": above, "of h": [above[0], *[None] * states], "of the last": [None, *above[1:]]}[upstream]
    projection = (None,) if states == 2 else ()
    activation = (name.partition(" ")[2],) if states == 1 and gates == 1 else ()
    return Problem(name, [*inputs, *projection], wanted, (list(sizes) if packed else None, layout == "by sequence",
                                                          reverse, *activation))  # fmt: skip


def answer(module: Any, asked: Problem, needs: bool = True, out: Sequence[Any] = (None,) * 4) -> list[Any]:
    """h, the last states, and the gradients of all inputs."""
    forward, backward = (getattr(module, function) for function in asked.functions)
    x, *rest = asked.inputs
    *outputs, saved = forward(x, *rest, *asked.options)
    states = asked.states()
    weights = [*rest[states : states + 2], *rest[states + 4 :]]
    wanted = (needs,) * len(asked.inputs)
    return [*outputs, *backward(*asked.upstream, x, saved, *weights, *asked.options, wanted, out)]


def on_gpu(gpu: Any, asked: Problem, **options: Any) -> list[Any]:
    """By the CUDA kernels, which must leave the operands as they are."""
    inputs, upstream = (list(gpu.to_gpu(tuple(arrays))) for arrays in (asked.inputs, asked.upstream))
    found = answer(recurrent, Problem(asked.name, inputs, upstream, asked.options), **options)
    for there, here in zip((*inputs, *upstream), (*asked.inputs, *asked.upstream), strict=True):
        assert here is None or np.array_equal(there.get(), here, equal_nan=True)
    return [None if x is None else x.get() for x in found]


def reference(asked: Problem) -> list[Any]:
    wide = Problem(asked.name, in_float64(*asked.inputs), in_float64(*asked.upstream), asked.options)
    with np.errstate(all="ignore"):
        return answer(NETWORKS[asked.name][0], wide)


def assert_equal(ours: Sequence[Any], theirs: Sequence[Any], dtype: str) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.dtype, a.shape) == (np.dtype(dtype), b.shape)
            limit = TOLERANCE[dtype] * max(1, np.abs(b).max(initial=0))
            np.testing.assert_allclose(a, b, rtol=0, atol=limit)


SMALL = {"double-buffered": Tile(8, 16, 8, 4, 4), "register tile": Tile(16, 8, 4, 2, 2)}  # quicker to simulate


@pytest.fixture
def gpu(monkeypatch):
    for name, tile in SMALL.items():
        monkeypatch.setitem(matmul.RUNGS, name, matmul.RUNGS[name]._replace(tile=tile))
    monkeypatch.setattr(persistent, "WARP", 4)  # and units are made up to fewer than on a GPU
    monkeypatch.setattr(persistent, "BLOCKS", 3)  # so that some walk two sequences
    with simulated_gpu() as gpu:
        yield gpu


@pytest.mark.parametrize("row", list(cases.pairwise(CHOICES)), ids=lambda row: "-".join(map(str, row)).replace(" ", ""))
def test_states_and_gradients(row, gpu, monkeypatch):
    name, dtype, way, *case = row
    WAYS[way](monkeypatch)
    asked = problem(name, dtype, *case)
    found = on_gpu(gpu, asked)
    assert_equal(found, reference(asked), dtype)
    walked = [kernel for kernel in gpu.launched if kernel.startswith("recurrent")]
    if way == "persistent":
        assert walked == ["recurrent_forward", "recurrent_backward"]
    else:
        steps = sum(size > 0 for size in case[0]) if case[2] == "packed" else len(case[0])
        assert walked == ["recurrent_step"] * steps + ["recurrent_step_back"] * (steps + 1)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_bits_every_time_whoever_else_is_in_the_batch(way, gpu, monkeypatch):
    WAYS[way](monkeypatch)
    asked = problem("lstm", "float32", (4, 3, 2), 7)
    found = on_gpu(gpu, asked)
    for again, before in zip(on_gpu(gpu, asked), found, strict=True):
        np.testing.assert_array_equal(again, before)
    x, h0, c0, *weights = asked.inputs  # the first sequence alone
    alone = Problem("lstm", [x[[0, 4, 7]], h0[:1], c0[:1], *weights], [None, None, None], ([1, 1, 1], False, False))
    np.testing.assert_array_equal(on_gpu(gpu, alone)[0], found[0][[0, 4, 7]])


def test_gradients_are_made_where_they_are_wanted_and_only_those(gpu):
    asked = problem("gru", "float64", (2, 2), 3, "by time")
    expected = reference(asked)[3:]
    places = [gpu.cupy.empty(array.shape, np.float64) for array in expected[1:]]
    found = on_gpu(gpu, asked, out=places)[3:]
    for place, array, wanted in zip(places, found[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(place.get(), array)
        np.testing.assert_allclose(array, wanted, rtol=1e-12, atol=1e-12)
    dx, _, *of_weights = on_gpu(gpu, asked, needs=False)[2:]
    assert dx is None
    assert of_weights == [None] * 4


@pytest.mark.parametrize("way", WAYS)
def test_operands_of_any_strides(way, gpu, monkeypatch):
    WAYS[way](monkeypatch)
    asked = problem("lstm", "float64", (3, 2), 4)
    inputs, upstream = (
        [x if x is None or x.ndim == 1 else gpu.to_gpu(x.T.copy()).T for x in arrays]
        for arrays in ([*asked.inputs[:5], None, None, None], asked.upstream)
    )
    found = answer(recurrent, Problem("lstm", inputs, upstream, asked.options))
    asked = asked._replace(inputs=[*asked.inputs[:5], None, None, None])
    assert_equal([None if x is None else x.get() for x in found], reference(asked), "float64")


def test_nothing_to_walk(gpu):
    for name, sizes, layout in (("rnn tanh", (0, 0), "by sequence"), ("gru", (0,), "packed")):
        asked = problem(name, "float32", sizes, 2, layout)
        assert_equal(on_gpu(gpu, asked), reference(asked), "float32")


def test_large_numbers_overflow_nowhere_and_a_nan_stays(gpu):
    asked = problem("lstm", "float32", (1, 1), 3)
    asked.inputs[0][:] = 1e4
    assert_equal(on_gpu(gpu, asked), reference(asked), "float32")
    asked = problem("rnn relu", "float32", (1, 1), 3)
    asked.inputs[0][0, 0] = np.nan
    assert np.isnan(on_gpu(gpu, asked)[0]).all()


def test_operands_that_do_not_fit_are_refused(gpu):
    x, h0, *weights = problem("gru", "float32", (2, 1), 4).inputs
    walk = [2, 1], False, False
    with pytest.raises(ValueError, match=r"h0 must have shape \(2, 4\) for gru of 4 units, got \(1, 4\)"):
        gpu.call(recurrent.gru_sequence, x, h0[1:], *weights, *walk)
    with pytest.raises(ValueError, match=r"w_hh must have shape \(12, 4\) for gru of 4 units, got \(12, 3\)"):
        gpu.call(recurrent.gru_sequence, x, h0, weights[0], weights[0], *weights[2:], *walk)
    with pytest.raises(TypeError, match="w_ih must have the dtype of x"):
        gpu.call(recurrent.gru_sequence, x, h0, weights[0].astype(np.float64), *weights[1:], *walk)
    with pytest.raises(ValueError, match="nonlinearity must be"):
        gpu.call(recurrent.rnn_sequence, x, h0, *weights, *walk, "gelu")


def test_a_block_keeps_the_weights_of_so_many_units():
    widest = {
        (network, dtype): max(h for h in range(1, 300) if persistent.width_that_fits(gates, h, np.dtype(dtype)))
        for network, (_, gates, _) in NETWORKS.items()
        for dtype in TOLERANCE
    }
    assert widest == {
        ("lstm", "float32"): 96, ("gru", "float32"): 128, ("rnn tanh", "float32"): 128, ("rnn relu", "float32"): 128,
        ("lstm", "float64"): 64, ("gru", "float64"): 64, ("rnn tanh", "float64"): 96, ("rnn relu", "float64"): 96,
    }  # fmt: skip
    assert persistent.width_that_fits(4, 33, np.dtype("float32")) == 64


NODES = ("rnn ragged", "rnn relu", "lstm ragged backwards", "lstm last cell", "gru without bias", "lstm projected")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", [case for case in RECURRENT if case.name in NODES], ids=str)
def test_nodes_and_both_gradients_as_on_numpy(case, way, gpu, monkeypatch):
    WAYS[way](monkeypatch)
    assert_the_same(case.run, case.inputs(case.example, seed=1))
    assert any(kernel.startswith("recurrent") for kernel in gpu.launched) == ("projected" not in case.name)


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_two_layers_in_both_directions_with_dropout_and_packed_sequences(make, gpu):
    def trained(device: str) -> list[np.ndarray]:
        minipar.manual_seed(1)
        layer = make(3, 4, num_layers=2, bidirectional=True, dropout=0.5).double().to(device)
        x = minipar.tensor(np.random.default_rng(1).standard_normal((3, 2, 3)), device=device, requires_grad=True)
        packed = nn.utils.rnn.pack_padded_sequence(x, [3, 1])
        (layer(packed)[0].data ** 2).sum().backward()
        return [p.grad.cpu().numpy() for p in (x, *layer.parameters())]

    for actual, expected in zip(trained("cuda"), trained("cpu"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)
    assert gpu.launched.count("recurrent_forward") == gpu.launched.count("recurrent_backward") == 4

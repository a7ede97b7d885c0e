"""The cut of a model into stages: exact, with the names of the whole model, and measured without a trace."""

from itertools import combinations, pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import minipar
from minipar import nn, parallel
from minipar.parallel.pipeline import cut, layers, measure, measured_cut

# ── the best cut ──────────────────────────────────────────────────────────────────────────────────────────────────────


def all_cuts(n, stages):
    for bounds in combinations(range(1, n), stages - 1):
        yield [slice(i, j) for i, j in pairwise((0, *bounds, n))]


def worth(costs, sent, stages):
    """The largest stage; then the bytes that are sent."""
    return max(sum(costs[stage]) for stage in stages), sum(sent[stage.stop - 1] for stage in stages[:-1])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_cut_is_better(data):
    n = data.draw(st.integers(1, 9))
    stages = data.draw(st.integers(1, n))
    costs, sent = (data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)) for _ in "ab")
    found = cut(costs, stages, sent)
    assert found in list(all_cuts(n, stages)), "consecutive stages, none empty"
    assert worth(costs, sent, found) == min(worth(costs, sent, other) for other in all_cuts(n, stages))
    nothing = [0] * n
    assert worth(costs, nothing, cut(costs, stages)) == min(worth(costs, nothing, c) for c in all_cuts(n, stages))


def test_measured_seconds_are_cut_as_well_as_whole_numbers():
    seconds = list(np.random.default_rng(0).random(12))
    best = min(max(sum(seconds[stage]) for stage in other) for other in all_cuts(12, 4))
    assert max(sum(seconds[stage]) for stage in cut(seconds, 4)) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (([1, 2], 3), "2 layers cannot be cut into stages=3"),
        (([1, 2], 0), "stages=0"),
        (([1, -2], 1), "costs must not be negative"),
        (([1, float("nan")], 1), "costs must not be negative"),
        (([1, 2], 1, [1]), "sent has 1 numbers for 2 layers"),
    ],
)
def test_what_cannot_be_cut(arguments, why):
    with pytest.raises(ValueError, match=why):
        cut(*arguments)


# ── the layers of a model ─────────────────────────────────────────────────────────────────────────────────────────────


class Declared(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.embed = nn.Embedding(9, 4)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(2)])

    def pipeline_layers(self):
        return [self.embed, *self.blocks, self.head]

    def forward(self, x):
        for layer in self.pipeline_layers():
            x = layer(x)
        return x


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


def test_names_are_those_of_the_whole_model():
    model = Declared()
    found = layers(model)
    assert [name for name, _ in found] == ["embed", "blocks.0.0", "blocks.0.1", "blocks.1.0", "blocks.1.1", "head"]
    state = {f"{name}.{key}": value for name, layer in found for key, value in layer.state_dict().items()}
    whole = model.state_dict()
    assert state.keys() == whole.keys()
    assert all(np.shares_memory(state[key].array, whole[key].array) for key in whole)


def test_layers_one_after_the_other_are_the_model():
    x = minipar.tensor([[1, 2, 8]])
    model = Declared()
    y = x
    for _, layer in layers(model):
        y = layer(y)
    np.testing.assert_array_equal(y.array, model(x).array)


def test_sequentials_inside_sequentials_are_taken_apart_unless_they_do_more():
    watched = nn.Sequential(nn.ReLU())
    watched.register_forward_hook(lambda module, args, result: None)
    shared = nn.Tanh()
    model = nn.Sequential(nn.Sequential(nn.Sequential(shared), shared), Doubled(nn.ReLU()), watched, nn.Sequential())
    assert [name for name, _ in layers(model)] == ["0.0.0", "0.1", "1", "2"]


class Lacking(Declared):
    def pipeline_layers(self):
        return [self.embed, *self.blocks]


class Foreign(Declared):
    def pipeline_layers(self):
        return [*super().pipeline_layers(), nn.ReLU()]


@pytest.mark.parametrize(
    ("model", "error", "why"),
    [
        (nn.Linear(1, 1), TypeError, r"nn.Sequential, or a model with a method pipeline_layers\(\), not Linear"),
        (nn.Sequential(), ValueError, "Sequential has no layers"),
        (Lacking(), ValueError, "'head.weight' of Lacking belongs to none of its layers"),
        (Foreign(), ValueError, "Foreign gives a ReLU that is not inside it"),
    ],
)
def test_models_that_are_no_row_of_layers(model, error, why):
    with pytest.raises(error, match=why):
        layers(model)


# ── what they cost ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_measuring_leaves_no_trace():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 2))
    before = {key: value.array.copy() for key, value in model.state_dict().items()}
    minipar.manual_seed(3)
    draws = minipar.random.get_rng_state()
    x = minipar.ones(2, 3, 8, 8, requires_grad=True)
    costs = measure(model, x)
    assert minipar.random.get_rng_state() == draws
    assert x.grad is None
    assert all(p.grad is None for p in model.parameters())
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.array, before[key], err_msg=key)
    assert [cost.name for cost in costs] == ["0", "1", "2", "3", "4"]
    assert [cost.nbytes for cost in costs] == [1152, 1152, 1152, 1152, 16]
    assert all(cost.forward > 0 and cost.backward > 0 for cost in costs)


@pytest.fixture
def one_thread():
    """Threads that wait for a core which other tests have would hide what a layer costs."""
    before = minipar.get_num_threads()
    minipar.set_num_threads(1)
    yield
    minipar.set_num_threads(before)


def test_a_large_layer_costs_more_and_gets_a_stage_of_its_own(one_thread):
    model = nn.Sequential(
        nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 600), nn.Linear(600, 600), nn.Linear(600, 8), nn.ReLU()
    )
    costs = measure(model, minipar.ones(256, 8))
    assert max(costs, key=lambda cost: cost.seconds).name == "3"
    stages = cut([cost.seconds for cost in costs], 3, [cost.nbytes for cost in costs])
    assert slice(3, 4) in stages


def test_all_ranks_cut_by_what_the_first_has_measured():
    def first_layers(comm):
        layers = [nn.Linear(400, 400) if n == 3 else nn.Linear(400, 4) if n == 4 else nn.ReLU() for n in range(6)]
        ours = nn.Sequential(*layers if comm.rank == 0 else [*layers, nn.ReLU()])
        return measured_cut(ours, minipar.ones(256, 400), 2, comm)

    first, second = parallel.launch(first_layers, workers=2, backend="thread")
    assert first == second in ([3], [4])  # the large layer has the rest of its stage to itself


def test_layers_before_the_first_parameter_have_no_backward():
    costs = measure(nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 2), nn.ReLU()), minipar.ones(3, 2, 2))
    assert [cost.backward > 0 for cost in costs] == [False, False, True, True]


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_what_cannot_be_measured():
    with pytest.raises(TypeError, match="layer '0' returns a tuple"):
        measure(nn.Sequential(Pair()), minipar.ones(1))
    with pytest.raises(ValueError, match="repeats=0"):
        measure(nn.Sequential(nn.ReLU()), minipar.ones(1), repeats=0)

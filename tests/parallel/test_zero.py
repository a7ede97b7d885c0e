"""ZeRO: who owns what, what is where after a step, and what a model may be. (Equality: test_equivalence.)"""

from types import SimpleNamespace

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel import timeline
from minipar.parallel.ownership import ownership
from minipar.parallel.parts import part_of
from minipar.parallel.shares import shares

DATA = np.random.default_rng(2)
X = minipar.tensor(DATA.normal(size=(7, 6)))
Y = minipar.tensor(DATA.integers(0, 4, 7))
PARAMETERS = 6 * 9 + 9 + 9 * 4 + 4


def mlp():
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4))


def frozen():
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 9), nn.Linear(9, 4))
    model[0].bias.requires_grad_(False)
    model[2].requires_grad_(False)
    return model


def one_layer_twice():
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(6, 4))


def tied_layers():
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 4))
    model[2].weight = model[0].weight
    return model


class Scale(nn.Module):
    """A parameter without axes."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(minipar.tensor(2.0))

    def forward(self, x):
        return self.factor * x


def scaled():
    return nn.Sequential(Scale(), *mlp())


class OneUnit(nn.Module):
    """No Sequential: all its parameters come and go at once. It has one layer twice, and one with dropout."""

    def __init__(self):
        super().__init__()
        self.inside, self.last = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x):
        return self.last(F.dropout(self.inside(self.inside(x).tanh()), 0.3))


MODELS = [mlp, scaled, frozen, one_layer_twice, tied_layers, OneUnit]


def made(make):
    minipar.manual_seed(5)
    return make().double()


def on_ranks(fn, *args, workers=2):
    return parallel.launch(fn, *args, workers=workers, backend="thread")


def split(comm, zero, make=mlp, **options):
    return parallel.parallelize(made(make), parallel.Mesh(comm, data=comm.size), zero=zero, **options)


def adam(parameters):
    return optim.Adam(parameters, lr=0.05)


def numbers(tensors):
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def assert_same(got, expected):
    assert list(got) == list(expected)
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-9, atol=1e-13)


def steps_of_one_process(make, steps=3):
    model = made(make)
    optimizer, losses = adam(model.parameters()), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, numbers(model.state_dict())


# -- who owns what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_every_element_has_one_owner_and_all_own_as_much(size):
    row = [nn.Parameter(minipar.zeros(*shape)) for shape in [(3, 4), (), (5,), (0,), (2, 1, 3)]]
    row.insert(2, nn.Parameter(minipar.zeros(7, dtype=minipar.float64)))
    owned = ownership(row, SimpleNamespace(size=size))
    for p in row:
        stretches = [(o.start, o.stop) for o in owned if o.parameter is p]
        assert [start for start, _ in stretches] == [0, *[stop for _, stop in stretches]][: len(stretches)]
        assert sum(stop - start for start, stop in stretches) == p.numel()
    for dtype, total in [("float32", 24), ("float64", 7)]:
        of_dtype = [o for o in owned if o.parameter.array.dtype == dtype]
        held = [sum(o.stop - o.start for o in of_dtype if o.owner == rank) for rank in range(size)]
        assert held == shares(total, size)


def test_a_rank_without_a_piece_trains_with_the_others():
    def train(comm):
        net = parallel.parallelize(nn.Linear(1, 1), parallel.Mesh(comm, data=3), zero=3)
        step = adam(net.parameters())
        losses = [net.train_step(F.mse_loss, step, minipar.ones(4, 1), minipar.zeros(4, 1)) for _ in range(3)]
        return losses, [p.numel() for p in net.parameters()]

    told = on_ranks(train, workers=3)
    assert [sizes for _, sizes in told] == [[1], [1], [0]]
    assert all(losses == told[0][0] and losses[0] > losses[2] for losses, _ in told)


@pytest.mark.parametrize("zero", [1, 2])
@pytest.mark.parametrize("what", ["an optimizer", "a state dict", "an array"])
def test_ranks_that_keep_their_parameters_in_different_places(zero, what):
    """One has trained before, or somebody looks at its numbers: they tell one another the same, in the same order."""

    def train(comm):
        minipar.manual_seed(0)
        model, held = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)), None
        if comm.rank == 0:
            held = {
                "an optimizer": lambda: adam(model.parameters()),
                "a state dict": model.state_dict,
                "an array": lambda: [adam(model.parameters()), model[0].weight.detach().numpy()],
            }[what]()
        net = parallel.parallelize(model, parallel.Mesh(comm, data=2), zero=zero)
        step, x, y = adam(net.parameters()), minipar.ones(4, 5), minipar.tensor([0, 1, 2, 0])
        losses = [net.train_step(F.cross_entropy, step, x, y) for _ in range(4)]
        return losses, {name: tensor.numpy() for name, tensor in net.state_dict().items()}, held is not None

    (first, one, _), (second, other, _) = parallel.launch(train, workers=2, backend="process")
    assert first == second
    assert first[-1] < first[0]
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


# -- what is where after a step ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("had_an_optimizer", [False, True])
def test_bytes_a_rank_are_those_of_the_formula(zero, workers, had_an_optimizer):
    def train(comm):
        whole = made(mlp)
        if had_an_optimizer:
            adam(whole.parameters())  # which puts them, and their gradients, side by side
        net = parallel.parallelize(whole, parallel.Mesh(comm, data=comm.size), zero=zero)
        if zero > 1:
            assert all(p.buffer is None for module in net.modules() for p in module.parameters())
        optimizer = adam(net.parameters())
        for _ in range(2):
            net.train_step(F.cross_entropy, optimizer, X, Y)
        return parallel.bytes_held(net, optimizer)

    for rank, held in enumerate(on_ranks(train, workers=workers)):
        whole, mine = 8 * PARAMETERS, 8 * shares(PARAMETERS, workers)[rank]
        assert held.parameters == (mine if zero == 3 else whole)
        assert held.gradients == (mine if zero >= 2 else whole)
        assert held.optimizer == 2 * mine
        assert held.total == held.parameters + held.gradients + held.optimizer


def test_bytes_of_a_model_of_one_process():
    model = made(mlp)
    optimizer = adam(model.parameters())
    F.cross_entropy(model(X), Y).backward()
    optimizer.step()
    assert parallel.bytes_held(model, optimizer) == parallel.BytesHeld(*(8 * PARAMETERS * n for n in (1, 1, 2)))


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_after_a_step_only_pieces_have_gradients_and_parameters_of_stage_3_are_let_go(zero):
    def look(comm):
        net = split(comm, zero)
        net.loss_and_gradients(F.cross_entropy, X, Y)
        inside = [p for module in net.modules() for p in module.parameters()]
        pieces = list(net.parameters())
        return (
            [p.grad is None for p in inside],
            [p.grad.shape == p.shape and part_of(p) is not None for p in pieces],
            [not any(p.array.strides) for p in inside],
        )

    for without, with_gradient, let_go in on_ranks(look):
        assert all(without)
        assert all(with_gradient)
        assert let_go == [zero == 3] * 4


# -- what a model may be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [1, 2, 3])
@pytest.mark.parametrize("make", MODELS)
def test_tied_frozen_and_repeated_layers_train_as_in_one_process(make, zero):
    def train(comm):
        net = split(comm, zero, make)
        optimizer = adam(net.parameters())
        losses = [net.train_step(F.cross_entropy, optimizer, X, Y) for _ in range(3)]
        return losses, numbers(net.state_dict())

    expected, state = steps_of_one_process(make)
    for losses, got in on_ranks(train):
        np.testing.assert_allclose(losses, expected, rtol=1e-10)
        assert_same(got, state)


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_a_parameter_frozen_or_thawed_later_is_told(zero):
    def train(comm):
        model = made(frozen)
        net = parallel.parallelize(model, parallel.Mesh(comm, data=2), zero=zero)
        model[2].requires_grad_(True)
        with pytest.raises(RuntimeError, match=f"zero={zero}: requires_grad of a parameter has changed"):
            net.train_step(F.cross_entropy, adam(net.parameters()), X, Y)

    on_ranks(train)


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [1, 2, 3])
@pytest.mark.parametrize("where", ["forward", "loss"])
def test_a_step_that_fails_on_all_ranks_leaves_nothing_behind(zero, where):
    """After it has begun: the first micro-batch has been backward already."""

    def train(comm):
        net = split(comm, zero, microbatches=2)
        optimizer = adam(net.parameters())
        calls = []

        def fails_once(*args):
            calls.append(args)
            if len(calls) == 2:
                raise ZeroDivisionError("second micro-batch")
            return F.cross_entropy(*args[:2]) if where == "loss" else None

        if where == "forward":
            hook = net.modules()[0][2].register_forward_hook(fails_once)
        with pytest.raises(ZeroDivisionError):
            net.train_step(fails_once if where == "loss" else F.cross_entropy, optimizer, X, Y)
        if where == "forward":
            hook.remove()
        losses = [net.train_step(F.cross_entropy, optimizer, X, Y) for _ in range(3)]
        return losses, numbers(net.state_dict())

    expected, state = steps_of_one_process(mlp)
    for losses, got in on_ranks(train):
        np.testing.assert_allclose(losses, expected, rtol=1e-10)
        assert_same(got, state)


@pytest.mark.parametrize("zero", [1, 2, 3])
@pytest.mark.parametrize("has_gradients", [False, True])
def test_a_batch_that_is_refused_when_gradients_are_there_leaves_them_as_they_were(zero, has_gradients):
    def train(comm):
        net = split(comm, zero, scaled)
        optimizer = adam(net.parameters())

        def gradients_of(rows=7):
            net.loss_and_gradients(F.cross_entropy, X[:rows], Y[:rows])
            return gradients()

        def gradients():
            return [None if p.grad is None else p.grad.numpy().copy() for p in net.parameters()]

        before = gradients_of() if has_gradients else gradients()
        with pytest.raises(ValueError, match="different lengths"):
            gradients_of(7 - comm.rank)
        after, then = gradients(), gradients_of()
        optimizer.zero_grad()
        return before, after, then, gradients_of(), parallel.bytes_held(net, optimizer)

    for before, after, then, once, held in on_ranks(train):
        for of_before, of_after, of_then, of_once in zip(before, after, then, once, strict=True):
            if has_gradients:
                np.testing.assert_array_equal(of_after, of_before)
                np.testing.assert_allclose(of_then, 2 * of_once, rtol=1e-12)
            else:
                assert of_before is of_after is None
                np.testing.assert_array_equal(of_then, of_once)
        assert held.gradients == 8 * (1 + PARAMETERS) / (1 if zero == 1 else 2)  # nowhere twice


@pytest.mark.parametrize("zero", [1, 3])
def test_a_step_that_fails_on_one_rank_fails_on_all(zero):
    def train(comm):
        net = split(comm, zero)

        def loss(output, target):
            if comm.rank == 1:
                raise ZeroDivisionError("on rank 1")
            return F.cross_entropy(output, target)

        net.train_step(loss, adam(net.parameters()), X, Y)

    with pytest.raises(parallel.WorkerError, match="rank 1 raised ZeroDivisionError: on rank 1"):
        on_ranks(train)


def test_what_zero_does_not_go_with_is_refused():
    def make(comm):
        for options, says in [
            ({"zero": 4}, "zero must be 0, 1, 2 or 3, not 4"),
            ({"zero": -1}, "not -1"),
            ({"zero": 3, "recompute": True}, "nor zero=3 with recompute"),
            ({"zero": 1, "virtual_shards": 2}, "zero=1 does not go with virtual_shards"),
        ]:
            with pytest.raises(ValueError, match=says):
                parallel.parallelize(made(mlp), parallel.Mesh(comm, data=2), **options)
        for zero in (2, 3):
            with pytest.raises(ValueError, match=f"zero={zero} does not go with parameters that several stages share"):
                parallel.parallelize(made(tied_layers), parallel.Mesh(comm, pipeline=2), zero=zero)

    on_ranks(make)


# -- checkpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("save", "load"), [((1, 3), (3, 2)), ((3, 2), (2, 3)), ((2, 3), (0, 1)), ((0, 2), (3, 3))])
def test_training_goes_on_in_another_stage_on_another_number_of_ranks(save, load):
    def first_half(comm, zero):
        net = split(comm, zero, frozen)
        optimizer = adam(net.parameters())
        for _ in range(2):
            net.train_step(F.cross_entropy, optimizer, X, Y)
        return net.state_dict(), net.optimizer_state_dict(optimizer)

    def second_half(comm, zero, state, optimizer_state):
        net = split(comm, zero, frozen)
        optimizer = adam(net.parameters())
        net.load_state_dict(state)
        net.load_optimizer_state_dict(optimizer, optimizer_state)
        for _ in range(2):
            net.train_step(F.cross_entropy, optimizer, X, Y)
        return numbers(net.state_dict())

    saved = on_ranks(first_half, save[0], workers=save[1])[0]
    _, state = steps_of_one_process(frozen, steps=4)
    for got in on_ranks(second_half, load[0], *saved, workers=load[1]):
        assert_same(got, state)


def test_owners_tell_their_rows_in_one_call_each_whoever_had_an_optimizer_before():
    def work(comm):
        whole = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
        optim.SGD(whole.parameters(), lr=0.1)  # which puts them side by side
        net = parallel.parallelize(whole, parallel.Mesh(comm, data=comm.size), zero=1)
        step = optim.SGD(net.parameters(), lr=0.1)
        with timeline.record() as recording:
            net.train_step(F.mse_loss, step, minipar.ones(4, 6), minipar.ones(4, 3))
        return sum(span.name == "broadcast" for span in recording)

    assert parallel.launch(work, workers=2, backend="thread") == [2, 2]

"""Every optimizer under a split model: it trains as in one process, or refuses what it cannot do; so does clipping."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F

DATA = np.random.default_rng(7)
X, Y = minipar.tensor(DATA.normal(size=(7, 6))), minipar.tensor(DATA.integers(0, 4, 7))
IMAGES = minipar.tensor(DATA.normal(size=(5, 2, 9, 4)))
OPTIONS = {
    "ASGD": {"lr": 0.05, "t0": 1, "weight_decay": 0.01},
    "Adadelta": {"lr": 0.5},
    "Adagrad": {"lr": 0.05, "lr_decay": 0.1},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01},
    "Adamax": {"lr": 0.01},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "centered": True, "momentum": 0.9},
    "Rprop": {"lr": 0.01},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
}
SPLITS = ["pipeline=2", "tensor=2", "data=2,zero=1", "data=2,zero=3"]
WHOLE = ["data=2", "data=2,virtual_shards=3", "data=3,microbatches=2"]  # every rank has all of the model


def mlp():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 4)).double()


def cnn():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 1, 3, padding=1)).double()


def on_ranks(fn, layout, *args):
    layout = parallel.Layout.parse(layout)
    return parallel.launch(fn, layout, *args, workers=layout.ranks, backend="thread")


def arrays(found):
    if isinstance(found, minipar.Tensor):
        return found.numpy().copy()
    if isinstance(found, dict):
        return {key: arrays(value) for key, value in found.items()}
    return list(map(arrays, found)) if isinstance(found, list) else found


def assert_same(found, expected):
    """Dicts and lists of numbers, to 1e-10 of the largest of each array."""
    if isinstance(expected, dict):
        assert sorted(found) == sorted(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray | float):
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.max(np.abs(expected), initial=1e-6))
    else:
        assert found == expected


def steps_of_one_process(build, make, loss_fn, batch):
    """The losses of four steps; the optimizer's state after two of them; the model's after all."""
    model = build()
    optimizer, losses = make(model.parameters()), []

    def closure():
        optimizer.zero_grad()
        loss = loss_fn(model(batch[0]), *batch[1:])
        loss.backward()
        return loss

    for step in range(4):
        if step == 2:
            kept = arrays(optimizer.state_dict())
        losses.append(optimizer.step(closure).item())
    return losses, kept, arrays(model.state_dict())


def steps_of_a_rank(comm, layout, build, make, loss_fn, batch):
    """The same, but after two steps saved, and loaded into another model and optimizer of this layout."""

    def new():
        net = layout.parallelize(build(), comm)
        return net, make(net.parameters())

    def two_steps():
        return [net.train_step(loss_fn, optimizer, *batch) for _ in range(2)]

    net, optimizer = new()
    losses = two_steps()
    model, state = net.state_dict(), net.optimizer_state_dict(optimizer)
    kept = arrays(state)
    net, optimizer = new()
    net.load_state_dict(model)
    net.load_optimizer_state_dict(optimizer, state)
    losses += two_steps()
    return losses, kept, arrays(net.state_dict())


def assert_trains_as_one_process(layout, build, make, loss_fn, batch):
    expected = steps_of_one_process(build, make, loss_fn, batch)
    assert expected[0][3] < expected[0][0]
    for found in on_ranks(steps_of_a_rank, layout, build, make, loss_fn, batch):
        for one, other in zip(found, expected):
            assert_same(one, other)


# -- steps -------------------------------------------------------------------------------------------------------------


def test_here_is_every_optimizer():
    every = {name for name in optim.__all__ if isinstance(getattr(optim, name), type)} - {"Optimizer"}
    assert {name for name in every if getattr(optim, name).elementwise} == set(OPTIONS)
    assert every - set(OPTIONS) == {"LBFGS"}


@pytest.mark.parametrize("layout", SPLITS)
@pytest.mark.parametrize("name", OPTIONS)
def test_an_optimizer_of_single_numbers_trains_a_share_as_one_process_the_whole(name, layout):
    def make(parameters):
        return getattr(optim, name)(parameters, **OPTIONS[name])

    assert_trains_as_one_process(layout, mlp, make, F.cross_entropy, (X, Y))


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("layout", WHOLE)
def test_lbfgs_trains_where_every_rank_has_the_whole_model(layout, search):
    def make(parameters):
        return optim.LBFGS(parameters, lr=0.5, max_iter=4, line_search_fn=search)

    assert_trains_as_one_process(layout, mlp, make, F.cross_entropy, (X, Y))


def test_lbfgs_trains_over_rows_of_images():
    def make(parameters):
        return optim.LBFGS(parameters, lr=0.5, max_iter=4)

    batch = (IMAGES, IMAGES[:, :1])
    assert_trains_as_one_process("space=2", cnn, make, F.mse_loss, batch)


def test_lbfgs_trains_in_data_parallel():
    def train(comm):
        model = parallel.DataParallel(mlp(), comm)
        optimizer = optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
        losses = [model.train_step(lambda net, x, y: F.cross_entropy(net(x), y), optimizer, X, Y) for _ in range(4)]
        return [losses, arrays(model.module.state_dict())]

    def make(parameters):
        return optim.LBFGS(parameters, lr=0.5, max_iter=4)

    losses, _, state = steps_of_one_process(mlp, make, F.cross_entropy, (X, Y))
    for found in parallel.launch(train, workers=2, backend="thread"):
        assert_same(found, [losses, state])


# -- refusals ----------------------------------------------------------------------------------------------------------


def gradients(net):
    return [p.grad for p in net.parameters() if p.grad is not None]


NEED_ALL = {
    "LBFGS": (lambda net: optim.LBFGS(net.parameters()), r"it goes with data and space ranks, without zero; .*Adam"),
    "clip_grad_norm_": (
        lambda net: nn.utils.clip_grad_norm_(net.parameters(), 1.0),
        r"call net\.clip_grad_norm_\(max_norm\), of the net that parallelize returned",
    ),
    "get_total_norm": (lambda net: nn.utils.get_total_norm(gradients(net)), r"call net\.clip_grad_norm_\(max_norm\)"),
    "parameters_to_vector": (lambda net: nn.utils.parameters_to_vector(net.parameters()), r"net\.state_dict\(\) is"),
    "vector_to_parameters": (
        lambda net: nn.utils.vector_to_parameters(minipar.ones(9999), net.parameters()),
        r"net\.load_state_dict takes",
    ),
}
SPLIT_BY = {
    "pipeline=2": "pipeline=2",
    "tensor=2": "tensor=2",
    "data=2,zero=1": "zero=1",
    "data=2,zero=2": "zero=2",
    "data=2,zero=3": "zero=3",
    "tensor=2,virtual_shards=2": "tensor=2",
    "data=2,pipeline=2,tensor=2,zero=1": "pipeline=2, tensor=2, zero=1",
}


@pytest.mark.parametrize("layout", SPLIT_BY)
@pytest.mark.parametrize("name", NEED_ALL)
def test_what_needs_the_whole_model_says_so_on_every_rank(name, layout):
    call, instead = NEED_ALL[name]

    def refused(comm, layout):
        net = layout.parallelize(mlp(), comm)
        for _ in range(2):  # gradients are added to, and forgotten
            net.loss_and_gradients(F.cross_entropy, X, Y)
            with pytest.raises(ValueError, match=rf"^{name} needs a whole model.* split by (.*?): {instead}") as caught:
                call(net)
            net.zero_grad()
        return str(caught.value).partition("split by ")[2].partition(":")[0]

    assert set(on_ranks(refused, layout)) == {SPLIT_BY[layout]}


def test_a_stage_without_parameters_refuses_as_the_others():
    def refused(comm):
        net = parallel.parallelize(nn.Sequential(nn.Linear(6, 4), nn.Tanh()), parallel.Mesh(comm, pipeline=2))
        for name in ("LBFGS", "clip_grad_norm_"):
            with pytest.raises(ValueError, match=f"^{name} needs .* split by pipeline=2"):
                NEED_ALL[name][0](net)
        return sum(p.numel() for p in net.parameters())

    assert parallel.launch(refused, workers=2, backend="thread") == [28, 0]


def test_what_was_made_of_the_model_before_it_was_split_refuses_too():
    def refused(comm, layout):
        model = mlp()
        lbfgs, held = optim.LBFGS(model.parameters()), list(model.parameters())
        net = layout.parallelize(model, comm)
        with pytest.raises(ValueError, match=r"^LBFGS needs"):
            net.train_step(F.cross_entropy, lbfgs, X, Y)
        with pytest.raises(ValueError, match=r"^clip_grad_norm_ needs"):
            nn.utils.clip_grad_norm_(held, 1.0)

    for layout in SPLITS:
        on_ranks(refused, layout)


class ByNorm(optim.SGD):
    """A user's: it would divide by the norm of all gradients."""

    elementwise = False


def test_an_optimizer_of_the_users_that_says_so_is_refused():
    def refused(comm, layout):
        net = layout.parallelize(mlp(), comm)
        with pytest.raises(ValueError, match=r"^ByNorm needs a whole model"):
            ByNorm(net.parameters())

    on_ranks(refused, "tensor=2")


def test_a_model_split_by_tensor_parallel_itself_refuses():
    def refused(comm):
        model = parallel.tensor_parallel(mlp(), comm)
        for call in (lambda ps: nn.utils.clip_grad_norm_(ps, 1.0), optim.LBFGS):
            with pytest.raises(ValueError, match="split by tensor ranks"):
                call(model.parameters())

    parallel.launch(refused, workers=2, backend="thread")


@pytest.mark.parametrize("layout", ["data=2", "data=1,zero=1", "data=1,zero=3", "data=2,virtual_shards=2"])
def test_where_every_rank_has_all_of_it_nothing_is_refused(layout):
    def used(comm, layout):
        net = layout.parallelize(mlp(), comm)
        net.loss_and_gradients(F.cross_entropy, X, Y)
        norms = [nn.utils.get_total_norm(gradients(net)), nn.utils.clip_grad_norm_(net.parameters(), 0.1)]
        optim.LBFGS(net.parameters())
        return [*arrays(norms), nn.utils.parameters_to_vector(net.parameters()).numel()]

    whole = mlp()
    F.cross_entropy(whole(X), Y).backward()
    norm = nn.utils.clip_grad_norm_(whole.parameters(), 0.1).numpy()
    for found in on_ranks(used, layout):
        assert_same(found, [norm, norm, sum(p.numel() for p in whole.parameters())])


def test_elementwise_clipping_goes_with_every_layout():
    def clipped(comm, layout):
        net = layout.parallelize(mlp(), comm)
        net.loss_and_gradients(F.cross_entropy, X, Y)
        nn.utils.clip_grad_value_(net.parameters(), 0.01)
        optimizer = optim.SGD(net.parameters(), lr=1.0)
        optimizer.step()
        return arrays(net.state_dict())

    whole = mlp()
    F.cross_entropy(whole(X), Y).backward()
    nn.utils.clip_grad_value_(whole.parameters(), 0.01)
    optim.SGD(whole.parameters(), lr=1.0).step()
    for layout in SPLITS:
        for found in on_ranks(clipped, layout):
            assert_same(found, arrays(whole.state_dict()))


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_zero_3_refuses_a_layer_whose_weight_is_computed_before_it_runs(norm):
    def build():
        model = mlp()
        norm(model[2])
        return model

    def refused(comm):
        mesh = parallel.Mesh(comm, data=2)
        with pytest.raises(ValueError, match=r"^layer '2': weight_norm and spectral_norm .* use zero=2"):
            parallel.parallelize(build(), mesh, zero=3)
        inside = parallel.parallelize(nn.Sequential(Inside(build()), nn.Identity()), mesh, zero=3)
        step = optim.SGD(inside.parameters(), lr=0.1)
        return [inside.train_step(F.cross_entropy, step, X, Y) for _ in range(4)]

    losses, _, _ = steps_of_one_process(build, lambda ps: optim.SGD(ps, lr=0.1), F.cross_entropy, (X, Y))
    for found in parallel.launch(refused, workers=2, backend="thread"):
        assert_same(found, losses)


class Inside(nn.Module):
    """Its parameters, and those of what it holds, come and go at once."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)

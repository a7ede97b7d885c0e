"""parallelize: what a user does with a model that is split, in layouts of every kind. (Equality: test_equivalence.)"""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F

LAYOUTS = ["data=2", "pipeline=2,microbatches=3", "tensor=2", "data=2,pipeline=2,tensor=2", "pipeline=3"]
LAYOUTS += ["data=3,zero=1", "data=2,tensor=2,zero=2", "data=3,zero=3", "data=2,pipeline=2,microbatches=2,zero=3"]
DATA = np.random.default_rng(1)
X = minipar.tensor(DATA.normal(size=(7, 6)))
Y = minipar.tensor(DATA.integers(0, 4, 7))


def model():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 4)).double()


def sgd(parameters):
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


def on_ranks(fn, layout, *args):
    layout = parallel.Layout.parse(layout)
    return parallel.launch(_in_layout, fn, layout, *args, workers=layout.ranks, backend="thread")


def _in_layout(comm, fn, layout, *args):
    return fn(layout.parallelize(model(), comm), *args)


def numbers(tensors):
    return {name: tensor.numpy() for name, tensor in tensors.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_checkpoint_of_one_layout_loads_in_another(layout):
    def trained(net):
        net.train_step(F.cross_entropy, sgd(net.parameters()), X, Y)
        return numbers(net.state_dict())

    def loaded(net, state):
        net.load_state_dict(state)
        return numbers(net.state_dict()), net(X).numpy()

    saved = on_ranks(trained, layout)[0]
    whole = model()
    assert {name: array.shape for name, array in saved.items()} == {n: t.shape for n, t in whole.state_dict().items()}
    whole.load_state_dict(saved)
    for state, output in on_ranks(loaded, "pipeline=2,tensor=2", saved):
        assert all(np.array_equal(state[name], saved[name]) for name in saved)
        np.testing.assert_allclose(output, whole(X).detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("make", [sgd, lambda parameters: optim.Adam(parameters, lr=0.01)], ids=["sgd", "adam"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_goes_on_in_another_layout_as_if_nothing_had_happened(layout, make):
    def first_half(net):
        step = make(net.parameters())
        for _ in range(3):
            net.train_step(F.cross_entropy, step, X, Y)
        return net.state_dict(), net.optimizer_state_dict(step)

    def second_half(net, state, optimizer_state):
        step = make(net.parameters())
        net.load_state_dict(state)
        net.load_optimizer_state_dict(step, optimizer_state)
        for _ in range(3):
            net.train_step(F.cross_entropy, step, X, Y)
        return numbers(net.state_dict())

    whole = model()
    step = make(whole.parameters())
    for number in range(6):
        if number == 3:
            expected = step.state_dict()["param_groups"]
        step.zero_grad()
        F.cross_entropy(whole(X), Y).backward()
        step.step()
    state, optimizer_state = on_ranks(first_half, layout)[0]
    assert optimizer_state["param_groups"] == expected
    for got in on_ranks(second_half, "pipeline=2,tensor=2,microbatches=2", state, optimizer_state):
        for name, tensor in whole.state_dict().items():
            np.testing.assert_allclose(got[name], tensor.numpy(), rtol=1e-10, atol=1e-14)
    resumed = model()
    step = make(resumed.parameters())
    resumed.load_state_dict(state)
    step.load_state_dict(optimizer_state)
    for _ in range(3):
        step.zero_grad()
        F.cross_entropy(resumed(X), Y).backward()
        step.step()
    for name, tensor in whole.state_dict().items():
        np.testing.assert_allclose(resumed.state_dict()[name].numpy(), tensor.numpy(), rtol=1e-10, atol=1e-14)


def test_a_state_that_does_not_fit_changes_nothing():
    def load(net):
        before = numbers(net.state_dict())
        state = {name: array * 2 for name, array in before.items() if name != "4.bias"}
        state["0.weight"] = state["0.weight"][:3]
        state["5.bias"] = np.zeros(1)
        with pytest.raises(RuntimeError) as error:
            net.load_state_dict(state)
        for said in ("missing key '4.bias'", "unexpected key '5.bias'"):
            assert said in str(error.value)
        after = numbers(net.state_dict())
        return all(np.array_equal(after[name], before[name]) for name in before), str(error.value)

    told = on_ranks(load, "pipeline=2")
    assert all(same for same, _ in told)
    assert "'0.weight' has shape (3, 6), the model's is (40, 6)" in told[0][1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_output_of_a_whole_batch_is_that_of_one_process(layout):
    def output(net):
        net.eval()
        return net(X).numpy(), minipar.is_grad_enabled()

    expected = model().eval()(X).detach().numpy()
    for got, recording in on_ranks(output, layout):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
        assert recording


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_clipped_by_the_norm_of_the_whole_model(layout):
    def clipped(net):
        net.loss_and_gradients(F.cross_entropy, X, Y)
        return net.clip_grad_norm_(0.01), numbers(net.gradients())

    whole = model()
    F.cross_entropy(whole(X), Y).backward()
    norm = nn.utils.clip_grad_norm_(whole.parameters(), 0.01).item()
    for got, gradients in on_ranks(clipped, layout):
        assert got == pytest.approx(norm, rel=1e-12)
        for name, p in whole.named_parameters():
            np.testing.assert_allclose(gradients[name], p.grad.numpy(), rtol=1e-10)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_several_batches_add_up(layout):
    def accumulated(net):
        for rows in (slice(0, 3), slice(3, 7)):
            net.loss_and_gradients(F.cross_entropy, X[rows], Y[rows])
        gradients = numbers(net.gradients())
        net.zero_grad()
        return gradients, net.gradients()

    whole = model()
    for rows in (slice(0, 3), slice(3, 7)):
        F.cross_entropy(whole(X[rows]), Y[rows]).backward()
    for gradients, after in on_ranks(accumulated, layout):
        for name, p in whole.named_parameters():
            np.testing.assert_allclose(gradients[name], p.grad.numpy(), rtol=1e-10, atol=1e-15)
        assert not after


def test_a_frozen_parameter_has_no_gradient():
    def gradients(comm):
        whole = model()
        whole[0].requires_grad_(False)
        net = parallel.parallelize(whole, parallel.Mesh(comm, pipeline=2), microbatches=2)
        net.loss_and_gradients(F.cross_entropy, X, Y)
        return list(net.gradients())

    names = parallel.launch(gradients, workers=2, backend="thread")[0]
    assert names == ["2.weight", "2.bias", "4.weight", "4.bias"]


def test_names_and_an_optimizer_on_a_rank_without_parameters():
    def names(comm):
        whole = nn.Sequential(nn.Linear(6, 4), nn.ReLU()).double()
        net = parallel.parallelize(whole, parallel.Mesh(comm, pipeline=2), cut=[1])
        loss = net.train_step(F.cross_entropy, sgd(net.parameters()), X, Y)
        return [name for name, _ in net.named_parameters()], [p.numel() for p in net.parameters()], loss

    first, second = parallel.launch(names, workers=2, backend="thread")
    assert first[:2] == (["0.weight", "0.bias"], [24, 4])
    assert second[:2] == ([], [0])
    assert first[2] == second[2]


def test_ranks_with_different_batches_are_told():
    def train(net, lengths):
        rank = net.mesh.comm.rank
        return net.train_step(F.cross_entropy, sgd(net.parameters()), X[: lengths[rank]], Y[: lengths[rank]])

    with pytest.raises(parallel.WorkerError, match="batches of different lengths: 7 on rank 0, 6 on rank 1"):
        on_ranks(train, "data=2", [7, 6])


@pytest.mark.parametrize("layout", ["data=3", "data=2,tensor=2", "data=3,microbatches=2,schedule=gpipe"])
def test_ranks_without_samples_go_on_drawing_where_the_others_do(layout):
    def dropped():
        minipar.manual_seed(3)
        return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 4)).double()

    def train(comm):
        net = parallel.Layout.parse(layout).parallelize(dropped(), comm)
        step = sgd(net.parameters())
        return [net.train_step(F.cross_entropy, step, X[:n], Y[:n]) for n in (1, 7, 2, 7)]

    minipar.manual_seed(3)
    whole, losses = dropped(), []
    step = sgd(whole.parameters())
    for n in (1, 7, 2, 7):
        step.zero_grad()
        loss = F.cross_entropy(whole(X[:n]), Y[:n])
        loss.backward()
        step.step()
        losses.append(loss.item())
    ranks = parallel.Layout.parse(layout).ranks
    for told in parallel.launch(train, workers=ranks, backend="thread"):
        np.testing.assert_allclose(told, losses, rtol=1e-12)


def test_batch_norm_and_micro_batches_are_refused_by_name():
    def train(comm):
        whole = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)).double()
        net = parallel.parallelize(whole, parallel.Mesh(comm), microbatches=2)
        with pytest.raises(
            RuntimeError, match=r"layer '1' \(BatchNorm1d\).*2 pieces: use GroupNorm.*eval mode.*microbatches=1"
        ):
            net.loss_and_gradients(F.cross_entropy, X, Y)
        net.eval()
        return net.loss_and_gradients(F.cross_entropy, X, Y)

    parallel.launch(train, workers=1, backend="thread")


@pytest.mark.parametrize(
    ("cut", "says"),
    [([2, 2], "must be 1 growing numbers"), ([0], "from 1 to 4"), ([5], "growing"), ([], "must be 1 growing")],
)
def test_a_cut_that_is_none_is_refused(cut, says):
    def make(comm):
        with pytest.raises(ValueError, match=says):
            parallel.parallelize(model(), parallel.Mesh(comm, pipeline=2), cut=cut)

    parallel.launch(make, workers=2, backend="thread")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data", "'data' is not name=value"),
        ("data=2,data=2", "each once"),
        ("rows=2", "'rows=2' is not name=value with one of data, pipeline"),
        ("data=0", "whole number from 1 on"),
        ("data=x", "whole number"),
        ("schedule=2f2b", "schedule must be one of sequential"),
        ("recompute=yes", "must be True or False"),
        ("auto", "needs the number of ranks"),
    ],
)
def test_a_layout_that_is_none_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        parallel.Layout.parse(text)


def test_a_layout_is_read_and_written_alike():
    for text in (*LAYOUTS, "pipeline=2,microbatches=4,schedule=interleaved,chunks=2,recompute=True", "data=1"):
        assert str(parallel.Layout.parse(text)) == text
    assert parallel.Layout.parse("auto", ranks=6) == parallel.Layout(data=6)
    assert parallel.Layout.parse(" data=2 , space=3 ").ranks == 6


@pytest.mark.parametrize(
    ("backend", "optimizer"),
    [("thread", sgd), ("process", lambda parameters: optim.Adam(parameters, lr=0.01))],
    ids=["thread-sgd", "process-adam"],
)
def test_virtual_shards_give_the_same_bits_on_any_number_of_workers(backend, optimizer):
    def train(comm):
        minipar.manual_seed(3)
        whole = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 4))
        net = parallel.parallelize(whole, parallel.Mesh(comm, data=comm.size), virtual_shards=4)
        step = optimizer(net.parameters())
        images, labels = minipar.randn(13, 1, 8, 8), minipar.randint(4, (13,))
        losses = [net.train_step(F.cross_entropy, step, images[:n], labels[:n]) for n in (13, 5, 2, 13)]
        return losses, numbers(net.state_dict())

    runs = [run for size in (1, 2, 3, 4) for run in parallel.launch(train, workers=size, backend=backend)]
    for losses, state in runs:
        assert losses == runs[0][0]
        assert all(np.array_equal(state[name], runs[0][1][name]) for name in state)


def test_virtual_shards_refuse_what_they_do_not_go_with():
    def make(comm, axes, **options):
        with pytest.raises(ValueError, match="virtual_shards"):
            parallel.parallelize(model(), parallel.Mesh(comm, **axes), **options)

    parallel.launch(make, {"pipeline": 2}, virtual_shards=4, workers=2, backend="thread")
    parallel.launch(make, {"data": 2}, virtual_shards=4, microbatches=2, workers=2, backend="thread")
    parallel.launch(make, {"data": 2}, virtual_shards=1, workers=2, backend="thread")

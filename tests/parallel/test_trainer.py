"""parallelize: what a user does with a model that is split, in layouts of every kind. (Equality: test_equivalence.)"""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.pipeline.run import Run

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
        return net.forward(X).numpy(), minipar.is_grad_enabled()

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


@pytest.mark.parametrize("options", [{"microbatches": 2}, {"virtual_shards": 2}, {"recompute": True}])
def test_spectral_norm_runs_once_a_batch(options):
    def train(comm):
        whole = nn.Sequential(nn.Linear(6, 8), nn.utils.spectral_norm(nn.Linear(8, 4))).double()
        net = parallel.parallelize(whole, parallel.Mesh(comm), **options)
        with pytest.raises(RuntimeError, match=r"layer '1': spectral_norm iterates .*microbatches=1, .*no recompute"):
            net.loss_and_gradients(F.cross_entropy, X, Y)
        net.eval()
        return net.loss_and_gradients(F.cross_entropy, X, Y)

    parallel.launch(train, workers=1, backend="thread")


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
        ("data=2,compress=zip", "compress must be None, 'fp16', or 'topk:R'"),
        ("batch_stats=none", "batch_stats must be whole or micro"),
    ],
)
def test_a_layout_that_is_none_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        parallel.Layout.parse(text)


def test_a_layout_is_read_and_written_alike():
    more = (
        "pipeline=2,microbatches=4,schedule=interleaved,chunks=2,recompute=True",
        "data=2,compress=topk:0.1",
        "data=1",
    )
    for text in (*LAYOUTS, *more, "data=2,batch_stats=micro", "data=1"):
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


# -- found by a reader, each once wrong without a word ---------------------------------------------------------------


def test_every_rank_starts_from_rank_0():
    def state(comm):
        minipar.manual_seed(comm.rank)
        whole = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 4)).double()
        whole[1].running_mean += comm.rank
        net = parallel.Layout.parse("data=2,tensor=2").parallelize(whole, comm)
        return numbers(net.state_dict())

    minipar.manual_seed(0)
    expected = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 4)).double().state_dict()
    for got in parallel.launch(state, workers=4, backend="thread"):
        for name, tensor in expected.items():
            np.testing.assert_array_equal(got[name], tensor.numpy())


def test_a_schedule_of_ones_own_trains():
    """Each rank has a stage on the way down, and one on the way up; the last micro-batch's gradient comes first."""
    pipeline = parallel.pipeline
    f, b = pipeline.Forward, pipeline.Backward
    outer = [f(0, 0), f(0, 1), f(2, 0), f(2, 1), b(2, 1), b(2, 0), b(0, 1), b(0, 0)]
    inner = [f(1, 0), f(1, 1), b(1, 1), b(1, 0)]
    schedule = pipeline.check(pipeline.Schedule.of([outer, inner], "down and up"))

    def train(comm):
        mesh = parallel.Mesh(comm, pipeline=2)
        net = parallel.parallelize(model(), mesh, schedule=schedule, cut=[2, 4])
        step = sgd(net.parameters())
        return [net.train_step(F.cross_entropy, step, X, Y) for _ in range(4)], numbers(net.state_dict())

    whole, losses = model(), []
    step = sgd(whole.parameters())
    for _ in range(4):
        step.zero_grad()
        loss = F.cross_entropy(whole(X), Y)
        loss.backward()
        step.step()
        losses.append(loss.item())
    for told, state in parallel.launch(train, workers=2, backend="thread"):
        np.testing.assert_allclose(told, losses, rtol=1e-12)
        for name, p in whole.named_parameters():
            np.testing.assert_allclose(state[name], p.detach().numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["sequential", "gpipe", "1f1b", "interleaved", "zb-h1"])
@pytest.mark.parametrize(("ranks", "microbatches"), [(2, 4), (3, 6)])
def test_a_rank_keeps_as_many_activations_as_its_schedule_says(name, ranks, microbatches):
    chunks = 2 if name == "interleaved" else 1
    schedule = parallel.pipeline.make_schedule(name, ranks, microbatches, chunks)

    def most_kept(comm):
        stages = {stage: nn.Linear(3, 3).double() for stage in schedule.stages_of(comm.rank)}
        inputs = [minipar.ones(2, 3).double() for _ in range(microbatches)]
        samples = [(2 * i, 2, 2 * microbatches) for i in range(microbatches)]
        run = Run(schedule, comm, stages, inputs, samples, lambda i, y: y.sum(), lambda i: 1.0)
        return run.carry_out().most_kept

    told = parallel.launch(most_kept, workers=ranks, backend="thread")
    assert told == [chunks * peak for peak in parallel.pipeline.simulate(schedule).peak_activations]


def _gradients_of_one_process(whole, batches=((X, Y),)):
    for x, y in batches:
        F.cross_entropy(whole(x), y).backward()
    return {name: p.grad.numpy().copy() for name, p in whole.named_parameters()}


def test_a_layer_in_two_stages_of_one_rank_is_sent_when_both_are_through():
    def build():
        minipar.manual_seed(3)
        twice = nn.Linear(6, 6)
        return nn.Sequential(twice, nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), twice, nn.Tanh(), nn.Linear(6, 4)).double()

    def gradients(comm):
        mesh = parallel.Mesh(comm, data=2, pipeline=2)
        options = {"microbatches": 2, "schedule": "interleaved", "chunks": 2, "cut": [2, 4, 6], "bucket": 1}
        net = parallel.parallelize(build(), mesh, **options)
        net.loss_and_gradients(F.cross_entropy, X, Y)
        return numbers(net.gradients())

    expected = _gradients_of_one_process(build())
    for got in parallel.launch(gradients, workers=4, backend="thread"):
        for name, array in expected.items():
            np.testing.assert_allclose(got[name], array, rtol=1e-10, atol=1e-15)


def test_virtual_shards_are_of_one_batch():
    def train(comm):
        net = parallel.parallelize(model(), parallel.Mesh(comm, data=2), virtual_shards=2)
        n = [7, 5][comm.rank]
        with pytest.raises(ValueError, match="different lengths: 7 on rank 0, 5 on rank 1"):
            net.loss_and_gradients(F.cross_entropy, X[:n], Y[:n])

    parallel.launch(train, workers=2, backend="thread")


class _Tied(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.weight = layer.weight

    def forward(self, x):
        return F.linear(x, self.weight)


def _tied_model():
    minipar.manual_seed(3)
    first = nn.Linear(6, 6, bias=False)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(6, 6), _Tied(first), nn.Linear(6, 4)).double()


def test_a_frozen_tied_weight_stays():
    def train(comm):
        whole = _tied_model()
        whole[0].weight.requires_grad_(False)
        before = whole[0].weight.numpy().copy()
        net = parallel.parallelize(whole, parallel.Mesh(comm, pipeline=2), cut=[2])
        net.train_step(F.cross_entropy, optim.SGD(net.parameters(), lr=0.1, weight_decay=0.5), X, Y)
        return before, net.state_dict()["0.weight"].numpy()

    for before, after in parallel.launch(train, workers=2, backend="thread"):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("zero", [0, 1])
def test_a_tied_weight_counts_once_in_the_norm(zero):
    def clipped(comm):
        net = parallel.parallelize(_tied_model(), parallel.Mesh(comm, data=2, pipeline=2), cut=[2], zero=zero)
        net.loss_and_gradients(F.cross_entropy, X, Y)
        return net.clip_grad_norm_(0.01)

    whole = _tied_model()
    F.cross_entropy(whole(X), Y).backward()
    norm = nn.utils.clip_grad_norm_(whole.parameters(), 0.01).item()
    assert parallel.launch(clipped, workers=4, backend="thread") == pytest.approx([norm] * 4, rel=1e-12)


def test_schedules_that_do_not_train_or_fit_are_refused():
    make = parallel.pipeline.make_schedule

    def refuse(comm):
        mesh = parallel.Mesh(comm, pipeline=2)
        net = parallel.parallelize(model(), mesh, schedule="inference")
        with pytest.raises(ValueError, match="no backward pass"):
            net.loss_and_gradients(F.cross_entropy, X, Y)
        with pytest.raises(ValueError, match="not for pipeline=2"):
            parallel.parallelize(model(), mesh, schedule=make("1f1b", 1, 2))
        with pytest.raises(ValueError, match="leave out microbatches=4"):
            parallel.parallelize(model(), mesh, schedule=make("1f1b", 2, 2), microbatches=4)

    parallel.launch(refuse, workers=2, backend="thread")


@pytest.mark.parametrize("options", [{}, {"virtual_shards": 2}], ids=["buckets", "tree"])
def test_a_batch_that_fails_leaves_no_gradient_of_one_rank_behind(options):
    def broken(output, target):
        F.cross_entropy(output, target)
        raise ArithmeticError

    def gradients(comm):
        net = parallel.parallelize(model(), parallel.Mesh(comm, data=2), **options)
        net.loss_and_gradients(F.cross_entropy, X[:3], Y[:3])
        with pytest.raises(ArithmeticError):
            net.loss_and_gradients(broken, X, Y)
        net.loss_and_gradients(F.cross_entropy, X[3:], Y[3:])
        return numbers(net.gradients())

    expected = _gradients_of_one_process(model(), ((X[:3], Y[:3]), (X[3:], Y[3:])))
    for got in parallel.launch(gradients, workers=2, backend="thread"):
        for name, array in expected.items():
            np.testing.assert_allclose(got[name], array, rtol=1e-10, atol=1e-15)


def test_the_optimizer_state_of_another_model_is_refused():
    def load(comm):
        net = parallel.parallelize(model(), parallel.Mesh(comm, pipeline=2))
        other = nn.Linear(2, 2)
        with pytest.raises(ValueError, match=r"groups of \[2\] parameters, the optimizers of this model of \[6\]"):
            net.load_optimizer_state_dict(sgd(net.parameters()), sgd(other.parameters()).state_dict())

    parallel.launch(load, workers=2, backend="thread")


def test_ranks_with_parts_of_different_sizes_cut_in_the_same_place():
    def build():
        minipar.manual_seed(3)
        layers = [nn.Linear(20, 3), nn.Tanh(), nn.Linear(3, 20), nn.Linear(20, 2), nn.Tanh(), nn.Linear(2, 4)]
        return nn.Sequential(*layers).double()

    batch = minipar.randn(5, 20, dtype=minipar.float64), Y[:5]
    layouts = ["pipeline=2,tensor=2"]
    assert max(parallel.assert_equivalent(build(), batch, F.cross_entropy, sgd, layouts, steps=3).values()) < 1e-10


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_zero_steps_a_parameter_that_lies_in_another_order(zero):
    def train(comm):
        whole = model()
        whole[0].weight = nn.Parameter(whole[0].weight.detach().t().contiguous().t())
        net = parallel.parallelize(whole, parallel.Mesh(comm, data=2), zero=zero)
        net.train_step(F.cross_entropy, sgd(net.parameters()), X, Y)
        trained = model()
        trained.load_state_dict(net.state_dict())
        np.testing.assert_allclose(net(X).numpy(), trained(X).detach().numpy(), rtol=1e-12)

    parallel.launch(train, workers=2, backend="thread")


@pytest.mark.parametrize("option", ["max_norm", "scale_grad_by_freq"])
def test_an_embedding_that_looks_at_the_whole_batch_is_refused_where_that_is_split(option):
    def train(comm):
        whole = nn.Sequential(nn.Embedding(5, 4, **{option: True})).double()
        net = parallel.parallelize(whole, parallel.Mesh(comm, data=2))
        with pytest.raises(RuntimeError, match=f"layer '0': {option}"):
            net.loss_and_gradients(F.cross_entropy, Y, Y)

    parallel.launch(train, workers=2, backend="thread")


def test_data_parallel_with_sync_batch_norm_takes_ranks_without_rows():
    def train(comm):
        whole = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)).double()
        net = parallel.DataParallel(parallel.SyncBatchNorm.convert_sync_batchnorm(whole, comm), comm)
        step = sgd(net.parameters())
        return [net.train_step(lambda net, x, y: F.cross_entropy(net(x), y), step, X[:2], Y[:2]) for _ in range(2)]

    first, *others = parallel.launch(train, workers=3, backend="thread")
    assert all(losses == first for losses in others)
    assert np.isfinite(first).all()

"""The promise for data parallelism: any number of workers trains as one does (DESIGN: the metric of `equality`)."""

from __future__ import annotations

import numpy as np
import pytest

import minipar as torch
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.nn.parameter import flatten
from minipar.parallel.equality import (
    TOLERANCE,
    compare_gradients,
    compare_parameters,
    first_difference,
)
from minipar.parallel.gradients import side_by_side
from minipar.parallel.shares import share

ROWS = 13  # does not divide by 2, 3 or 4


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


def cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))


class Reader(nn.Module):
    """A recurrent model with a part that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.rnn = nn.RNN(4, 6, batch_first=True)
        self.head = nn.Linear(6, 3)
        self.unused = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.rnn(self.embedding(x))[0][:, -1])


def mean_loss(net, x, y):
    return F.cross_entropy(net(x), y)


def weighted_loss(net, x, y):
    """The denominator is the sum of the weights of what counts, which differs from rank to rank."""
    return F.cross_entropy(net(x), y, torch.tensor([0.2, 1.0, 3.0], dtype=x.dtype), ignore_index=2)


def summed_loss(net, x, y):
    return F.cross_entropy(net(x), y, reduction="sum")


def pair_loss(net, x, y):
    losses = F.cross_entropy(net(x), y, reduction="none")
    return losses.sum(), len(x)


MODELS = {"mlp": (mlp, (5,)), "cnn": (cnn, (1, 7, 7)), "reader": (Reader, None)}
LOSSES = {"mean": mean_loss, "weighted": weighted_loss, "sum": summed_loss, "pair": pair_loss}
OPTIMIZERS = {
    "momentum": lambda p: optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=0.02),
}


def train(comm, model: str, loss: str, optimizer: str, dtype: str, steps: int = 20, rows: int = ROWS):
    """(losses, start, gradients of step 1, parameters at the end), as arrays."""
    torch.manual_seed(3)
    build, shape = MODELS[model]
    net = build().to(getattr(torch, dtype))
    dp = parallel.DataParallel(net, comm)
    step = OPTIMIZERS[optimizer](dp.parameters())
    losses, first = [], {}
    start = {k: p.array.copy() for k, p in net.named_parameters()}
    for i in range(steps):
        n = rows if i % 4 else 2  # every fourth batch is smaller than the number of workers
        x = torch.randint(7, (n, 5)) if shape is None else torch.randn(n, *shape, dtype=getattr(torch, dtype))
        losses.append(dp.train_step(LOSSES[loss], step, x, torch.randint(3, (n,))))
        if not i:
            first = {k: p.grad.array.copy() for k, p in net.named_parameters() if p.grad is not None}
    return losses, start, first, {k: p.array.copy() for k, p in net.named_parameters()}


def assert_same_training(got, alone, dtype: str) -> None:
    tolerance = TOLERANCE[np.dtype(dtype)]
    np.testing.assert_allclose(got[0], alone[0], rtol=100 * tolerance)
    assert first_difference(compare_gradients(got[2], alone[2]), tolerance) is None
    assert first_difference(compare_parameters(got[3], alone[3], alone[1], 0.02), tolerance) is None


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_threads_train_as_one_float64(model, loss, workers):
    if model == "reader" and loss == "weighted":
        loss = "mean"  # its input has no floating dtype to make weights of
    cell = (model, loss, "momentum", "float64")
    alone = parallel.launch(train, *cell, workers=1, backend="thread")[0]
    for got in parallel.launch(train, *cell, workers=workers, backend="thread"):
        assert_same_training(got, alone, "float64")


@pytest.mark.parametrize("model", MODELS)
def test_threads_train_as_one_float32_adam(model):
    alone = parallel.launch(train, model, "mean", "adam", "float32", workers=1, backend="thread")[0]
    together = parallel.launch(train, model, "mean", "adam", "float32", workers=3, backend="thread")[0]
    assert_same_training(together, alone, "float32")


def test_processes_train_as_one_and_repeat_their_bits():
    def everything(comm):
        return [train(comm, model, "mean", "momentum", "float32") for model in MODELS]

    alone = parallel.launch(everything, workers=1)[0]
    first, again = parallel.launch(everything, workers=2), parallel.launch(everything, workers=2)
    for model, one in enumerate(alone):
        assert_same_training(first[0][model], one, "float32")
        for rank in range(2):
            for name, p in first[rank][model][3].items():
                assert np.array_equal(p, first[0][model][3][name]), "ranks differ"
                assert np.array_equal(p, again[rank][model][3][name]), "runs differ"


def test_parameters_come_from_rank_0():
    def start(comm):
        torch.manual_seed(comm.rank)
        return parallel.DataParallel(nn.Linear(3, 2), comm).module.weight.array

    weights = parallel.launch(start, workers=3, backend="thread")
    assert all(np.array_equal(w, weights[0]) for w in weights)


def test_gradients_accumulate_over_backward_calls():
    """backward twice without zero_grad adds, and exchanges only what each call added."""

    def twice(comm):
        torch.manual_seed(0)
        x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
        dp = parallel.DataParallel(nn.Linear(3, 2).double(), comm)
        for _ in range(2):
            a, b = dp.shard(x, y)
            dp.backward(F.mse_loss(dp(a), b))
        return [p.grad.array for p in dp.parameters()]

    alone = parallel.launch(twice, workers=1, backend="thread")[0]
    for got in parallel.launch(twice, workers=3, backend="thread"):
        for g, q in zip(got, alone):
            np.testing.assert_allclose(g, q, rtol=1e-12)


def test_unused_parameters_keep_no_gradient_and_partly_used_ones_get_one():
    class Switch(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)

        def forward(self, x, rank):
            return (self.a if rank == 0 else self.b)(x)

    def step(comm):
        dp = parallel.DataParallel(Switch(), comm)
        x = torch.ones(4, 1)
        (rows,) = dp.shard(x)
        dp.backward(F.mse_loss(dp(rows, comm.rank), rows))
        return {name: p.grad is not None for name, p in dp.module.named_parameters()}

    for seen in parallel.launch(step, workers=2, backend="thread"):
        assert seen == {
            "a.weight": True,
            "a.bias": True,
            "b.weight": True,
            "b.bias": True,
            "c.weight": False,
            "c.bias": False,
        }


def test_a_scalar_of_unknown_denominator_is_refused():
    def step(comm):
        dp = parallel.DataParallel(nn.Linear(1, 1), comm)
        return dp.backward(dp(torch.ones(2, 1)).mean())

    with pytest.raises(parallel.WorkerError, match="denominator of this loss is unknown"):
        parallel.launch(step, workers=2, backend="thread")


def test_shares_cover_every_row_once():
    for total in range(12):
        for size in range(1, 6):
            rows = [i for rank in range(size) for i in range(total)[share(total, rank, size)]]
            assert rows == list(range(total))
            lengths = [len(range(total)[share(total, rank, size)]) for rank in range(size)]
            assert max(lengths) - min(lengths) <= 1


def test_gradients_of_a_model_are_one_message():
    net = mlp()
    flatten(net.parameters())
    F.cross_entropy(net(torch.randn(4, 5)), torch.tensor([0, 1, 2, 0])).backward()
    parameters = list(net.parameters())[::-1]
    whole = side_by_side(parameters)
    assert whole.base is parameters[0].buffer.grad or whole is parameters[0].buffer.grad
    np.testing.assert_array_equal(whole, np.concatenate([p.grad.array.reshape(-1) for p in parameters]))
    assert side_by_side(parameters[:1] + parameters[2:]) is None
    assert side_by_side(parameters[::-1]) is None


@pytest.mark.parametrize("kept", ["gradient", "state dict", "both gradients"])
def test_what_one_rank_keeps_does_not_change_the_messages(kept):
    """Who looks at a tensor of the model decides where its numbers lie on that rank, never what is sent."""

    def steps(comm, keep):
        torch.manual_seed(0)
        net = mlp().double()
        held = [net.state_dict()] if keep == "state dict" and comm.rank == 0 else []
        dp = parallel.DataParallel(net, comm)
        optimizer = optim.SGD(dp.parameters(), lr=0.1, momentum=0.9)
        for _ in range(4):
            x, y = torch.randn(5, 5, dtype=torch.float64), torch.randint(3, (5,))
            dp.train_step(mean_loss, optimizer, x, y)
            if keep == "both gradients" or (keep == "gradient" and comm.rank == 0):
                held.append(net[2].weight.grad)
        return [p.array.copy() for p in net.parameters()], held

    alone = parallel.launch(steps, "", workers=1, backend="thread")[0][0]
    for got, _ in parallel.launch(steps, kept, workers=3, backend="thread"):
        for p, q in zip(got, alone):
            np.testing.assert_allclose(p, q, rtol=1e-12)


def test_accumulated_gradients_stay_in_the_buffer_and_survive_a_failing_backward():
    def accumulate(comm):
        dp = parallel.DataParallel(nn.Linear(2, 1).double(), comm)
        x = torch.ones(4, 2, dtype=torch.float64)

        def backward():
            (rows,) = dp.shard(x)
            return dp.backward(F.mse_loss(dp(rows), rows[:, :1]))

        backward()
        first = [p.grad.array.copy() for p in dp.parameters()]
        backward()
        in_place = all(p.grad_in_buffer() for p in dp.parameters())
        handle = dp.module.weight.register_hook(lambda g: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            backward()
        handle.remove()
        return in_place, first, [p.grad.array.copy() for p in dp.parameters()]

    ((in_place, first, last),) = parallel.launch(accumulate, workers=1, backend="thread")
    assert in_place
    np.testing.assert_allclose(last[0], 2 * first[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (lambda dp, rows, rank: dp.backward(F.mse_loss(dp(rows), rows), weight=2.0), "is a mean already"),
        (
            lambda dp, rows, rank: dp.backward(F.mse_loss(dp(rows), rows, reduction="mean" if rank else "sum")),
            "reduce their loss in the same way",
        ),
    ],
)
def test_contradictory_denominators_are_refused(loss, told):
    def step(comm):
        dp = parallel.DataParallel(nn.Linear(1, 1), comm)
        return loss(dp, torch.ones(2, 1), comm.rank)

    with pytest.raises(parallel.WorkerError, match=told):
        parallel.launch(step, workers=2, backend="thread")


class TestEquality:
    @property
    def q(self):
        return {"a": np.array([3.0, 4.0]), "b": np.zeros(4)}

    start = q

    def test_scales(self):
        p = {"a": np.array([3.0, 4.05]), "b": np.full(4, 1e-3)}
        rows = compare_parameters(p, self.q, self.start, lr=0.1)
        assert rows[0].relative == pytest.approx(0.05 / 5)
        assert rows[1].relative == pytest.approx(2e-3 / (2 * 0.1))
        assert first_difference(rows, 0.005).name == "a"
        assert first_difference(rows, 0.02) is None

    def test_gradients_are_relative_to_the_largest(self):
        rows = compare_gradients({"a": np.array([3.0, 4.0]), "b": np.array([0.5, 0, 0, 0])}, self.q)
        assert [row.relative for row in rows] == [0.0, pytest.approx(0.1)]

    def test_nan_is_never_equal(self):
        rows = compare_parameters({"a": np.array([3.0, np.nan]), "b": np.zeros(4)}, self.q, self.start, lr=0.1)
        assert first_difference(rows, 1e9).name == "a"

    def test_other_tensors_are_an_error(self):
        with pytest.raises(ValueError, match="different tensors"):
            compare_gradients({"a": np.zeros(2)}, self.q)


def gradients_are_shared(comm, held):
    net = mlp()
    x, y = torch.ones(4, 5), torch.zeros(4, 3)
    if held and comm.rank == 1:
        flatten(net.parameters())
        F.mse_loss(net(x), y).backward()  # this rank has gradients already: nobody may move them
    model = parallel.DataParallel(net, comm)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    losses = [model.train_step(lambda m, x, y: F.mse_loss(m(x), y), optimizer, x, y) for _ in range(3)]
    return comm._registered.place_of(net[0].weight.buffer.grad) != 0, losses


@pytest.mark.parametrize("held", [False, True])
def test_gradients_live_where_all_ranks_see_them(held):
    first, second = parallel.launch(gradients_are_shared, held, workers=2)
    assert first == second
    assert first[0] is not held


@pytest.mark.parametrize("workers", [2, 3])
def test_batches_inside_no_sync_are_added_up_once(workers):
    """Batches of 5, 2 (a rank of three has no rows) and 13 samples; gradients travel once, with the last."""
    torch.manual_seed(1)
    batches = [(torch.randn(n, 5).double(), torch.randint(3, (n,))) for n in (5, 2, ROWS)]

    def model():
        torch.manual_seed(0)
        return mlp().double()

    def backward(net, x, y):
        x, y = net.shard(x, y)
        return net.backward(F.cross_entropy(net(x), y) if len(x) else None)

    def train(comm):
        net = parallel.DataParallel(model(), comm)
        nbytes = sum(p.array.nbytes for p in net.parameters())
        with parallel.timeline.record() as inside, net.no_sync():
            losses = [backward(net, *batches[0])]
            with net.no_sync():
                losses.append(backward(net, *batches[1]))
        with parallel.timeline.record() as outside:
            losses.append(backward(net, *batches[2]))
        sent = [sum(span.nbytes >= nbytes // 4 for span in spans) for spans in (inside, outside)]
        with pytest.raises(KeyError), net.no_sync():
            raise KeyError
        with parallel.timeline.record() as after:
            backward(net, *batches[0])
        sent.append(sum(span.nbytes >= nbytes // 4 for span in after))
        return losses, sent

    def gradients(comm):
        net = parallel.DataParallel(model(), comm)
        with net.no_sync():
            for batch in batches[:2]:
                backward(net, *batch)
        backward(net, *batches[2])
        return {name: p.grad.numpy().copy() for name, p in net.module.named_parameters()}

    whole, expected = model(), []
    for x, y in batches:
        loss = F.cross_entropy(whole(x), y)
        loss.backward()
        expected.append(loss.item())
    for losses, sent in parallel.launch(train, workers=workers, backend="thread"):
        np.testing.assert_allclose(losses, expected, rtol=1e-12)
        assert sent[0] == 0
        assert sent[1] == sent[2] > 0
    for got in parallel.launch(gradients, workers=workers, backend="thread"):
        for name, p in whole.named_parameters():
            np.testing.assert_allclose(got[name], p.grad.numpy(), rtol=1e-10, atol=1e-15)

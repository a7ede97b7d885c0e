"""batch_stats="micro": plain batch norm of each micro-batch, its running statistics the same on every rank."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F


def _model():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()


def _batch():
    draw = np.random.default_rng(0)
    return minipar.tensor(draw.normal(size=(24, 5))), minipar.tensor(draw.integers(0, 3, 24))


def _train(comm, axes, **options):
    net = parallel.parallelize(_model(), parallel.Mesh(comm, **axes), **options)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    x, y = _batch()
    loss = net.train_step(F.cross_entropy, optimizer, x, y)
    held = [b.numpy() for m in net._stages.values() for b in m.buffers()]
    return loss, {name: t.numpy() for name, t in net.state_dict().items()}, held


@pytest.mark.parametrize(
    ("axes", "options"),
    [({"data": 2}, {"microbatches": 2}), ({"data": 2, "pipeline": 2}, {"microbatches": 2}), ({"data": 4}, {})],
)
def test_it_is_the_mean_over_micro_batches_that_are_normed_alone(axes, options):
    model = _model()
    x, y = _batch()
    losses = [F.cross_entropy(model(x[i : i + 6]), y[i : i + 6]) for i in range(0, 24, 6)]
    sum(losses[1:], losses[0]).backward()
    ranks = parallel.launch(
        _train, axes, batch_stats="micro", **options, workers=int(np.prod(list(axes.values()))), backend="thread"
    )
    for loss, state, _ in ranks:
        np.testing.assert_allclose(loss, sum(part.item() for part in losses) / 4, rtol=1e-12)
        for name, p in model.named_parameters():
            np.testing.assert_allclose(
                state[name], p.detach().numpy() - 0.1 * p.grad.numpy() / 4, rtol=1e-9, atol=1e-12
            )
    if "pipeline" not in axes:
        for _, _, held in ranks:
            assert all(np.array_equal(mine, first) for mine, first in zip(held, ranks[0][2]))
    assert ranks[0][1]["1.num_batches_tracked"] == options.get("microbatches", 1)


def test_what_does_not_go_with_it_is_refused():
    def make(comm):
        for axes, options, says in (
            ({"data": 2}, {"batch_stats": "mini"}, "batch_stats must be 'whole' or 'micro', not 'mini'"),
            (
                {"space": 2},
                {"batch_stats": "micro"},
                "batch_stats='micro' goes with the axes data, pipeline and tensor",
            ),
            ({"data": 2}, {"batch_stats": "micro", "virtual_shards": 2}, "not with virtual_shards"),
        ):
            with pytest.raises(ValueError, match=says):
                parallel.parallelize(_model(), parallel.Mesh(comm, **axes), **options)

    parallel.launch(make, workers=2, backend="thread")


def test_without_it_the_error_tells_of_it():
    with pytest.raises(parallel.WorkerError, match=r"or give up exactness \(batch_stats='micro'\)"):
        parallel.launch(_train, {"data": 1}, microbatches=2, workers=1, backend="thread")

"""Batches that no rank has whole: each loads and passes its own samples, and training is that of one process."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.data import BatchSampler, DataLoader, Dataset, RandomSampler, TensorDataset
from minipar.nn import functional as F

DATA = np.random.default_rng(7)
X = minipar.tensor(DATA.normal(size=(11, 6)))
Y = minipar.tensor(DATA.integers(0, 3, 11))


def model():
    minipar.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3)).double()


def sgd(parameters):
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


class Pairs(Dataset):
    """Samples that have to be collated one by one, and know which ones have been loaded."""

    def __init__(self):
        self.loaded = []

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        self.loaded.append(i)
        return {"x": X[i].numpy(), "y": int(Y[i].item()), "name": f"sample {i}"}


def pairs_of(loader):
    return ((batch["x"], batch["y"]) if isinstance(batch, dict) else batch for batch in loader)


def numbers(tensors):
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def in_one_process(batches):
    net = model()
    step, losses = sgd(net.parameters()), []
    for x, y in batches:
        step.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        step.step()
        losses.append(loss.item())
    return losses, numbers(net.state_dict())


def assert_as_one_process(ranks, expected):
    for losses, state in ranks:
        np.testing.assert_allclose(losses, expected[0], rtol=1e-12)
        for name, array in expected[1].items():
            np.testing.assert_allclose(state[name], array, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    "layout", ["data=2", "data=3,zero=2", "data=2,microbatches=2", "data=2,pipeline=2", "tensor=2"]
)
@pytest.mark.parametrize("first", [0, 2, 5, 11])
def test_each_rank_passes_what_it_has(layout, first):
    """Dropout included: rank 0 has the first samples, perhaps none or all of them."""
    layout = parallel.Layout.parse(layout)

    def train(comm):
        net = layout.parallelize(model(), comm)
        data = net.mesh.data
        bounds = [0, first, *[11] * (data.size - 1)] if data.size > 1 else [0, 11]
        mine = slice(bounds[data.rank], bounds[data.rank + 1])
        step = sgd(net.parameters())
        losses = [net.train_step(F.cross_entropy, step, X[mine], Y[mine], sharded=True) for _ in range(3)]
        return losses, numbers(net.state_dict())

    ranks = parallel.launch(train, workers=layout.ranks, backend="thread")
    assert_as_one_process(ranks, in_one_process([(X, Y)] * 3))


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("dataset", [lambda: TensorDataset(X, Y), Pairs], ids=["tensors", "dicts"])
def test_epochs_with_shuffling_are_those_of_one_process(dataset, num_workers, size):
    """The last batch has 3 samples: of four ranks one has none."""

    def sampler(data):
        return BatchSampler(RandomSampler(data, generator=minipar.Generator().manual_seed(9)), 4, drop_last=False)

    def train(comm):
        data = dataset()
        net = parallel.parallelize(model(), parallel.Mesh(comm, data=comm.size))
        batches = parallel.ShardedBatchSampler(sampler(data), net.mesh.data.rank, net.mesh.data.size)
        loader = DataLoader(data, batch_sampler=batches, num_workers=num_workers)
        assert len(loader) == 3
        step = sgd(net.parameters())
        losses = [
            net.train_step(F.cross_entropy, step, x, y, sharded=True) for _ in range(3) for x, y in pairs_of(loader)
        ]
        return losses, numbers(net.state_dict()), getattr(data, "loaded", [])

    data = dataset()
    loader = DataLoader(data, batch_sampler=sampler(data))
    expected = in_one_process(pair for _ in range(3) for pair in pairs_of(loader))
    ranks = parallel.launch(train, workers=size, backend="thread")
    assert_as_one_process([rank[:2] for rank in ranks], expected)
    if dataset is Pairs:  # nobody loads what others do, but one sample to know what a batch looks like
        loaded = sorted(i for rank in ranks for i in rank[2])
        assert len(loaded) == 33 + 3 * (size == 4)


def test_all_shares_together_are_the_batches_of_one_process():
    whole = [[4, 1, 7], [9, 2, 0], [5]]
    for size in range(1, 6):
        each = [list(parallel.ShardedBatchSampler(whole, rank, size)) for rank in range(size)]
        assert [[i for part in parts for i in part] for parts in zip(*each)] == whole


def test_a_batch_of_no_samples_has_the_shape_and_dtype_of_others():
    data = [{"image": np.ones((2, 3), np.float32), "label": i, "pair": (1.0, "a")} for i in range(2)]
    (batch,) = DataLoader(data, batch_sampler=[[]])
    assert batch["image"].shape == (0, 2, 3)
    assert batch["image"].dtype == minipar.float32
    assert batch["label"].shape == (0,)
    assert batch["label"].dtype == minipar.int64
    assert batch["pair"][0].shape == (0,)
    assert batch["pair"][1] == []
    with pytest.raises(TypeError, match="a batch that collate_fn makes a object cannot be cut"):
        next(iter(DataLoader(data, batch_sampler=[[]], collate_fn=lambda samples: object())))


def test_sharded_batches_refuse_what_needs_the_whole_batch():
    def train(comm):
        for options in ({"virtual_shards": 2}, {"shares": "measured"}):
            net = parallel.parallelize(model(), parallel.Mesh(comm, data=2), **options)
            with pytest.raises(ValueError, match="sharded=True does not go with virtual_shards, nor with shares"):
                net.loss_and_gradients(F.cross_entropy, X, Y, sharded=True)

    parallel.launch(train, workers=2, backend="thread")


def test_ranks_of_one_stage_row_that_pass_different_samples_are_told():
    def train(comm):
        net = parallel.parallelize(model(), parallel.Mesh(comm, pipeline=2))
        rows = 5 + comm.rank
        net.loss_and_gradients(F.cross_entropy, X[:rows], Y[:rows], sharded=True)

    with pytest.raises(parallel.WorkerError, match=r"same samples, but have 5 on rank 0 \(data rank 0\), 6 on"):
        parallel.launch(train, workers=2, backend="thread")

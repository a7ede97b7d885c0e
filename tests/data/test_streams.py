"""Streams through the loader, and what its workers are told: beside PyTorch's, whose workers are processes."""

import threading
import time

import pytest

import minipar
from minipar.data import DataLoader, Dataset, IterableDataset, get_worker_info
from minipar.kernels.cuda import detect

usable, reason = detect.status()


def counting(base, info):
    """The example of PyTorch's documentation: every worker gives its part of a range."""

    class Counting(base):
        def __init__(self, start, end):
            self.start, self.end = start, end

        def __iter__(self):
            worker = info()
            if worker is None:
                return iter(range(self.start, self.end))
            return iter(range(self.start + worker.id, self.end, worker.num_workers))

    return Counting


Counting = counting(IterableDataset, get_worker_info)


@pytest.fixture
def torch_data():
    return pytest.importorskip("torch.utils.data", reason="pip install -e '.[oracle]'")


@pytest.mark.parametrize(
    "arguments", [{}, {"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}]
)
def test_batches_of_a_stream_are_those_of_pytorch(torch_data, arguments):
    theirs = counting(torch_data.IterableDataset, torch_data.get_worker_info)
    expected = [batch if isinstance(batch, int) else batch.tolist() for batch in
                torch_data.DataLoader(theirs(0, 8), **arguments)]  # fmt: skip
    got = [batch if isinstance(batch, int) else batch.tolist() for batch in DataLoader(Counting(0, 8), **arguments)]
    assert got == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
@pytest.mark.parametrize("end", [0, 7, 12])
def test_batches_of_several_workers_are_those_of_pytorchs_processes(torch_data, end):
    theirs = counting(torch_data.IterableDataset, torch_data.get_worker_info)
    expected = [batch.tolist() for batch in torch_data.DataLoader(theirs(0, end), 2, num_workers=3)]
    assert [batch.tolist() for batch in DataLoader(Counting(0, end), 2, num_workers=3)] == expected


def test_workers_take_turns_until_each_has_come_to_its_end():
    batches = [batch.tolist() for batch in DataLoader(Counting(0, 9), 2, num_workers=2, prefetch_factor=1)]
    assert batches == [[0, 2], [1, 3], [4, 6], [5, 7], [8]]


@pytest.mark.parametrize("persistent", [False, True])
def test_every_pass_begins_anew(persistent):
    loader = DataLoader(Counting(0, 5), 2, num_workers=2, persistent_workers=persistent)
    assert [[batch.tolist() for batch in loader] for _ in range(2)] == [[[0, 2], [1, 3], [4]]] * 2


def test_workers_that_are_not_told_their_part_all_give_everything():
    class Same(IterableDataset):
        def __iter__(self):
            return iter(range(2))

    assert sorted(batch.item() for batch in DataLoader(Same(), num_workers=2)) == [0, 0, 1, 1]


def test_lengths():
    class Sized(Counting):
        def __len__(self):
            return 7

    assert [len(DataLoader(Sized(0, 7), 2, drop_last=drop)) for drop in (False, True)] == [4, 3]
    assert len(DataLoader(Sized(0, 7), None)) == 7
    with pytest.raises(TypeError, match=r"len\(\)"):
        len(DataLoader(Counting(0, 7)))


@pytest.mark.parametrize("arguments", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_a_stream_has_its_own_order(torch_data, arguments):
    theirs = counting(torch_data.IterableDataset, torch_data.get_worker_info)
    for loader, dataset in ((torch_data.DataLoader, theirs(0, 2)), (DataLoader, Counting(0, 2))):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            loader(dataset, **arguments)


def test_a_worker_is_told_who_it_is():
    seen = []

    class Asking(Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            info = get_worker_info()
            seen.append((i, info.id, info.num_workers, info.dataset is data))
            return info.seed - info.id

    data = Asking()
    seeds = {batch.item() for batch in DataLoader(data, num_workers=2)}
    assert len(seeds) == 1
    assert sorted(seen) == [(i, i % 2, 2, True) for i in range(6)]
    assert get_worker_info() is None


def test_worker_init_fn_configures_each_workers_copy():
    def configure(worker):
        info = get_worker_info()
        assert worker == info.id
        info.dataset.start, info.dataset.end = 10 * worker, 10 * worker + 2

    class Plain(IterableDataset):
        start, end = 0, 100

        def __iter__(self):
            return iter(range(self.start, self.end))

    data = Plain()
    drawn = [batch.item() for batch in DataLoader(data, num_workers=3, worker_init_fn=configure)]
    assert drawn == [0, 10, 20, 1, 11, 21]
    assert data.end == 100


@pytest.mark.parametrize("persistent", [False, True])
def test_persistent_workers_are_the_same_threads(persistent):
    threads, started = set(), []

    class Watching(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            threads.add(threading.get_ident())
            return minipar.get_default_dtype().itemsize

    loader = DataLoader(Watching(), num_workers=2, persistent_workers=persistent, worker_init_fn=started.append)
    assert [batch.item() for batch in loader] == [4] * 4
    minipar.set_default_dtype("float64")  # the next pass has the settings of its own time
    try:
        assert [batch.item() for batch in loader] == [8] * 4
    finally:
        minipar.set_default_dtype("float32")
    assert sorted(started) == ([0, 1] if persistent else [0, 0, 1, 1])
    assert not persistent or len(threads) == 2


def test_a_failure_to_start_reaches_the_caller():
    def fail(worker):
        raise LookupError("no such shard")

    with pytest.raises(LookupError, match="no such shard"):
        list(DataLoader(range(4), num_workers=2, worker_init_fn=fail))


def test_timeout():
    gate = threading.Event()

    class Stuck(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return i if i < 1 else gate.wait(30)

    batches = iter(DataLoader(Stuck(), num_workers=1, timeout=0.2))
    assert next(batches).item() == 0
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"no batch within timeout=0\.2 seconds"):
        next(batches)
    assert time.monotonic() - start < 10
    gate.set()
    assert [batch.item() for batch in DataLoader(range(3), num_workers=1, timeout=10)] == [0, 1, 2]


def test_pinning_without_a_gpu_is_a_warning(monkeypatch):
    monkeypatch.setattr("minipar.cuda.is_available", lambda: False)
    with pytest.warns(UserWarning, match="pin_memory=True has no effect"):
        assert [batch.item() for batch in DataLoader(range(2), pin_memory=True)] == [0, 1]


@pytest.mark.gpu
@pytest.mark.skipif(not usable, reason=f"needs a GPU: {reason}")
@pytest.mark.parametrize("workers", [0, 2])
def test_pinned_batches(workers):
    import cupy

    data = minipar.data.StackDataset(x=minipar.arange(6.0).reshape(3, 2), y="abc")
    for i, batch in enumerate(DataLoader(data, pin_memory=True, num_workers=workers)):
        assert batch["y"] == ["abc"[i]]
        assert batch["x"].tolist() == [[2.0 * i, 2.0 * i + 1]]
        kind = cupy.cuda.runtime.pointerGetAttributes(batch["x"].numpy().ctypes.data).type
        assert kind == cupy.cuda.runtime.memoryTypeHost

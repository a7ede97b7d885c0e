"""DataLoader and collating, against torch.utils.data where the meaning is shared; threads, seeds and failures."""

import subprocess
import sys
import threading
import time
import traceback
from collections import OrderedDict, defaultdict, namedtuple
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minipar
from minipar.backend import dispatch
from minipar.data import DataLoader, Dataset, TensorDataset, default_collate, default_convert

Point = namedtuple("Point", "x y")
WORKERS = (0, 1, 3)


class Squares(Dataset):
    """Sample i is (i, i²), with something done by each thread on the way."""

    def __init__(self, size, on_read=lambda i: None):
        self.size, self.on_read = size, on_read

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        self.on_read(i)
        return i, np.float32(i * i)


def as_lists(batch):
    """Tensors of either library as (dtype, values), whatever they are wrapped in."""
    if hasattr(batch, "tolist"):
        return str(batch.dtype).removeprefix("torch."), batch.tolist()
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch).__name__, [as_lists(part) for part in batch]
    if isinstance(batch, (list, tuple)):
        return type(batch).__name__, [as_lists(part) for part in batch]
    if hasattr(batch, "items"):
        return type(batch).__name__, {key: as_lists(part) for key, part in batch.items()}
    return batch


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("minipar-loader")]


# --- collating ---


def sample(i, tensor):
    """One of everything that both libraries make batches of."""
    return {
        "int": i,
        "bool": i % 2 == 0,
        "text": f"sample {i}",
        "bytes": b"x" * i,
        "array": np.full((2, 3), i, np.int16),
        "scalar": np.float64(i),
        "tuple": (i, np.float32(i)),
        "list": [i, [i, (i,)]],
        "named": Point(np.uint8(i), {"deep": i}),
        "ordered": OrderedDict(b=i, a=tensor([i, i])),
        "numpy text": np.str_(i),
        "empty": (),
    }


def test_batches_are_built_as_in_pytorch(torch):
    ours = default_collate([sample(i, minipar.tensor) for i in range(3)])
    theirs = torch.utils.data.default_collate([sample(i, torch.tensor) for i in range(3)])
    for key, expected in theirs.items():
        assert as_lists(ours[key]) == as_lists(expected), key
    assert list(ours) == list(theirs)


def test_single_samples_are_converted_as_in_pytorch(torch):
    ours, theirs = (
        default_convert(sample(2, minipar.tensor)),
        torch.utils.data.default_convert(sample(2, torch.tensor)),
    )
    for key, expected in theirs.items():
        assert as_lists(ours[key]) == as_lists(expected), key
    words = np.array(["a", "b"])
    assert default_convert(words) is words


def test_floats_become_the_default_dtype():
    assert default_collate([1.0, 2.5]).dtype == minipar.float32
    assert default_collate([np.float64(1), np.float64(2)]).dtype == minipar.float64


def test_mappings_keep_their_type_where_they_can_be_changed():
    counted = defaultdict(list, a=1)
    batch = default_collate([counted, counted])
    assert type(batch) is defaultdict
    assert batch.default_factory is list
    assert batch["a"].tolist() == [1, 1]
    assert counted == {"a": 1}
    assert type(default_collate([MappingProxyType({"a": 1})])) is dict


def test_a_batch_does_not_share_memory_with_its_samples():
    array = np.zeros(2, np.float32)
    batch = default_collate([array])
    array[:] = 1
    assert batch.tolist() == [[0, 0]]


@pytest.mark.parametrize("unknown", [None, object(), {1, 2}, 1j, iter([])])
def test_samples_of_other_types_are_named(unknown):
    with pytest.raises(TypeError, match=f"not of {type(unknown).__name__}; pass collate_fn="):
        default_collate([unknown])
    with pytest.raises(TypeError, match=type(unknown).__name__):
        next(iter(DataLoader([(1, unknown)])))


@pytest.mark.parametrize("samples", [[(1, 2), (1,)], [np.ones(2), np.ones(3)], [minipar.ones(2), minipar.ones(3)]])
def test_samples_that_differ_in_size_are_an_error(samples):
    with pytest.raises(RuntimeError, match=r"must (have|be) equal"):
        default_collate(samples)


# --- batches ---


@given(
    size=st.integers(0, 9),
    batch_size=st.one_of(st.none(), st.integers(1, 5)),
    drop_last=st.booleans(),
    workers=st.sampled_from(WORKERS),
)
def test_batches_are_those_of_pytorch(size, batch_size, drop_last, workers):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    data, drop_last = Squares(size), drop_last and batch_size is not None
    ours = DataLoader(data, batch_size, drop_last=drop_last, num_workers=workers)
    theirs = torch.utils.data.DataLoader(data, batch_size, drop_last=drop_last)
    assert len(ours) == len(theirs)
    assert [as_lists(batch) for batch in ours] == [as_lists(batch) for batch in theirs]


@pytest.mark.parametrize("arguments", [
    {"sampler": [3, 1, 1]}, {"sampler": [3, 1, 1], "batch_size": 2}, {"sampler": [3, 1], "batch_size": None},
    {"batch_sampler": [[0], [2, 1], [3, 3, 3]]}, {"collate_fn": len, "batch_size": 3},
    {"collate_fn": str, "batch_size": None},
])  # fmt: skip
def test_orders_and_collate_functions_are_used_as_in_pytorch(torch, arguments):
    data = Squares(5)
    ours, theirs = DataLoader(data, **arguments), torch.utils.data.DataLoader(data, **arguments)
    assert [as_lists(batch) for batch in ours] == [as_lists(batch) for batch in theirs]
    assert len(ours) == len(theirs)
    assert (ours.batch_size, ours.drop_last) == (theirs.batch_size, theirs.drop_last)


@given(st.lists(st.integers(-4, 3), min_size=1, max_size=6))
def test_the_look_up_of_a_whole_batch_equals_a_stack_of_samples(indices):
    data = TensorDataset(minipar.arange(12).reshape(4, 3), minipar.rand(4))
    (fast,) = DataLoader(data, batch_sampler=[indices])
    slow = default_collate([data[i] for i in indices])
    assert as_lists(fast) == as_lists(slow)


def test_a_tensor_dataset_is_handed_to_another_collate_function_sample_by_sample():
    data = TensorDataset(minipar.arange(4))
    (batch,) = DataLoader(data, 4, collate_fn=lambda samples: samples)
    assert as_lists(batch) == as_lists([data[i] for i in range(4)])


@pytest.mark.parametrize("arguments", [
    {"sampler": [0], "shuffle": True}, {"batch_sampler": [[0]], "batch_size": 2},
    {"batch_sampler": [[0]], "batch_size": None}, {"batch_sampler": [[0]], "shuffle": True},
    {"batch_sampler": [[0]], "sampler": [0]}, {"batch_sampler": [[0]], "drop_last": True},
    {"batch_size": None, "drop_last": True}, {"batch_size": 0}, {"num_workers": -1}, {"prefetch_factor": 2},
    {"num_workers": 1, "prefetch_factor": -1}, {"timeout": -1}, {"persistent_workers": True},
])  # fmt: skip
def test_options_that_contradict_each_other_are_an_error_as_in_pytorch(torch, arguments):
    for loader in (torch.utils.data.DataLoader, DataLoader):
        with pytest.raises(ValueError, match="|".join(arguments)):
            loader(range(4), **arguments)


@pytest.mark.parametrize("arguments", [
    {"pin_memory_device": "cuda"}, {"multiprocessing_context": "spawn"}, {"in_order": False},
])  # fmt: skip
def test_options_without_a_meaning_here_are_refused_by_name(arguments):
    (name,) = arguments
    with pytest.raises(NotImplementedError, match=rf"DataLoader: {name}.* is not supported \("):
        DataLoader(range(4), num_workers=2, **arguments)


def test_the_signature_is_pytorchs(torch):
    import inspect

    ours, theirs = (inspect.signature(loader).parameters for loader in (DataLoader, torch.utils.data.DataLoader))
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]


def test_a_stream_without_getitem_is_refused():
    with pytest.raises(TypeError, match=r"dataset must have __getitem__ .* or be an IterableDataset, not generator"):
        DataLoader(i for i in range(3))


# --- seeds ---


def passes(workers, seed=4, count=2, **arguments):
    minipar.manual_seed(seed)
    loader = DataLoader(Squares(20), 3, shuffle=True, num_workers=workers, **arguments)
    return [[as_lists(batch) for batch in loader] for _ in range(count)]


@pytest.mark.parametrize("workers", WORKERS)
def test_shuffling_repeats_after_the_same_seed_and_differs_between_passes(workers):
    first, second = passes(workers)
    assert first != second
    assert sorted(i for _, parts in first for i in parts[0][1]) == list(range(20))
    assert [first, second] == passes(0)
    assert [first, second] != passes(workers, seed=5)


class Noisy(Dataset):
    """Samples with random noise, as an augmentation adds."""

    def __len__(self):
        return 12

    def __getitem__(self, i):
        time.sleep(0.001 * (i % 3))  # so that threads take turns
        return minipar.rand(2) + i


def test_numbers_that_a_dataset_draws_do_not_depend_on_the_workers():
    def drawn(workers, between=lambda: None):
        minipar.manual_seed(4)
        found = []
        for _ in range(2):
            for batch in DataLoader(Noisy(), 2, num_workers=workers):
                found.append(batch.tolist())
                between()
        return found

    alone = drawn(0)
    assert len({str(batch) for batch in alone}) == 12  # each batch and each pass draws anew
    for workers in WORKERS:
        assert drawn(workers) == alone
    assert drawn(3, between=lambda: minipar.rand(1))[:6] == alone[:6]  # nor on how far ahead the workers are


def test_a_generator_of_its_own_decides_alone():
    def drawn(seed):
        minipar.manual_seed(seed)
        loader = DataLoader(Noisy(), 2, shuffle=True, generator=minipar.Generator().manual_seed(1))
        return [batch.tolist() for batch in loader]

    assert drawn(1) == drawn(2)


def test_leaving_a_pass_early_moves_the_threads_generator_as_far_for_any_number_of_workers():
    def after(workers):
        minipar.manual_seed(4)
        for _ in DataLoader(Noisy(), 2, shuffle=True, num_workers=workers):
            break
        return minipar.rand(3).tolist()

    assert after(0) == after(1) == after(3)


@pytest.mark.parametrize("workers", WORKERS)
def test_workers_take_over_the_settings_of_the_thread_that_iterates(workers):
    seen = []

    def look(i):
        seen.append((minipar.get_default_dtype(), minipar.is_grad_enabled(), dispatch.kernels_in_use()))

    minipar.set_default_dtype("float64")
    try:
        with minipar.no_grad(), minipar.use_kernels("reference"):
            list(DataLoader(Squares(8, look), 2, num_workers=workers))
    finally:
        minipar.set_default_dtype("float32")
    assert set(seen) == {(np.dtype("float64"), False, "reference")}
    assert dispatch.kernels_in_use() == "auto"


# --- threads ---


def test_workers_prepare_batches_at_the_same_time_and_so_many_ahead():
    together = threading.Barrier(3, timeout=10)  # passes only when three threads are in a sample at once
    read = []

    def wait(i):
        read.append(i)
        if i < 3:
            together.wait()

    pass_ = iter(DataLoader(Squares(100, wait), 1, num_workers=3, prefetch_factor=4))
    next(pass_)
    deadline = time.monotonic() + 10
    while len(read) < 13 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.02)
    assert sorted(read) == list(range(13))  # the one given out, and 3 × 4 ahead
    pass_.close()


@pytest.mark.parametrize("workers", WORKERS)
def test_an_exception_reaches_the_caller_in_its_batchs_turn_with_the_samples_traceback(workers):
    def fail(i):
        if i == 5:
            raise LookupError("sample 5 is damaged")

    seen = []
    with pytest.raises(LookupError, match="sample 5 is damaged") as error:
        seen.extend(batch[0].tolist() for batch in DataLoader(Squares(12, fail), 2, num_workers=workers))
    assert seen == [[0, 1], [2, 3]]
    frames = [frame.name for frame in traceback.extract_tb(error.value.__traceback__)]
    assert frames[-2:] == ["__getitem__", "fail"]
    assert not loader_threads()


@pytest.mark.parametrize("workers", WORKERS)
def test_stop_iteration_in_a_sample_does_not_end_the_pass_in_silence(workers):
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(DataLoader(Squares(4, lambda i: next(iter(()))), num_workers=workers))


@pytest.mark.parametrize("workers", WORKERS)
def test_a_pass_that_is_left_early_leaves_no_thread_and_reads_no_further(workers):
    read = []
    for x, y in DataLoader(Squares(1000, read.append), 2, num_workers=workers):
        assert (x.tolist(), y.tolist()) == ([0, 1], [0, 1])
        break
    assert not loader_threads()
    count = len(read)
    assert count <= 2 * (2 * workers + 1)
    time.sleep(0.01)
    assert len(read) == count


@pytest.mark.parametrize("workers", [1, 3])
def test_of_a_pass_that_is_left_early_only_the_batches_in_hand_are_finished(workers):
    gate = threading.Event()
    read = []

    def wait(i):
        read.append(i)
        if i:
            gate.wait(10)

    opening = threading.Timer(0.05, gate.set)
    for _ in DataLoader(Squares(100, wait), num_workers=workers, prefetch_factor=5):
        opening.start()
        break
    opening.join()
    assert gate.is_set()
    assert len(read) <= 1 + workers
    assert not loader_threads()


def test_a_finished_pass_leaves_no_thread():
    assert len(list(DataLoader(Squares(10), 2, num_workers=3))) == 5
    assert not loader_threads()


def test_two_passes_of_one_loader_run_side_by_side():
    loader = DataLoader(Squares(7), 2, num_workers=2)
    for a, b in zip(loader, loader):
        assert as_lists(a) == as_lists(b)


def test_a_program_ends_though_a_pass_is_still_open():
    program = """
import minipar.data
opened = iter(minipar.data.DataLoader(range(1000), num_workers=3))
print(next(opened).tolist())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0]\n", "")

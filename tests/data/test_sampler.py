"""Samplers and splits, against torch.utils.data where the meaning is shared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minipar
from minipar.data import (
    BatchSampler,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    random_split,
)


@pytest.fixture
def torch_data():
    pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    from torch.utils import data

    return data


# --- samplers ---


@given(size=st.integers(0, 12), batch_size=st.integers(1, 6), drop_last=st.booleans())
def test_sequences_and_batches_are_those_of_pytorch(size, batch_size, drop_last):
    pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    from torch.utils import data

    ours = BatchSampler(SequentialSampler(range(size)), batch_size, drop_last)
    theirs = data.BatchSampler(data.SequentialSampler(range(size)), batch_size, drop_last)
    assert list(ours) == list(theirs)
    assert len(ours) == len(theirs) == len(list(ours))


@pytest.mark.parametrize(
    ("replacement", "num_samples"), [(False, None), (False, 3), (False, 25), (True, None), (True, 40)]
)
def test_random_orders_hold_as_many_of_each_as_in_pytorch(torch_data, replacement, num_samples):
    ours = RandomSampler(range(10), replacement, num_samples)
    theirs = torch_data.RandomSampler(range(10), replacement, num_samples)
    found = list(ours)
    assert len(ours) == len(theirs) == len(found) == len(list(theirs))
    assert ours.num_samples == theirs.num_samples
    assert all(type(i) is int and 0 <= i < 10 for i in found)
    if not replacement:
        for start in range(0, len(found), 10):  # each once before any comes again
            assert len(set(found[start : start + 10])) == len(found[start : start + 10])
    else:
        assert len(set(found)) < len(found)


def test_an_order_is_new_each_time_and_the_same_after_the_same_seed():
    sampler = RandomSampler(range(50))
    minipar.manual_seed(3)
    first, second = list(sampler), list(sampler)
    assert first != second
    minipar.manual_seed(3)
    assert [list(sampler), list(sampler)] == [first, second]


def test_a_generator_of_its_own_leaves_the_threads_alone():
    minipar.manual_seed(3)
    before = minipar.backend.random.default_generator().get_state()
    orders = [list(RandomSampler(range(50), generator=minipar.Generator().manual_seed(9))) for _ in range(2)]
    assert orders[0] == orders[1]
    assert minipar.backend.random.default_generator().get_state() == before


def test_the_number_of_samples_follows_a_growing_source():
    source = [0, 1]
    sampler = RandomSampler(source)
    source.append(2)
    assert len(sampler) == 3
    assert sorted(sampler) == [0, 1, 2]


@pytest.mark.parametrize("num_samples", [0, -1, 1.5, True])
def test_num_samples_is_positive(num_samples):
    with pytest.raises(ValueError, match="num_samples must be a positive int, not"):
        RandomSampler(range(3), True, num_samples)


def test_there_must_be_something_to_draw_from_and_replacement_is_a_bool(torch_data):
    for sampler in (RandomSampler, torch_data.RandomSampler):
        with pytest.raises(ValueError):
            sampler([])
        with pytest.raises(TypeError, match="replacement"):
            sampler([1], replacement=1)


@pytest.mark.parametrize(("batch_size", "drop_last"), [(0, False), (-1, False), (2.0, False), (True, False), (2, 1)])
def test_batch_size_and_drop_last_are_checked_as_in_pytorch(torch_data, batch_size, drop_last):
    for sampler in (BatchSampler, torch_data.BatchSampler):
        with pytest.raises(ValueError, match=r"batch_size|drop_last"):
            sampler(range(4), batch_size, drop_last)


def test_what_a_subclass_must_define_is_named():
    class Mine(Sampler):
        pass

    with pytest.raises(NotImplementedError, match="Mine must define __iter__"):
        iter(Mine())

    class Data(Dataset):
        pass

    with pytest.raises(NotImplementedError, match="Data must define __getitem__"):
        Data()[0]


# --- datasets and splits ---


def test_a_tensor_dataset_gives_tuples():
    x, y = minipar.arange(6).reshape(3, 2), minipar.arange(3)
    data = TensorDataset(x, y)
    assert len(data) == 3
    assert [part.tolist() for part in data[1]] == [[2, 3], 1]
    assert [part.tolist() for part in data[np.array([2, 0])]] == [[[4, 5], [0, 1]], [2, 0]]


def test_a_tensor_dataset_needs_tensors_of_equal_size():
    with pytest.raises(TypeError, match="not ndarray; wrap arrays with from_numpy"):
        TensorDataset(np.ones(3))
    for tensors in ((), (minipar.ones(3), minipar.ones(2))):
        with pytest.raises(ValueError, match="equal first size"):
            TensorDataset(*tensors)


SPLITS = [
    (10, [3, 7]),
    (10, [0.3, 0.3, 0.4]),
    (7, [0.5, 0.5]),
    (11, [0.1] * 10),
    (5, [1.0]),
    (1, [1]),
    (4, [4]),
    (5, [1]),
]


@pytest.mark.parametrize(("size", "lengths"), SPLITS)
def test_splits_have_the_sizes_of_pytorch_and_hold_everything_once(torch_data, size, lengths):
    subsets = random_split(range(100, 100 + size), lengths)
    assert [len(s) for s in subsets] == [len(s) for s in torch_data.random_split(range(size), lengths)]
    assert all(isinstance(s, Subset) for s in subsets)
    assert sorted(s[i] for s in subsets for i in range(len(s))) == list(range(100, 100 + size))


@pytest.mark.parametrize("lengths", [[3, 8], [], [0.5, 0.4], [-1, 11], [2.5, 7.5], [9.0, 1.0]])
def test_lengths_must_add_up(lengths):
    with pytest.raises(ValueError, match="lengths must"):
        random_split(range(10), lengths)


def test_a_split_is_random_and_repeats_after_the_same_seed():
    def split(seed):
        return [s.indices for s in random_split(range(30), [10, 20], minipar.Generator().manual_seed(seed))]

    assert split(1) == split(1) != split(2)
    minipar.manual_seed(1)
    assert [s.indices for s in random_split(range(30), [10, 20])] == split(1)

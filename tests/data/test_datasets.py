"""Datasets made of several, and samplers that weigh or choose: beside PyTorch's."""

import numpy as np
import pytest

import minipar
from minipar import data as ours

BOTH = pytest.mark.parametrize("library", ["minipar", "torch"])


def of(library):
    if library == "minipar":
        return ours
    return pytest.importorskip("torch.utils.data", reason="pip install -e '.[oracle]'")


def words(library, items):
    """A map-style dataset of either library."""

    class Words(of(library).Dataset):
        def __len__(self):
            return len(items)

        def __getitem__(self, i):
            return items[i]

    return Words()


def stream(library, items, sized=True):
    class Stream(of(library).IterableDataset):
        def __iter__(self):
            return iter(items)

    if sized:
        Stream.__len__ = lambda self: len(items)
    return Stream()


@BOTH
def test_concatenation(library):
    both = words(library, "abc") + words(library, "") + words(library, "de")
    assert isinstance(both, of(library).ConcatDataset)
    assert (len(both), "".join(both[i] for i in range(5)), both[-1], both[-5]) == (5, "abcde", "e", "a")
    with pytest.raises(ValueError, match=r"5|length"):
        both[-6]
    with pytest.raises(IndexError):
        both[5]
    for bad in ([], [stream(library, "ab")]):
        with pytest.raises(AssertionError, match=r"datasets|Iterable"):
            of(library).ConcatDataset(bad)


def test_a_concatenation_names_the_index():
    with pytest.raises(IndexError, match="idx must be below 2, got 2"):
        ours.ConcatDataset([range(2)])[2]


@BOTH
def test_chains_of_streams(library):
    both = stream(library, "ab") + stream(library, "c")
    assert isinstance(both, of(library).ChainDataset)
    assert (len(both), list(both)) == (3, ["a", "b", "c"])
    chain = of(library).ChainDataset([words(library, "ab")])
    with pytest.raises(AssertionError, match="IterableDataset"):
        list(chain)
    with pytest.raises(AssertionError, match="IterableDataset"):
        len(chain)


@BOTH
def test_stacks(library):
    stack = of(library).StackDataset
    pairs = stack(words(library, "abc"), [1, 2, 3])
    assert (len(pairs), pairs[1]) == (3, ("b", 2))
    named = stack(letter=words(library, "abc"), number=[1, 2, 3])
    assert (len(named), named[2]) == (3, {"letter": "c", "number": 3})
    for bad in (lambda: stack([1], b=[2]), lambda: stack([1], [2, 3]), stack, lambda: stack(a=[1], b=[2, 3])):
        with pytest.raises(ValueError, match=r"dataset|StackDataset|both types"):
            bad()


@BOTH
def test_a_batch_at_once(library):
    asked = []

    class Whole(of(library).Dataset):
        def __len__(self):
            return 6

        def __getitems__(self, indices):
            asked.append(list(indices))
            return [10 * i for i in indices]

    batches = [batch.tolist() for batch in of(library).DataLoader(Whole(), 4)]
    assert (batches, asked) == ([[0, 10, 20, 30], [40, 50]], [[0, 1, 2, 3], [4, 5]])
    part = of(library).Subset(Whole(), [5, 1, 0])
    assert [batch.tolist() for batch in of(library).DataLoader(part, 2)] == [[50, 10], [0]]


def test_a_subset_hands_on_a_list_of_numbers():
    tensors = ours.TensorDataset(minipar.arange(6))
    assert ours.Subset(tensors, [5, 1, 0])[[0, 2]][0].tolist() == [5, 0]


def test_bases_can_be_written_with_their_type():
    class Numbers(ours.Dataset[int]):
        pass

    class Order(ours.Sampler[int]):
        pass

    assert issubclass(Numbers, ours.Dataset)
    assert issubclass(Order, ours.Sampler)
    assert ours.DataLoader[int]


def test_a_stream_says_what_it_lacks():
    with pytest.raises(NotImplementedError, match="IterableDataset must define __iter__"):
        iter(ours.IterableDataset())
    with pytest.raises(NotImplementedError, match="is a stream"):
        stream("minipar", "ab")[0]


@BOTH
def test_weighted_samples(library):
    sampler = of(library).WeightedRandomSampler([0.0, 1.0, 3.0, 0.0], 4000)
    drawn = list(sampler)
    assert (len(sampler), len(drawn), set(drawn)) == (4000, 4000, {1, 2})
    assert abs(np.mean(np.array(drawn) == 2) - 0.75) < 0.05
    assert sorted(of(library).WeightedRandomSampler([1.0, 2.0, 3.0], 3, replacement=False)) == [0, 1, 2]
    for bad in ([[1.0], 0], [[1.0], True], [[1.0], 1, 1], [[[1.0]], 1]):
        with pytest.raises(ValueError, match=r"num_samples|replacement|weights"):
            of(library).WeightedRandomSampler(*bad)


@BOTH
def test_subsets_in_random_order(library):
    sampler = of(library).SubsetRandomSampler([7, 5, 9])
    assert (len(sampler), sorted(sampler)) == (3, [5, 7, 9])
    assert len({tuple(sampler) for _ in range(40)}) > 1


def test_generators_decide():
    def drawn(seed):
        generator = minipar.Generator().manual_seed(seed)
        choice = ours.SubsetRandomSampler(range(20), generator=generator)
        weights = ours.WeightedRandomSampler(minipar.ones(20), 20, generator=generator)
        return list(choice), list(weights)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_the_names_of_torch_utils_data():
    from minipar.utils import data

    for name in ("IterableDataset", "WeightedRandomSampler", "get_worker_info", "StackDataset"):
        assert getattr(data, name) is getattr(ours, name)

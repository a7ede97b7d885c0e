"""Results with named parts: tuples in every way."""

import copy
import pickle

import pytest

import minipar
from minipar.ops.named import Named


class Pair(Named):
    first: int
    second: int


def test_a_tuple_with_names():
    pair = Pair(1, 2)
    assert (pair.first, pair.second) == pair == (1, 2)
    first, second = pair
    assert [first, second] == [1, 2]
    assert repr(pair) == "Pair(first=1, second=2)"
    assert Pair._fields == ("first", "second")
    assert type(pair)(*[3, 4]).second == 4  # as collate makes them


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_keep_the_names(again):
    result = again(minipar.tensor([3.0, 1.0]).sort())
    assert result.indices.tolist() == [1, 0]
    assert type(result).__name__ == "Located"


def test_parts_cannot_be_set_nor_left_out():
    with pytest.raises(AttributeError):
        Pair(1, 2).first = 3
    with pytest.raises(TypeError, match=r"Pair has 2 parts \(first, second\), not 1"):
        Pair(1)

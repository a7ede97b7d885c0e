"""x.shape is a tuple, and knows its number of elements."""

import pytest

import minipar


def test_a_size_is_a_tuple_that_counts() -> None:
    x = minipar.ones(2, 3, 4)
    assert x.shape == (2, 3, 4) == x.size()
    assert isinstance(x.shape, minipar.Size)
    assert x.shape.numel() == 24
    assert x.shape[1:].numel() == 12
    assert (x.shape + x.shape[:1]).numel() == 48
    assert x.shape[-1] == x.size(-1) == 4
    assert minipar.Size([]).numel() == 1
    assert repr(x.shape) == "(2, 3, 4)"
    assert minipar.zeros(x.shape[:2] * 2).shape == (2, 3, 2, 3)
    with pytest.raises(IndexError):
        x.shape[3]

"""Padding and packing sequences, beside PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

lengths = st.lists(st.integers(1, 4), min_size=1, max_size=4)
tails = st.sampled_from([(), (2,), (2, 3)])


def both(run):
    """What `run` returns for minipar and for torch: tensors as arrays, with gradients of a weighted sum."""
    return run(minipar), run(torch)


def same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        a, b = (None if x is None else x.detach().numpy() for x in (a, b))
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_array_equal(a, b)


@settings(max_examples=15, deadline=None)
@given(lengths, tails, st.booleans(), st.booleans(), st.sampled_from([0.0, -1.5]), st.integers(0, 2))
def test_pack_and_pad_again(sizes, tail, batch_first, enforce_sorted, value, extra):
    sizes = sorted(sizes, reverse=True) if enforce_sorted else [n + i / 10 for i, n in enumerate(sizes)]
    sizes = [int(n) for n in sizes]
    if not enforce_sorted and len(set(sizes)) < len(sizes):
        sizes = list(range(1, len(sizes) + 1))  # PyTorch's sort is not stable: which of two equal ones comes first?
    shape = (len(sizes), max(sizes)) if batch_first else (max(sizes), len(sizes))
    numbers = np.random.default_rng(0).normal(size=(*shape, *tail))

    def run(T):
        x = T.tensor(numbers, requires_grad=True)
        rnn = T.nn.utils.rnn
        pack = rnn.pack_padded_sequence(x, T.tensor(sizes), batch_first, enforce_sorted)
        padded, back = rnn.pad_packed_sequence(pack, batch_first, value, max(sizes) + extra)
        total = (pack.data * pack.data).sum() + (padded * padded * padded).sum()
        return [*pack, padded, back, T.autograd.grad(total, x)[0], *rnn.unpack_sequence(pack)]

    same(*both(run))


@settings(max_examples=15, deadline=None)
@given(lengths, tails, st.booleans(), st.sampled_from(["right", "left"]), st.sampled_from([0.0, 2.5]))
def test_pad_sequence(sizes, tail, batch_first, side, value):
    numbers = [np.random.default_rng(n).normal(size=(n, *tail)) for n in sizes]

    def run(T):
        x = [T.tensor(a, requires_grad=True) for a in numbers]
        padded = T.nn.utils.rnn.pad_sequence(x, batch_first, value, side)
        return [padded, *T.autograd.grad((padded * padded).sum(), x)]

    same(*both(run))


def test_pack_sequence_of_integers_and_unpad():
    def run(T):
        x = [T.tensor(a) for a in ([1, 2], [3, 4, 5], [6])]
        rnn = T.nn.utils.rnn
        pack = rnn.pack_sequence(x, enforce_sorted=False)
        return [
            *pack,
            *rnn.unpad_sequence(rnn.pad_sequence(x, batch_first=True), T.tensor([2, 3, 1]), batch_first=True),
        ]

    same(*both(run))


def test_a_pack_is_converted_whole():
    pack = minipar.nn.utils.rnn.pack_sequence([minipar.ones(2), minipar.ones(3)], enforce_sorted=False)
    assert pack.to(minipar.float32) is pack
    double = pack.double()
    assert (double.data.dtype, double.unsorted_indices.tolist()) == (minipar.float64, [1, 0])
    assert (pack.cpu() is pack, pack.is_cuda) == (True, False)


def test_dropout_acts_between_layers_in_training_alone():
    minipar.manual_seed(1)
    layer = minipar.nn.GRU(2, 3, 2, dropout=0.5)
    x = minipar.ones(4, 5, 2)
    first, second = layer(x)[0], layer(x)[0]
    assert (first.detach().numpy() != second.detach().numpy()).any()
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy())
    with pytest.warns(UserWarning, match="num_layers=1"):
        minipar.nn.GRU(2, 3, dropout=0.5)

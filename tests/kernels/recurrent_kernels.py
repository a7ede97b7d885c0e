"""Drawn cases for the compiled recurrent networks, and the comparison with their reference twins."""

import contextlib
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from kernel_layouts import laid_out

from minipar.kernels.cpu import recurrent

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


class Case(NamedTuple):
    x: tuple[int, ...]
    batch: int
    batch_sizes: list[int] | None
    batch_first: bool
    reverse: bool
    inputs: int
    hidden: int


@st.composite
def cases(draw):
    """Blocks by time and by sequence, and packed rows; sizes around the tiles' (rows 14, 6, 2; columns 16, 32)."""
    inputs, hidden = draw(st.sampled_from([1, 3, 17])), draw(st.sampled_from([1, 5, 16, 33, 70]))
    kind, reverse = draw(st.sampled_from(["by time", "by sequence", "packed"])), draw(st.booleans())
    if kind == "packed":
        sizes = sorted(draw(st.lists(st.integers(0, 20), min_size=1, max_size=4)), reverse=True)
        return Case((sum(sizes), inputs), sizes[0], sizes, False, reverse, inputs, hidden)
    steps, batch = draw(st.integers(1, 4)), draw(st.sampled_from([0, 1, 2, 5, 15, 31]))
    shape = (batch, steps, inputs) if kind == "by sequence" else (steps, batch, inputs)
    return Case(shape, batch, None, kind == "by sequence", reverse, inputs, hidden)


def drawn(case, gates, states, dtype, layout, seed, biased=True):
    """x, states, w_ih, w_hh, b_ih, b_hh, and gradients of h and of each last state."""
    rng = np.random.default_rng(seed)
    rows, scale = gates * case.hidden, 1 / np.sqrt(case.hidden)

    def made(*shape, scale=1.0):
        return laid_out((rng.normal(size=shape) * scale).astype(dtype), layout)

    weights = [made(rows, case.inputs, scale=scale), made(rows, case.hidden, scale=scale)]
    biases = [made(rows), made(rows)] if biased else [None, None]
    firsts, lasts = ([made(case.batch, case.hidden) for _ in range(states)] for _ in "12")
    return made(*case.x), firsts, weights, biases, made(*case.x[:-1], case.hidden), lasts


@contextlib.contextmanager
def threads(count):
    """Every walk by so many threads, however small."""
    before, recurrent.walkers = recurrent.walkers, lambda work, batch: max(1, min(count, batch))
    try:
        yield
    finally:
        recurrent.walkers = before


def agree(ours, theirs, dtype):
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.dtype, a.shape) == (b.dtype, b.shape) == (np.dtype(dtype), b.shape)
            limit = TOLERANCE[dtype] * max(1, np.abs(b).max(initial=0))
            np.testing.assert_allclose(a, b, rtol=0, atol=limit)


def same_bits(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)

"""Convolution, ReLU and max-pooling as one kernel: to the bit what the three give one after the other."""

import numpy as np
import pytest
from conv_choice import KINDS, GuardedResults, eager, served_by
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import conv2d, conv2d_relu_pool, max_pool2d, threads
from minipar.kernels.reference import conv2d_relu_pool as reference

PAIRS = (2, 2), (2, 2), (0, 0), (1, 1)


@st.composite
def convolutions(draw):
    """(x shape, w shape, parameters) with an output of 2 × 2 and more."""
    kernel, stride, padding, dilation = (
        draw(st.tuples(st.integers(low, high), st.integers(low, high)))
        for low, high in ((1, 4), (1, 3), (0, 4), (1, 2))
    )
    least = [max(1, d * (k - 1) + 1 - 2 * p) + s for k, s, p, d in zip(kernel, stride, padding, dilation)]
    size = [low + draw(st.sampled_from([0, 1, 2, 5, 13, 33])) for low in least]
    groups, group_in = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    group_out = draw(st.sampled_from([1, 3, 8, 15, 33]))
    parameters = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (draw(st.integers(0, 9)), groups * group_in, *size), (groups * group_out, group_in, *kernel), parameters


def operands(x_shape, w_shape, seed, dtype):
    rng = np.random.default_rng(seed)
    return [rng.integers(-3, 4, shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1])]  # many ties


def one_by_one(x, w, bias, g, parameters):
    y = conv2d.conv2d_forward(x, w, bias, **parameters, relu=True)
    pooled, taps = max_pool2d.max_pool2d_taps(y, *PAIRS, False)
    full = max_pool2d.max_pool2d_taps_backward(g(pooled.shape), taps, y.shape, *PAIRS)
    dx = conv2d.conv2d_grad_input(full, w, x.shape, **parameters, gate=y)
    return [pooled, dx, *conv2d.conv2d_grad_weight(full, x, w.shape, **parameters, gate=y, with_bias=True)]


def together(module, x, w, bias, g, parameters):
    pooled, winners = module.conv2d_relu_pool(x, w, bias, **parameters)
    g = g(pooled.shape)
    dx = module.conv2d_relu_pool_grad_input(g, winners, w, x.shape, **parameters)
    both = module.conv2d_relu_pool_grad_weight(g, winners, x, w.shape, **parameters, with_bias=True)
    return [pooled, dx, *both], winners


def drawn(seed, dtype, layout="contiguous"):
    """A gradient of any shape."""
    return lambda shape: laid_out(np.random.default_rng(seed + 1).normal(size=shape).astype(dtype), layout)


@given(convolutions(), layouts, st.sampled_from(KINDS), seeds, st.sampled_from([np.float32, np.float64]))
@settings(max_examples=120, deadline=None)
def test_to_the_bit_what_three_kernels_give(convolution, layout, kind, seed, dtype):
    x_shape, w_shape, parameters = convolution
    x, w, bias = (laid_out(a, layout) for a in operands(x_shape, w_shape, seed, dtype))
    g = drawn(seed, dtype, layout)
    with served_by(kind):
        wanted = one_by_one(x, w, bias, g, parameters)
        actual, winners = together(conv2d_relu_pool, x, w, bias, g, parameters)
        without = conv2d_relu_pool.conv2d_relu_pool(x, w, None, **parameters)[0]
        np.testing.assert_array_equal(without, one_by_one(x, w, None, g, parameters)[0])
    for result, expected in zip(actual, wanted):
        np.testing.assert_array_equal(result, expected)
    exact, of_reference = together(reference, x, w, bias, g, parameters)
    np.testing.assert_array_equal(winners, of_reference)  # whole numbers: no rounding decides a winner
    scale = 1e-4 if dtype is np.float32 else 1e-11
    for result, expected in zip(actual, exact):
        np.testing.assert_allclose(result, expected, rtol=scale, atol=scale * max(1, np.abs(expected).max(initial=0)))


@given(convolutions(), st.sampled_from(KINDS), seeds)
@settings(max_examples=40, deadline=None)
def test_bits_that_do_not_depend_on_threads(convolution, kind, seed):
    x_shape, w_shape, parameters = convolution
    x, w, bias = operands(x_shape, w_shape, seed, np.float32)
    x += np.float32(0.1)
    with eager(), served_by(kind):
        results = []
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append(together(conv2d_relu_pool, x, w, bias, drawn(seed, np.float32), parameters)[0])
    for one, two, three in zip(*results):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


@given(convolutions(), st.sampled_from(KINDS), st.booleans(), seeds, st.sampled_from([np.float32, np.float64]))
@settings(max_examples=60, deadline=None)
def test_nothing_is_touched_past_the_ends(convolution, kind, at_start, seed, dtype):
    x_shape, w_shape, parameters = convolution
    x, w, bias = (guarded(a, at_start) for a in operands(x_shape, w_shape, seed, dtype))
    with pytest.MonkeyPatch.context() as patch, served_by(kind):
        for module in (conv2d_relu_pool, conv2d, max_pool2d):
            patch.setattr(module, "np", GuardedResults(at_start))
        pooled, winners = conv2d_relu_pool.conv2d_relu_pool(x, w, bias, **parameters)
        g, winners = guarded(np.ones_like(pooled), at_start), guarded(winners, at_start)
        conv2d_relu_pool.conv2d_relu_pool_grad_input(g, winners, w, x.shape, **parameters)
        dw, db = guarded(np.empty_like(w), at_start), guarded(np.empty_like(bias), at_start)
        conv2d_relu_pool.conv2d_relu_pool_grad_weight(
            g, winners, x, w.shape, **parameters, with_bias=True, out=dw, bias_out=db
        )


def test_nan_wins_and_a_dead_window_has_no_winner():
    x = np.array([[1, 2, -1, -2], [np.nan, 0, -3, -1], [0, 0, -np.inf, np.inf], [0, 0, 5, 5]], np.float32)[None, None]
    w = np.ones((16, 1, 1, 1), np.float32)
    parameters = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    for module in (conv2d_relu_pool, reference):
        with served_by("direct"):
            y, winners = module.conv2d_relu_pool(x, w, None, **parameters)
        np.testing.assert_array_equal(y[0, 3], [[np.nan, 0], [0, np.inf]])
        np.testing.assert_array_equal(winners[0, :, :, 3], [[2, 4], [4, 1]])


@pytest.mark.parametrize("module", [conv2d_relu_pool, reference])
def test_misfits_are_named_at_the_door(module):
    parameters = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    x, w = np.ones((2, 1, 6, 6)), np.ones((1, 1, 3, 3))
    y, winners = module.conv2d_relu_pool(x, w, None, **parameters)
    with pytest.raises(ValueError, match=r"winners \(2, 2, 2, 1\), got \(2, 1, 2, 2\) and \(2, 1, 2, 2\)"):
        module.conv2d_relu_pool_grad_input(y, winners.reshape(2, 1, 2, 2), w, x.shape, **parameters)
    with pytest.raises(ValueError, match=r"winners must be bytes \(uint8\), got int64"):
        module.conv2d_relu_pool_grad_weight(y, winners.astype(np.int64), x, w.shape, **parameters)
    with pytest.raises(ValueError, match=r"g must have shape \(2, 1, 2, 2\)"):
        module.conv2d_relu_pool_grad_weight(y[:1], winners, x, w.shape, **parameters)
    with pytest.raises(ValueError, match="window"):
        module.conv2d_relu_pool(x[:, :, :3], w, None, **parameters)

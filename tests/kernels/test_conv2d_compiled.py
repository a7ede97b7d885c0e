"""Compiled convolution against the reference and float64: geometries, layouts, threads, nothing beyond its arrays."""

from contextlib import nullcontext

import numpy as np
import pytest
from conv_choice import KINDS, GuardedResults, eager, served_by
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import conv2d as compiled
from minipar.kernels.cpu import threads
from minipar.kernels.reference import conv2d as reference

SIMPLE = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


@st.composite
def convolutions(draw):
    """(x shape, w shape, parameters) of a convolution whose kernel fits; channels around the tiles' sizes."""
    kernel, stride, padding, dilation = (
        draw(st.tuples(st.integers(low, high), st.integers(low, high)))
        for low, high in ((1, 4), (1, 3), (0, 3), (1, 2))
    )
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation)]
    size = [low + draw(st.sampled_from([0, 1, 2, 5, 13, 33])) for low in least]
    groups, group_in = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    group_out = draw(st.sampled_from([1, 2, 3, 6, 7, 14, 15, 33]))
    x_shape = (draw(st.integers(0, 3)), groups * group_in, *size)
    parameters = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x_shape, (groups * group_out, group_in, *kernel), parameters


def all_of(module, x, w, bias, g, gate, parameters):
    """Every result of the three kernels, plain and fused."""
    return [
        module.conv2d_forward(x, w, None, **parameters),
        module.conv2d_forward(x, w, bias, **parameters, relu=True),
        module.conv2d_grad_input(g, w, x.shape, **parameters),
        module.conv2d_grad_input(g, w, x.shape, **parameters, gate=gate),
        module.conv2d_grad_weight(g, x, w.shape, **parameters),
        *module.conv2d_grad_weight(g, x, w.shape, **parameters, gate=gate, with_bias=True),
    ]


def operands(x_shape, w_shape, parameters, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x, w, bias = (rng.normal(size=shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1]))
    shape = reference.conv2d_forward(x, w, None, **parameters).shape
    return x, w, bias, rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)


@pytest.fixture
def eager_threads():
    with eager():
        yield


@given(convolutions(), layouts, st.sampled_from(KINDS), seeds)
@settings(max_examples=120, deadline=None)
def test_equals_the_reference_in_every_layout(convolution, layout, kind, seed):
    x_shape, w_shape, parameters = convolution
    x, w, bias, g, gate = operands(x_shape, w_shape, parameters, seed)
    expected = all_of(reference, x, w, bias, g, gate, parameters)
    with served_by(kind):
        actual = all_of(compiled, *(laid_out(a, layout) for a in (x, w, bias, g, gate)), parameters)
    for result, wanted in zip(actual, expected):
        np.testing.assert_allclose(result, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "change"),
    [
        ((16, 1, 28, 28), (32, 1, 5, 5), {"padding": (2, 2)}),
        ((9, 32, 14, 14), (64, 32, 5, 5), {"padding": (2, 2)}),
        ((12, 3, 12, 12), (8, 3, 3, 3), {"padding": (1, 1)}),
        ((12, 8, 12, 12), (12, 4, 3, 3), {"stride": (2, 2), "padding": (1, 1), "groups": 2}),
        ((8, 7, 12, 23), (2, 7, 1, 4), {"dilation": (2, 2)}),
        ((20, 6, 9, 9), (6, 1, 3, 3), {"padding": (1, 1), "groups": 6}),
        ((7, 40, 7, 7), (33, 40, 1, 1), {}),
        ((70, 6, 7, 7), (20, 6, 3, 3), {"stride": (3, 3), "padding": (1, 1)}),  # images of 9 pixels: summed together
    ],
)
def test_equals_the_reference_on_whole_batches(x_shape, w_shape, change, kind):
    """More pixels than are summed at a time, from more images than lie in a frame."""
    parameters = {**SIMPLE, **change}
    x, w, bias, g, gate = operands(x_shape, w_shape, parameters, seed=1)
    expected = all_of(reference, x, w, bias, g, gate, parameters)
    with served_by(kind):
        actual = all_of(compiled, x, w, bias, g, gate, parameters)
    for result, wanted in zip(actual, expected):
        np.testing.assert_allclose(result, wanted, rtol=1e-10, atol=1e-10 * max(1.0, np.abs(wanted).max()))


@given(convolution=convolutions(), kind=st.sampled_from(KINDS), seed=seeds)
@settings(max_examples=80, deadline=None)
def test_float32_and_bits_that_do_not_depend_on_threads(convolution, kind, seed):
    x_shape, w_shape, parameters = convolution
    x, w, bias, g, gate = operands(x_shape, w_shape, parameters, seed, np.float32)
    exact = all_of(reference, *(a.astype(np.float64) for a in (x, w, bias, g, gate)), parameters)
    with eager(), served_by(kind):
        results = []
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append(all_of(compiled, x, w, bias, g, gate, parameters))
    for one, two, three, wanted in zip(*results, exact):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "change"),
    [
        ((2, 40, 9, 9), (50, 40, 4, 4), {}),  # more rows of im2col than are packed at a time
        ((1, 3, 40, 70), (20, 3, 3, 3), {"padding": (1, 1)}),  # blocks of rows
        ((1, 2, 1, 900), (5, 2, 1, 7), {"padding": (0, 3)}),  # blocks of columns
        ((2, 64, 3, 3), (30, 64, 3, 3), {"padding": (1, 1)}),  # threads share the output channels
        ((3, 5, 7, 6), (4, 5, 1, 1), {}),
        ((2, 5, 9, 70), (5, 1, 3, 3), {"groups": 5, "padding": (1, 1)}),  # a kernel a channel
        ((2, 3, 9, 8), (3, 1, 3, 2), {"groups": 3, "stride": (2, 2), "dilation": (1, 2)}),
        ((2, 3, 8, 8), (4, 3, 2, 2), {"stride": (3, 3)}),  # inputs that no window sees
        ((2, 2, 5, 5), (3, 2, 1, 1), {"padding": (3, 2)}),  # windows that see nothing
    ],
)
def test_every_way_of_cutting_the_work(eager_threads, x_shape, w_shape, change, kind):
    parameters = {**SIMPLE, **change}
    x, w, bias, g, gate = operands(x_shape, w_shape, parameters, 0)
    expected = all_of(reference, x, w, bias, g, gate, parameters)
    for count in (1, 2, 5):
        threads.set_num_threads(count)
        with served_by(kind):
            actual = all_of(compiled, x, w, bias, g, gate, parameters)
        for result, wanted in zip(actual, expected):
            np.testing.assert_allclose(result, wanted, rtol=1e-11, atol=1e-11)


@given(convolutions(), st.sampled_from(KINDS), st.booleans(), st.booleans(), seeds)
@settings(max_examples=100, deadline=None)
def test_nothing_is_touched_past_the_ends(convolution, kind, at_start, in_small_pieces, seed):
    x_shape, w_shape, parameters = convolution
    given_ = operands(x_shape, w_shape, parameters, seed, [np.float32, np.float64][seed % 2])
    with pytest.MonkeyPatch.context() as patch, served_by(kind), eager() if in_small_pieces else nullcontext():
        wanted = all_of(compiled, *given_, parameters)
        patch.setattr(compiled, "np", GuardedResults(at_start))
        actual = all_of(compiled, *(guarded(a, at_start) for a in given_), parameters)
    for result, expected in zip(actual, wanted):
        np.testing.assert_array_equal(result, expected)


def test_nan_and_infinity_reach_the_result():
    x, w = np.ones((1, 1, 4, 40), np.float32), np.ones((1, 1, 1, 1), np.float32)
    x[0, 0, 1, 2], x[0, 0, 2, 35], x[0, 0, 3, 3] = np.nan, np.inf, -np.inf
    y = compiled.conv2d_forward(x, w, None, **SIMPLE, relu=True)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    gate = np.where(np.isnan(x), np.float32(np.nan), np.float32(1))
    np.testing.assert_array_equal(compiled.conv2d_grad_input(x, w, x.shape, **SIMPLE, gate=gate), x)
    assert np.isnan(compiled.conv2d_grad_weight(x, np.ones_like(x), w.shape, **SIMPLE)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_written_where_they_are_kept_and_nowhere_else(dtype):
    parameters = {**SIMPLE, "padding": (1, 1)}
    x, w, _, g, _ = operands((2, 3, 5, 6), (17, 3, 3, 3), parameters, 0, dtype)
    wanted = reference.conv2d_grad_weight(g, x, w.shape, **parameters)
    room = np.full(w.size + 2 * 64 + 17, 7, dtype)
    dw, db = room[64 : 64 + w.size].reshape(w.shape), room[-64 - 17 : -64]
    results = compiled.conv2d_grad_weight(g, x, w.shape, **parameters, with_bias=True, out=dw, bias_out=db)
    assert results[0] is dw
    assert results[1] is db
    np.testing.assert_allclose(dw, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(db, g.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)
    assert (room[:64] == 7).all()
    assert (room[-64:] == 7).all()
    apart = np.empty((*w.shape, 2), dtype)[..., 0]
    np.testing.assert_array_equal(compiled.conv2d_grad_weight(g, x, w.shape, **parameters, out=apart), dw)
    np.testing.assert_array_equal(apart, dw)


def test_misfits_are_named_at_the_door():
    x, w, g = np.ones((2, 1, 5, 5)), np.ones((1, 1, 3, 3)), np.ones((2, 1, 3, 3))
    with pytest.raises(TypeError, match="x must be float32 or float64 for the compiled kernel, got float16"):
        compiled.conv2d_forward(x.astype(np.float16), w, None, **SIMPLE)
    with pytest.raises(TypeError, match="all operands must be float64 as x is, got float32"):
        compiled.conv2d_forward(x, w.astype(np.float32), None, **SIMPLE)
    with pytest.raises(ValueError, match=r"the bias must have shape \(1,\), got \(2,\)"):
        compiled.conv2d_forward(x, w, np.ones(2), **SIMPLE)
    with pytest.raises(ValueError, match=r"kernel_size 3 .* spans 3 elements, more than the input's 2"):
        compiled.conv2d_forward(x[:, :, :2], w, None, **SIMPLE)
    with pytest.raises(ValueError, match=r"output's shape \(2, 1, 3, 3\), got \(2, 1, 3, 2\)"):
        compiled.conv2d_grad_weight(g[..., :2], x, w.shape, **SIMPLE)
    with pytest.raises(ValueError, match=r"output's shape \(2, 1, 3, 3\), got \(1, 1, 3, 3\)"):
        compiled.conv2d_grad_input(g[:1], w, x.shape, **SIMPLE)
    with pytest.raises(ValueError, match=r"gate must have the output's shape \(2, 1, 3, 3\), got \(2, 1, 3, 1\)"):
        compiled.conv2d_grad_input(g, w, x.shape, **SIMPLE, gate=g[..., :1])
    with pytest.raises(ValueError, match=r"write into must have shape \(1, 1, 3, 3\), got \(9,\)"):
        compiled.conv2d_grad_weight(g, x, w.shape, **SIMPLE, out=np.empty(9))

"""Pooling against PyTorch in float64; the compiled kernels against the reference, bit for bit."""

import numpy as np
import pytest
from conv_choice import GuardedResults
from guarded_memory import guarded
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import max_pool2d as compiled
from minipar.kernels.cpu import threads
from minipar.kernels.reference import pool2d
from minipar.kernels.reference.shapes import pool_output_size

IMPLEMENTATIONS = pytest.mark.parametrize("kernels", [pool2d, compiled], ids=["reference", "compiled"])
TWO = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False}


@st.composite
def poolings(draw, dilations=(1, 2)):
    """(x shape, kernel, stride, padding, dilation, ceil_mode) of a pooling of which some window fits."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.sampled_from(dilations), st.sampled_from(dilations)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    least = [max(d, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation)]
    size = [low + draw(st.integers(0, 5)) for low in least]
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 3)), *size)
    return shape, kernel, stride, padding, dilation, draw(st.booleans())


@IMPLEMENTATIONS
@given(poolings(), layouts, st.booleans(), seeds)
@settings(max_examples=50, deadline=None)
def test_max_pool_equals_pytorch(kernels, pooling, layout, special, seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    shape, *parameters = pooling
    rng = np.random.default_rng(seed)
    # A handful of distinct values: ties everywhere, and NaN and -inf among them.
    values = [0.0, 1.0, -2.0, np.nan, -np.inf] if special else [0.0, 1.0, -2.0, 3.0]
    x = laid_out(rng.choice(values, shape), layout)
    tx = torch.tensor(x.copy(), requires_grad=True)
    expected, indices = torch.nn.functional.max_pool2d(tx, *parameters, return_indices=True)
    g = laid_out(rng.normal(size=tuple(expected.shape)), layout)
    y, winners = kernels.max_pool2d_forward(x, *parameters)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_array_equal(winners, indices.numpy())
    assert winners.dtype == np.int64
    dx = kernels.max_pool2d_backward(g, laid_out(winners, layout), shape)
    np.testing.assert_allclose(
        dx, torch.autograd.grad(expected, tx, torch.tensor(g.copy()))[0].numpy(), rtol=1e-12, atol=1e-12
    )


@given(poolings(dilations=(1,)), st.booleans(), st.none() | st.sampled_from([1, 3, -2]), layouts, seeds)
@settings(max_examples=50, deadline=None)
def test_average_pool_equals_pytorch(pooling, count_include_pad, divisor_override, layout, seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    shape, kernel, stride, padding, _, ceil_mode = pooling
    parameters = (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)
    rng = np.random.default_rng(seed)
    x = laid_out(rng.normal(size=shape), layout)
    tx = torch.tensor(x.copy(), requires_grad=True)
    expected = torch.nn.functional.avg_pool2d(tx, *parameters)
    g = laid_out(rng.normal(size=tuple(expected.shape)), layout)
    np.testing.assert_allclose(
        pool2d.avg_pool2d_forward(x, *parameters), expected.detach().numpy(), rtol=1e-12, atol=1e-12
    )
    dx = torch.autograd.grad(expected, tx, torch.tensor(g.copy()))[0].numpy()
    np.testing.assert_allclose(pool2d.avg_pool2d_backward(g, shape, *parameters), dx, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(poolings(), st.booleans(), seeds)
@settings(max_examples=30, deadline=None)
def test_compiled_max_pool_equals_the_reference_to_the_bit(dtype, pooling, with_nan, seed):
    shape, *parameters = pooling
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(dtype)
    if with_nan:
        x[rng.random(shape) < 0.2] = np.nan
    y, winners = compiled.max_pool2d_forward(x, *parameters)
    g = rng.normal(size=y.shape).astype(dtype)
    dx = compiled.max_pool2d_backward(g, winners, shape)
    expected, expected_winners = pool2d.max_pool2d_forward(x, *parameters)
    np.testing.assert_array_equal(y.view(np.uint8), expected.view(np.uint8))
    np.testing.assert_array_equal(winners, expected_winners)
    np.testing.assert_array_equal(dx.view(np.uint8), pool2d.max_pool2d_backward(g, winners, shape).view(np.uint8))


@given(poolings(), st.booleans(), st.booleans(), st.sampled_from([np.float32, np.float64]), seeds)
@settings(max_examples=60, deadline=None)
def test_nothing_is_touched_past_the_ends(pooling, at_start, wide, dtype, seed):
    shape, *geometry, ceil_mode = pooling
    x = np.random.default_rng(seed).normal(size=(*shape[:3], shape[3] + 40 * wide)).astype(dtype)
    y, taps = compiled.max_pool2d_taps(x, *geometry, ceil_mode)  # compiles, for which NumPy must be itself
    compiled.max_pool2d_taps_backward(y, taps, x.shape, *geometry)
    compiled.max_pool2d_backward(*compiled.max_pool2d_forward(x, *geometry, ceil_mode), x.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "np", GuardedResults(at_start))
        y, taps = compiled.max_pool2d_taps(guarded(x, at_start), *geometry, ceil_mode)
        np.testing.assert_array_equal(y, pool2d.max_pool2d_forward(x, *geometry, ceil_mode)[0])
        compiled.max_pool2d_taps_backward(y, taps, x.shape, *geometry)
        y, winners = compiled.max_pool2d_forward(guarded(x, at_start), *geometry, ceil_mode)
        compiled.max_pool2d_backward(y, winners, x.shape)


@IMPLEMENTATIONS
def test_the_first_of_equals_wins_and_a_nan_beats_infinity(kernels):
    x = np.array([[7.0, 7.0, np.inf, 1.0], [7.0, 7.0, np.nan, np.inf]])[None, None]
    y, winners = kernels.max_pool2d_forward(x, **TWO)
    np.testing.assert_array_equal(y.ravel(), [7.0, np.nan])
    assert winners.ravel().tolist() == [0, 6]


@IMPLEMENTATIONS
def test_overlapping_windows_add_up_at_their_common_winner(kernels):
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = 5
    _, winners = kernels.max_pool2d_forward(x, **{**TWO, "stride": (1, 1)})
    dx = kernels.max_pool2d_backward(np.array([[[[1.0, 2.0], [4.0, 8.0]]]]), winners, x.shape)
    assert dx[0, 0].tolist() == [[0, 0, 0], [0, 15, 0], [0, 0, 0]]


@IMPLEMENTATIONS
@given(poolings(), layouts, st.booleans(), st.booleans(), seeds)
@settings(max_examples=60, deadline=None)
def test_taps_name_the_winners(kernels, pooling, layout, special, wide, seed):
    shape, kernel, stride, padding, dilation, ceil_mode = pooling
    geometry = (kernel, stride, padding, dilation)
    rng = np.random.default_rng(seed)
    values = [0.0, 1.0, -2.0, np.nan, -np.inf, np.inf] if special else [0.0, 1.0, -2.0, 3.0]
    x = rng.choice(values, (*shape[:3], shape[3] + 40 * wide))
    expected, winners = pool2d.max_pool2d_forward(x, *geometry, ceil_mode)
    y, taps = kernels.max_pool2d_taps(laid_out(x, layout), *geometry, ceil_mode)
    np.testing.assert_array_equal(y, expected)
    assert taps.dtype == np.uint8
    rows, columns = np.indices(y.shape[2:])
    h = rows * stride[0] - padding[0] + taps.astype(int) // kernel[1] * dilation[0]
    w = columns * stride[1] - padding[1] + taps.astype(int) % kernel[1] * dilation[1]
    np.testing.assert_array_equal(h * x.shape[3] + w, winners)
    g = rng.normal(size=y.shape)
    dx = kernels.max_pool2d_taps_backward(laid_out(g, layout), laid_out(taps, layout), x.shape, *geometry)
    np.testing.assert_allclose(dx, pool2d.max_pool2d_backward(g, winners, x.shape), rtol=1e-12, atol=1e-12)


@given(st.integers(1, 9), st.integers(2, 70), st.sampled_from([np.float32, np.float64]), seeds)
@settings(max_examples=30, deadline=None)
def test_windows_of_two_by_two(height, width, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 2, height + 1, width)).astype(dtype)
    y, taps = compiled.max_pool2d_taps(x, **TWO)
    geometry = [TWO[name] for name in ("kernel", "stride", "padding", "dilation")]
    expected, expected_taps = pool2d.max_pool2d_taps(x, **TWO)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(taps, expected_taps)
    np.testing.assert_array_equal(
        compiled.max_pool2d_taps_backward(y, taps, x.shape, *geometry),
        pool2d.max_pool2d_taps_backward(y, taps, x.shape, *geometry),
    )


@pytest.mark.parametrize("count", [2, 3])
def test_the_bits_do_not_depend_on_threads(monkeypatch, count):
    monkeypatch.setattr(threads, "GRAIN", 1)
    x = np.random.default_rng(0).normal(size=(2, 5, 9, 20)).astype(np.float32)
    geometry = ((3, 3), (2, 2), (1, 1), (1, 1))
    results = []
    for number in (1, count):
        threads.set_num_threads(number)
        y, taps = compiled.max_pool2d_taps(x, *geometry, False)
        results.append((y, taps, compiled.max_pool2d_taps_backward(y, taps, x.shape, *geometry)))
    threads.set_num_threads(threads._default())
    for one, several in zip(*results):
        np.testing.assert_array_equal(one, several)


def test_a_tap_outside_its_plane_is_refused():
    g, taps = np.ones((1, 2, 1, 1)), np.full((1, 2, 1, 1), 200, np.uint8)
    for geometry in [((2, 2), (2, 2), (0, 0), (1, 1)), ((3, 3), (1, 1), (0, 0), (1, 1))]:
        with pytest.raises(IndexError, match="2 of the taps lie outside their plane of 4 x 4"):
            compiled.max_pool2d_taps_backward(g, taps, (1, 2, 4, 4), *geometry)
    with pytest.raises(ValueError, match="17 x 16 taps has more than 256"):
        compiled.max_pool2d_taps(np.ones((1, 1, 20, 20)), (17, 16), (1, 1), (0, 0), (1, 1), False)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_reference_keeps_the_dtype(dtype):
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype(dtype)
    y, winners = pool2d.max_pool2d_forward(x, **TWO)
    average = pool2d.avg_pool2d_forward(x, (2, 2), (2, 2), (0, 0), False, True, None)
    assert {y.dtype, average.dtype, pool2d.max_pool2d_backward(y, winners, x.shape).dtype} == {np.dtype(dtype)}
    assert pool2d.avg_pool2d_backward(y, x.shape, (2, 2), (2, 2), (0, 0), False, True, None).dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 3, 1, 0, 1, False), "kernel_size 3 with dilation 1 spans 3 elements, more than the input's 2"),
        ((9, 3, 1, 2, 1, False), r"at most half of the window's span \(3 // 2 = 1\), got 2"),
        ((9, 0, 1, 0, 1, False), "kernel_size must be at least 1, got 0"),
        ((9, 3, 0, 0, 1, True), "stride must be at least 1, got 0"),
    ],
)
def test_pool_misfits_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        pool_output_size(*arguments)


@IMPLEMENTATIONS
def test_a_window_without_any_element_is_refused(kernels):
    with pytest.raises(ValueError, match="no tap inside the input's 1"):
        kernels.max_pool2d_forward(np.ones((1, 1, 1, 1)), (2, 2), (1, 1), (2, 2), (4, 4), False)


def test_divisor_zero_is_refused():
    with pytest.raises(ValueError, match="divisor_override must not be zero"):
        pool2d.avg_pool2d_forward(np.ones((1, 1, 2, 2)), (2, 2), (2, 2), (0, 0), False, True, 0)


@pytest.mark.parametrize("winner", [-1, 16, 2**40])
def test_compiled_backward_never_writes_outside(winner):
    g, winners = np.ones((1, 2, 1, 1)), np.full((1, 2, 1, 1), winner)
    with pytest.raises(IndexError, match="2 of the winners lie outside their plane of 4 x 4"):
        compiled.max_pool2d_backward(g, winners, (1, 2, 4, 4))


def test_compiled_kernels_name_what_they_do_not_take():
    x = np.ones((1, 1, 4, 4), np.float16)
    with pytest.raises(TypeError, match="x must be float32 or float64 for the compiled kernel, got float16"):
        compiled.max_pool2d_forward(x, **TWO)
    with pytest.raises(TypeError, match="g must be float32 or float64"):
        compiled.max_pool2d_backward(x, np.zeros(x.shape, np.int64), (1, 1, 8, 8))
    with pytest.raises(ValueError, match="must be alike"):
        compiled.max_pool2d_backward(np.ones((1, 1, 2, 2)), np.zeros((1, 1, 2, 1), np.int64), (1, 1, 4, 4))

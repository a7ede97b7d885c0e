"""conv2d and its gradients against PyTorch in float64, and what only our own contract promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.reference import conv2d
from minipar.kernels.reference.conv2d import conv2d_forward, conv2d_grad_input, conv2d_grad_weight

SIMPLE = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


@st.composite
def convolutions(draw):
    """(x shape, w shape, parameters) of a convolution whose kernel fits."""
    kernel, stride, padding, dilation = (
        draw(st.tuples(st.integers(low, high), st.integers(low, high)))
        for low, high in ((1, 3), (1, 3), (0, 2), (1, 2))
    )
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation)]
    size = [low + draw(st.integers(0, 4)) for low in least]
    groups, group_in, group_out = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    x_shape = (draw(st.integers(0, 4)), groups * group_in, *size)
    return (
        x_shape,
        (groups * group_out, group_in, *kernel),
        {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
    )


@given(convolutions(), layouts, st.booleans(), st.integers(1, 4), seeds)
@settings(max_examples=50, deadline=None)
def test_forward_and_both_gradients_equal_pytorch(convolution, layout, with_bias, images_per_tile, seed):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    x_shape, w_shape, parameters = convolution
    rng = np.random.default_rng(seed)
    x, w = laid_out(rng.normal(size=x_shape), layout), laid_out(rng.normal(size=w_shape), layout)
    bias = rng.normal(size=w_shape[0]) if with_bias else None
    tx, tw = torch.tensor(x.copy(), requires_grad=True), torch.tensor(w.copy(), requires_grad=True)
    expected = torch.nn.functional.conv2d(tx, tw, None if bias is None else torch.tensor(bias), **parameters)
    g = laid_out(rng.normal(size=tuple(expected.shape)), layout)
    dx, dw = torch.autograd.grad(expected, (tx, tw), torch.tensor(g.copy()))
    with pytest.MonkeyPatch.context() as patch:
        # Tiles of a few images, so that the loop over tiles and its shorter last one are met.
        patch.setattr(conv2d, "_images_per_tile", lambda n, *sizes: max(1, min(n, images_per_tile)))
        y = conv2d_forward(x, w, bias, **parameters)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(conv2d_grad_input(g, w, x_shape, **parameters), dx, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(conv2d_grad_weight(g, x, w_shape, **parameters), dw, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept_and_float16_is_added_up_in_float32(dtype):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 16, 9, 9)).astype(dtype), rng.normal(size=(4, 16, 3, 3)).astype(dtype)
    g = rng.normal(size=(3, 4, 7, 7)).astype(dtype)
    exact = [array.astype(np.float64) for array in (x, w, g)]
    results = [
        (conv2d_forward(x, w, None, **SIMPLE), conv2d_forward(exact[0], exact[1], None, **SIMPLE)),
        (conv2d_grad_input(g, w, x.shape, **SIMPLE), conv2d_grad_input(exact[2], exact[1], x.shape, **SIMPLE)),
        (conv2d_grad_weight(g, x, w.shape, **SIMPLE), conv2d_grad_weight(exact[2], exact[0], w.shape, **SIMPLE)),
    ]
    for actual, reference in results:
        assert actual.dtype == dtype
        # One rounding of the result, whatever the length of the sum (144 terms and more).
        tolerance = max(np.finfo(dtype).eps, 4e-6 if dtype != np.float64 else 0)
        np.testing.assert_allclose(actual, reference, rtol=tolerance, atol=tolerance)


def test_whole_windows_matrix_is_never_built():
    x, w = np.ones((256, 4, 32, 32), np.float32), np.ones((2, 4, 5, 5), np.float32)
    shapes = []
    with pytest.MonkeyPatch.context() as patch:
        original = conv2d._as_matrices
        patch.setattr(
            conv2d, "_as_matrices", lambda windows, groups: shapes.append(windows.nbytes) or original(windows, groups)
        )
        y = conv2d_forward(x, w, None, **SIMPLE)
        conv2d_grad_weight(y, x, w.shape, **SIMPLE)
        conv2d_grad_input(y, w, x.shape, **SIMPLE)
    assert shapes
    assert max(shapes) <= conv2d.TILE_BYTES


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "change", "message"),
    [
        ((1, 1, 4, 9), (1, 1, 5, 5), {}, "kernel_size 5 .* spans 5 elements, more than the input's 4"),
        ((1, 1, 9, 9), (1, 1, 5, 5), {"dilation": (1, 3)}, "dilation 3 spans 13 elements"),
        ((1, 3, 9, 9), (2, 2, 3, 3), {}, "wants 2 input channels.*has 3"),
        ((1, 3, 9, 9), (2, 3, 3, 3), {"groups": 2}, "groups must divide"),
        ((1, 1, 9, 9), (1, 1, 3, 3), {"stride": (0, 1)}, "stride must be at least 1, got 0"),
        ((1, 1, 9, 9), (1, 1, 3, 3), {"padding": (0, -1)}, "padding must not be negative, got -1"),
    ],
)
def test_misfits_are_named(x_shape, w_shape, change, message):
    with pytest.raises(ValueError, match=message):
        conv2d_forward(np.ones(x_shape), np.ones(w_shape), None, **{**SIMPLE, **change})


def test_gradient_of_another_shape_is_refused():
    x, w, g = np.ones((2, 1, 5, 5)), np.ones((1, 1, 3, 3)), np.ones((2, 1, 3, 1))
    with pytest.raises(ValueError, match=r"output's shape \(2, 1, 3, 3\), got \(2, 1, 3, 1\)"):
        conv2d_grad_weight(g, x, w.shape, **SIMPLE)
    with pytest.raises(ValueError, match=r"output's shape \(2, 1, 3, 3\), got \(2, 1, 3, 1\)"):
        conv2d_grad_input(g, w, x.shape, **SIMPLE)

"""Compiled three-dimensional convolution against its reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_layouts import laid_out, layouts, seeds

from minipar.kernels.cpu import conv3d as compiled
from minipar.kernels.reference import conv3d as reference


@st.composite
def convolutions(draw):
    """(x shape, w shape, parameters) of a convolution whose kernel fits; padding may be larger than the kernel."""
    kernel, stride, padding, dilation = (
        tuple(draw(st.integers(low, high)) for _ in range(3)) for low, high in ((1, 3), (1, 3), (0, 4), (1, 2))
    )
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation)]
    size = [low + draw(st.sampled_from([0, 1, 2, 5])) for low in least]
    groups, group_in, group_out = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 8, 16]))
    parameters = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (draw(st.integers(0, 6)), groups * group_in, *size), (groups * group_out, group_in, *kernel), parameters


@given(convolutions(), layouts, st.sampled_from([1, 1 << 25]), seeds, st.sampled_from([np.float32, np.float64]))
@settings(max_examples=100, deadline=None)
def test_equals_the_reference(convolution, layout, room, seed, dtype):
    x_shape, w_shape, parameters = convolution
    rng = np.random.default_rng(seed)
    x, w, bias = (rng.normal(size=shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[:1]))
    y = reference.conv3d_forward(x, w, bias, **parameters)
    g = rng.normal(size=y.shape).astype(dtype)
    wanted = [
        y,
        reference.conv3d_forward(x, w, None, **parameters),
        reference.conv3d_grad_input(g, w, x_shape, **parameters),
        reference.conv3d_grad_weight(g, x, w_shape, **parameters),
    ]
    x, w, bias, g = (laid_out(a, layout) for a in (x, w, bias, g))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "ROOM", room)  # volume by volume, or all at once
        actual = [
            compiled.conv3d_forward(x, w, bias, **parameters),
            compiled.conv3d_forward(x, w, None, **parameters),
            compiled.conv3d_grad_input(g, w, x_shape, **parameters),
            compiled.conv3d_grad_weight(g, x, w_shape, **parameters),
        ]
    tolerance = 1e-4 if dtype is np.float32 else 1e-11
    for result, expected in zip(actual, wanted):
        assert result.dtype == dtype
        np.testing.assert_allclose(
            result, expected, rtol=tolerance, atol=tolerance * max(1, np.abs(expected).max(initial=0))
        )


def test_misfits_are_named_at_the_door():
    simple = {"stride": (1, 1, 1), "padding": (0, 0, 0), "dilation": (1, 1, 1), "groups": 1}
    x, w = np.ones((2, 1, 4, 4, 4)), np.ones((1, 1, 3, 3, 3))
    with pytest.raises(ValueError, match=r"kernel_size 3 .* more than the input's 2"):
        compiled.conv3d_forward(x[:, :, :2], w, None, **simple)
    with pytest.raises(ValueError, match=r"output's shape \(2, 1, 2, 2, 2\), got \(2, 1, 2, 2, 1\)"):
        compiled.conv3d_grad_input(np.ones((2, 1, 2, 2, 1)), w, x.shape, **simple)
    with pytest.raises(ValueError, match=r"output's shape \(2, 1, 2, 2, 2\), got \(1, 1, 2, 2, 2\)"):
        compiled.conv3d_grad_weight(np.ones((1, 1, 2, 2, 2)), x, w.shape, **simple)
    with pytest.raises(TypeError, match="float16"):
        compiled.conv3d_forward(x.astype(np.float16), w.astype(np.float16), None, **simple)

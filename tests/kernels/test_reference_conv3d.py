"""conv3d, unfold and resampling kernels: what only their own contract promises; the values are tested in tests/ops."""

import numpy as np
import pytest

from minipar.kernels.reference.conv3d import conv3d_forward, conv3d_grad_input, conv3d_grad_weight
from minipar.kernels.reference.fold import fold2d, unfold2d
from minipar.kernels.reference.resample import resample

SIMPLE = {"stride": (1, 1, 1), "padding": (0, 0, 0), "dilation": (1, 1, 1), "groups": 1}
PLANE = {"kernel": (2, 3), "stride": (1, 2), "padding": (1, 0), "dilation": (2, 1)}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_is_kept_and_float16_is_added_up_in_float32(dtype):
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=shape).astype(dtype) for shape in ((2, 8, 5, 6, 5), (3, 8, 3, 3, 3)))
    g = rng.normal(size=(2, 3, 3, 4, 3)).astype(dtype)
    exact = [array.astype(np.float64) for array in (x, w, g)]
    for actual, expected in [
        (
            conv3d_forward(x, w, w[:, 0, 0, 0, 0], **SIMPLE),
            conv3d_forward(*exact[:2], exact[1][:, 0, 0, 0, 0], **SIMPLE),
        ),
        (conv3d_grad_input(g, w, x.shape, **SIMPLE), conv3d_grad_input(exact[2], exact[1], x.shape, **SIMPLE)),
        (conv3d_grad_weight(g, x, w.shape, **SIMPLE), conv3d_grad_weight(exact[2], exact[0], w.shape, **SIMPLE)),
    ]:
        assert actual.dtype == dtype
        tolerance = max(np.finfo(dtype).eps, 2e-5 if dtype != np.float64 else 0)
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def test_a_kernel_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"kernel_size 5 .* more than the input's 4"):
        conv3d_forward(np.ones((1, 1, 4, 9, 9)), np.ones((1, 1, 5, 1, 1)), None, **SIMPLE)


def test_fold_is_the_transpose_of_unfold():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 7))
    columns = unfold2d(x, **PLANE)
    c = rng.normal(size=columns.shape)
    np.testing.assert_allclose((columns * c).sum(), (x * fold2d(c, x.shape, **PLANE)).sum(), rtol=1e-12)


def test_resampling_is_a_sparse_matrix_product_along_an_axis():
    rng = np.random.default_rng(0)
    to, of, weight = rng.integers(0, 5, 20), rng.integers(0, 4, 20), rng.normal(size=20)
    matrix = np.zeros((6, 4))
    np.add.at(matrix, (to, of), weight)
    x = rng.normal(size=(3, 4, 2))
    np.testing.assert_allclose(resample(x, 1, to, of, weight, 6), np.einsum("oi,nic->noc", matrix, x), rtol=1e-12)


def test_an_infinity_reaches_only_the_outputs_that_take_it():
    x = np.array([1.0, np.inf, 3.0])
    y = resample(x, 0, np.array([0, 1, 1]), np.array([0, 1, 2]), np.ones(3), 3)
    np.testing.assert_array_equal(y, [1.0, np.inf, 0.0])

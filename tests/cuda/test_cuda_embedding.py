"""The embedding's gradient by the CUDA kernels, simulated: bit for bit the reference, whose order of additions it is.

But for a row of very many uses, whose pieces are added up each by itself.
"""

import cuda_cases as cases
import numpy as np
import pytest
from simulated_gpu import assert_within, simulated_gpu

import minipar
from minipar import nn
from minipar.kernels.cuda import picked_rows
from minipar.kernels.reference import picked_rows as reference

CHOICES = {
    "dtype": ("float32", "float64"),
    "shape": ((9,), (2, 3), (1,), (40,)),
    "width": (5, 1, 33, 260),  # 260: a whole block to a row
    "rows": (4, 7, 1),
    "padding": (None, 0),
    "by_frequency": (False, True),
    "indices": ("int64", "int32"),
}


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


def operands(dtype: str, shape: tuple, width: int, rows: int, indices: str = "int64") -> tuple:
    """g and the numbers of rows."""
    rng = np.random.default_rng(width)
    return rng.standard_normal((*shape, width)).astype(dtype), rng.integers(0, rows, shape).astype(indices)


@pytest.mark.parametrize("row", list(cases.pairwise(CHOICES)), ids=lambda row: "-".join(map(str, row)).replace(" ", ""))
def test_gradient(row, gpu):
    dtype, shape, width, rows, padding, by_frequency, indices = row
    g, numbers = operands(dtype, shape, width, rows, indices)
    total = gpu.call(picked_rows.embedding_backward, g, numbers, rows, padding, by_frequency)
    expected = reference.embedding_backward(g, numbers, rows, padding, by_frequency)
    if by_frequency:  # the sum is divided here, its terms there: one rounding against one of each term and addition
        wide = reference.embedding_backward(g.astype(np.float64), numbers, rows, padding, True)
        sizes = reference.embedding_backward(abs(g), numbers, rows, padding, True)
        assert_within(total, wide, (g.size + 1) * sizes)
    else:
        np.testing.assert_array_equal(total, expected, strict=True)
    assert gpu.launched == ["embedding_backward"]


def in_pieces(g: np.ndarray, numbers: np.ndarray, rows: int, longest: int) -> np.ndarray:
    """The same additions in the same order, by NumPy: of pieces of `longest` uses of a row, and of these."""
    total = np.zeros((rows, g.shape[1]), g.dtype)
    for row in range(rows):
        uses = g[numbers == row]
        for first in range(0, len(uses), longest):
            piece = np.zeros(g.shape[1], g.dtype)
            for use in uses[first : first + longest]:
                piece += use
            total[row] += piece
    return total


@pytest.mark.parametrize("width", [3, 260])
@pytest.mark.parametrize("longest", [1, 3, 4])
def test_a_row_of_many_uses_is_added_up_in_pieces(longest, width, gpu, monkeypatch):
    monkeypatch.setattr(picked_rows, "LONGEST", longest)
    counts = [9, 0, 4, 1, 12, 3, 2, 8]  # one to several pieces, the last of them whole or not
    rng = np.random.default_rng(longest)
    numbers = rng.permutation(np.repeat(np.arange(8), counts))
    g = rng.standard_normal((len(numbers), width)).astype(np.float32)
    total = gpu.call(picked_rows.embedding_backward, g, numbers, 8, None, False)
    np.testing.assert_array_equal(total, in_pieces(g, numbers, 8, longest), strict=True)
    assert gpu.launched == ["embedding_backward", "embedding_long_rows"]
    total = gpu.call(picked_rows.embedding_backward, g, numbers - 1, 6, 3, True)  # some are outside, one is padding
    expected = in_pieces(g, numbers, 8, longest)[1:7] / np.maximum(counts[1:7], 1).astype(np.float32)[:, None]
    expected[3] = 0
    np.testing.assert_array_equal(total, expected, strict=True)


def test_the_gradient_goes_to_its_place(gpu):
    g, numbers = operands("float64", (9,), 5, 4)
    expected = reference.embedding_backward(g, numbers, 6, None, False)
    for place in (np.full((6, 5), np.nan), np.full((5, 6), np.nan).T):
        there = gpu.to_gpu(place)
        assert picked_rows.embedding_backward(*gpu.to_gpu((g, numbers)), 6, None, False, there) is there
        np.testing.assert_array_equal(there.get(), expected)


def test_no_uses_no_width_and_numbers_outside(gpu):
    g, numbers = operands("float32", (9,), 5, 4)
    assert not gpu.call(picked_rows.embedding_backward, g[:0], numbers[:0], 3, None, True).any()
    assert gpu.call(picked_rows.embedding_backward, g[:, :0], numbers, 4, None, False).shape == (4, 0)
    numbers[2:4] = -1, 4
    inside = (numbers >= 0) & (numbers < 4)
    total = gpu.call(picked_rows.embedding_backward, g, numbers, 4, None, False)
    np.testing.assert_array_equal(total, reference.embedding_backward(g[inside], numbers[inside], 4, None, False))


def test_what_does_not_fit_is_refused(gpu):
    g, numbers = operands("float32", (9,), 5, 4)
    with pytest.raises(ValueError, match=r"g must have shape \(8, 5\), a row for each number, got \(9, 5\)"):
        gpu.call(picked_rows.embedding_backward, g, numbers[1:], 4, None, False)
    with pytest.raises(ValueError, match=r"out must have shape \(4, 5\), got \(5, 4\)"):
        gpu.call(picked_rows.embedding_backward, g, numbers, 4, None, False, np.zeros((5, 4), np.float32))


def test_through_the_layer(gpu):
    def run(device: str) -> list[np.ndarray]:
        minipar.manual_seed(0)
        layer = nn.Embedding(6, 3, padding_idx=2).double().to(device)
        y = layer(minipar.tensor([[1, 2, 1], [5, 1, 0]], device=device))
        (y * y).sum().backward()
        return [z.detach().cpu().numpy() for z in (y, layer.weight.grad)]

    for actual, expected in zip(run("cuda"), run("cpu"), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-14)
    assert "embedding_backward" in gpu.launched

"""The promise for tensor parallelism: models split over any number of ranks train as one process does."""

from __future__ import annotations

import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.equality import TOLERANCE, compare_gradients, compare_parameters, first_difference
from tests.parallel.tensor_models import MODELS, train


def assert_same_training(got, alone, dtype: str) -> None:
    """Values, both kinds of gradients, parameters, running statistics, and the draws made."""
    tolerance = TOLERANCE[np.dtype(dtype)]
    for here, there in zip(got[0], alone[0], strict=True):
        np.testing.assert_allclose(here, there, rtol=100 * tolerance, atol=100 * tolerance)
    if alone[1] is not None:
        np.testing.assert_allclose(got[1], alone[1], rtol=1e3 * tolerance, atol=tolerance)
    assert first_difference(compare_gradients(got[3], alone[3]), tolerance) is None
    assert first_difference(compare_parameters(got[4], alone[4], alone[2], 0.02), tolerance) is None
    for name, whole in alone[5].items():
        np.testing.assert_allclose(got[5][name], whole, rtol=100 * tolerance, atol=tolerance)
    assert got[6] == alone[6]


def both(name: str, dtype: str, ranks: int, backend: str = "thread", **options) -> None:
    alone, *split = parallel.launch(train, name, dtype, workers=1 + ranks, backend=backend, **options)
    for got in split:
        assert_same_training(got, alone, dtype)


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("name", MODELS)
def test_threads_train_as_one_float64(name, ranks):
    both(name, "float64", ranks)


@pytest.mark.parametrize("name", MODELS)
def test_threads_train_as_one_float32(name):
    alone, *split = parallel.launch(train, name, "float32", steps=3, workers=4, backend="thread")
    for got in split:
        assert_same_training(got, alone, "float32")


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("name", ["encoder", "encoder, norm first", "language model"])
def test_positions_between_the_split_parts_may_be_split_too(name, ranks):
    alone, *split = parallel.launch(train, name, "float64", True, workers=1 + ranks, backend="thread")
    for got in split:
        assert_same_training(got, alone, "float64")


def test_processes_train_as_one_and_repeat_their_bits():
    def everything(comm):
        return [train(comm, name, "float32", steps=3) for name in ("mlp", "cnn", "language model")]

    runs = [parallel.launch(everything, workers=3) for _ in range(2)]
    for name in range(3):
        for got, again in zip(runs[0][1:], runs[1][1:]):
            assert_same_training(got[name], runs[0][0][name], "float32")
            assert all(np.array_equal(a, b) for a, b in zip(got[name][4].values(), again[name][4].values()))

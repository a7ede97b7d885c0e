"""Windows beside PyTorch's; random numbers by their moments; dtypes and buffers."""

from __future__ import annotations

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "kaiser"])
@pytest.mark.parametrize("length", [0, 1, 2, 5, 8])
@pytest.mark.parametrize("periodic", [True, False])
def test_windows_are_pytorchs(name: str, length: int, periodic: bool) -> None:
    ours = getattr(minipar, f"{name}_window")(length, periodic, dtype=minipar.float64)
    theirs = getattr(torch, f"{name}_window")(length, periodic, dtype=torch.float64)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-12)


def test_a_window_has_the_default_dtype() -> None:
    assert minipar.hamming_window(3, False, 0.6, 0.4).dtype == minipar.float32


@pytest.mark.parametrize("rate", [0.0, 0.3, 4.0, 60.0, 1200.0])
def test_poisson_numbers_have_mean_and_variance_of_their_rate(rate: float) -> None:
    x = minipar.poisson(minipar.full((20000,), rate, dtype=minipar.float64))
    assert bool((x == x.floor()).all())
    assert abs(x.mean().item() - rate) < 5 * (rate / 20000) ** 0.5 + 1e-12
    assert abs(x.var().item() - rate) < 0.06 * rate + 1e-12


def test_poisson_takes_numbers_and_nothing() -> None:
    assert minipar.poisson(minipar.tensor(2.0)).shape == ()
    assert minipar.poisson(minipar.ones(0, 3)).shape == (0, 3)


def test_geometric_numbers_count_trials() -> None:
    x = minipar.empty(20000).geometric_(0.25)
    assert x.min().item() == 1
    assert abs(x.mean().item() - 4) < 0.15
    assert minipar.ones(5).long().geometric_(0.5).dtype == minipar.int64


def test_log_normal_numbers_have_normal_logarithms() -> None:
    x = minipar.empty(20000, dtype=minipar.float64).log_normal_(1.0, 0.5).log()
    assert abs(x.mean().item() - 1) < 0.02
    assert abs(x.std().item() - 0.5) < 0.02


def test_cauchy_numbers_have_their_quartiles() -> None:
    x = minipar.empty(20000, dtype=minipar.float64).cauchy_(3.0, 2.0)
    assert np.abs(np.quantile(x.numpy(), [0.25, 0.5, 0.75]) - [1.0, 3.0, 5.0]).max() < 0.2


def test_methods_draw_as_the_functions_do() -> None:
    chances = minipar.rand(50)
    for name, args in (("bernoulli", ()), ("bernoulli", (0.3,)), ("multinomial", (5,))):
        minipar.manual_seed(3)
        expected = getattr(minipar, name)(chances, *args)
        minipar.manual_seed(3)
        assert minipar.equal(getattr(chances, name)(*args), expected)


def test_dtypes_are_cast_and_promoted_as_in_pytorch() -> None:
    names = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
    for a in names:
        for b in names:
            ours, theirs = (getattr(minipar, a), getattr(minipar, b)), (getattr(torch, a), getattr(torch, b))
            assert minipar.can_cast(*ours) == torch.can_cast(*theirs), (a, b)
            assert f"torch.{minipar.promote_types(*ours).name}" == str(torch.promote_types(*theirs)), (a, b)


def test_frombuffer_shares_memory() -> None:
    buffer = bytearray(np.arange(4, dtype=np.int16).tobytes())
    x = minipar.frombuffer(buffer, dtype=minipar.int16, count=2, offset=2)
    assert x.tolist() == [1, 2]
    x[0] = 7
    assert np.frombuffer(buffer, np.int16)[1] == 7


def test_gradients_of_integers_are_of_the_default_dtype() -> None:
    assert minipar.gradient(minipar.arange(4))[0].dtype == minipar.float32
    assert minipar.gradient(minipar.ones(2, 2), dim=()) == ()

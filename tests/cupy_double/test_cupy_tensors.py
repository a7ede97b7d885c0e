"""Tensors over arrays of the CuPy double: creation, in-place forms, indices, moves, interchange: as on NumPy.

Not a GPU run: see double_array.py for what this shows and what it cannot.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.autograd import gradcheck, gradgradcheck
from tests.cupy_double.beside_numpy import ELSEWHERE, Placed, arrays, assert_equal_arrays, assert_the_same, flat


def on_both(run: Callable[[Any], Any], **tolerance: float) -> None:
    """run(m)'s tensors, made on either device, must be equal."""
    found = []
    for device in ("cpu", ELSEWHERE):
        minipar.manual_seed(3)
        found.append(arrays(flat(run(Placed(device))), device))
    assert found[0], "no tensors to compare"
    assert_equal_arrays(*found, **tolerance)


# ── creation ──────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATION: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda m: [m.tensor([[1, 2], [3, 4]]), m.tensor(2.5), m.tensor([])],
    "tensor of a tensor": lambda m: m.tensor(m.tensor([1.0])),
    "tensor of tensors": lambda m: m.tensor([m.tensor(1.0), m.tensor(2.0)]),
    "as_tensor": lambda m: [m.as_tensor(np.arange(3)), m.as_tensor(m.tensor([1]), dtype=minipar.float64)],
    "as_tensor of the array": lambda m: minipar.as_tensor(m.tensor([1.0]).array),
    "asarray": lambda m: [m.asarray([1.0]), minipar.asarray(m.tensor([1.0]), copy=True)],
    "zeros": lambda m: [m.zeros(2, 3), m.ones(2), m.full((2,), 7), m.eye(3)],
    "ranges": lambda m: [m.arange(3), m.arange(0.0, 1.0, 0.25), m.linspace(0, 1, 5), m.logspace(0, 1, 3)],
    "random": lambda m: [m.rand(3), m.randn(3), m.randint(5, (3,)), m.randperm(5)],
    "like": lambda m: [getattr(minipar, f"{n}_like")(m.ones(2, 3)) for n in ("zeros", "ones", "rand", "randn")],
    "full_like": lambda m: [minipar.full_like(m.ones(2), 3.0), minipar.randint_like(m.ones(3), 5)],
    "new": lambda m: [m.ones(2).new_zeros(3), m.ones(2).new_ones(3), m.ones(2).new_full((2,), 4.0),
                      m.ones(2).new_tensor([1, 2])],
    "triangles": lambda m: [m.tril_indices(3, 4), m.triu_indices(3, 3, 1)],
    "draws": lambda m: [m.ones(5).uniform_(-1, 1), m.ones(5).normal_(1, 2), m.ones(5).exponential_(),
                        m.ones(5).bernoulli_(0.3), m.ones(5).random_(7)],
    "bernoulli of tensors": lambda m: [m.ones(5).bernoulli_(m.rand(5)), minipar.bernoulli(m.rand(5))],
    "bernoulli of one tensor": lambda m: m.ones(5).bernoulli_(m.tensor(0.5)),
    "multinomial": lambda m: minipar.multinomial(m.rand(2, 5), 3),
    "normal of tensors": lambda m: minipar.normal(m.zeros(4), m.ones(4)),
    "dropout": lambda m: [getattr(nn.functional, n)(m.rand(3, 4, 2), 0.5, training=True)
                          for n in ("dropout", "dropout1d", "alpha_dropout", "feature_alpha_dropout")],
    "rrelu": lambda m: nn.functional.rrelu(m.randn(5), training=True),
    "gumbel_softmax": lambda m: [nn.functional.gumbel_softmax(m.randn(2, 5), hard=hard) for hard in (False, True)],
    "one_hot": lambda m: nn.functional.one_hot(m.tensor([0, 2, 1])),
    "meshgrid": lambda m: minipar.meshgrid(m.arange(3), m.arange(2), indexing="ij"),
}  # fmt: skip


@pytest.mark.parametrize("name", CREATION)
def test_creation(name: str, cupy: ModuleType) -> None:
    on_both(CREATION[name], rtol=1e-6)


# ── in place ──────────────────────────────────────────────────────────────────────────────────────────────────────────

IN_PLACE = sorted(
    name for name in dir(minipar.Tensor)
    if name.endswith("_") and not name.startswith("_") and not name.endswith("__")
    and name not in ("requires_grad_", "detach_", "share_memory_")
)  # fmt: skip
NUMBERS_ONLY = {"fill_diagonal_", "normal_"}
ARGUMENTS: list[Callable[[Any], tuple]] = [  # tried in this order; every form must accept one of them
    lambda m: (),
    lambda m: (2,),
    lambda m: (0.25, 0.75),
    lambda m: (m.tensor([[0.25, 0.5, 0.75]]),),
    lambda m: (m.tensor([[3, 2, 1]]),),
    lambda m: (m.tensor([[0.25, 0.5, 0.75]]), 0.5),
    lambda m: (m.tensor([[1, 0, 1], [0, 0, 1]]) > 0, 0.5),
    lambda m: (m.tensor([[1, 0, 1], [0, 0, 1]]) > 0, m.arange(6.0)),
    lambda m: (m.ones(2, 3), m.ones(2, 3) * 2),
    lambda m: (m.ones(2, 2), m.ones(2, 3)),
    lambda m: (m.ones(2), m.ones(3)),
    lambda m: (0, m.tensor([[0, 1, 1]]), m.ones(1, 3)),
    lambda m: (0, m.tensor([[0, 1, 1]]), m.ones(1, 3), "sum"),
    lambda m: (0, m.tensor([1, 1]), 2.0),
    lambda m: (0, m.tensor([1, 1]), m.ones(2, 3)),
    lambda m: (0, m.tensor([1, 1]), m.ones(2, 3), "prod"),
    lambda m: ((m.tensor([1, 1]),), m.ones(2, 3)),
    lambda m: (0, 1),
    lambda m: (1,),
    lambda m: (0.5,),
    lambda m: (2, 0, 1.0),
    lambda m: ((2, 3), (3, 1)),
    lambda m: (minipar.sin,),
    lambda m: (m.tensor([4, 1]), m.tensor([2.0, 3.0])),
    lambda m: (m.ones(1, 2, 2), m.ones(1, 2, 3)),
    lambda m: (m.ones(2, 3), m.ones(3)),
]
STARTS = [lambda m: m.tensor([[0.5, 0.25, 0.75], [0.1, 0.9, 0.3]]), lambda m: m.tensor([[5, 2, 3], [1, 9, 0]])]
STARTS += [lambda m: m.tensor([[1.5, 2.0, 1.25], [3.0, 1.0, 2.0]])]
OTHER_STARTS = {"addmv_": [lambda m: m.ones(2)], "baddbmm_": [lambda m: m.ones(1, 2, 3)]}  # not of two axes


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str, cupy: ModuleType) -> None:
    ran = 0
    for start in OTHER_STARTS.get(name, STARTS):
        for given in ARGUMENTS:
            cpu = Placed("cpu")
            if name in NUMBERS_ONLY and any(isinstance(x, minipar.Tensor) for x in given(cpu)):
                continue
            try:
                getattr(start(cpu), name)(*given(cpu))
            except Exception:  # not an argument list of this form
                continue
            on_both(lambda m, start=start, given=given: getattr(start(m), name)(*given(m)), rtol=1e-5, atol=1e-6)
            ran += 1
    assert ran, f"no argument list fits {name}"


# ── indices ───────────────────────────────────────────────────────────────────────────────────────────────────────────

INDICES: dict[str, Callable[[Any], Any]] = {
    "int": lambda m: 1,
    "ints": lambda m: (1, 2, 0),
    "slices": lambda m: (slice(None, None, 2), slice(1, None)),
    "backwards": lambda m: (slice(None, None, -1), slice(2, 0, -1)),
    "None and …": lambda m: (None, ..., 1),
    "list": lambda m: [0, 2, 2],
    "empty list": lambda m: [],
    "lists": lambda m: ([0, 2], [1, 1]),
    "int beside a list": lambda m: (0, slice(None), [1, 0]),
    "list and slice": lambda m: (slice(None), [2, 0, 2]),
    "NumPy integers": lambda m: np.array([0, 2, 2]),
    "NumPy mask": lambda m: np.array([True, False, True, True]),
    "range": lambda m: range(1, 3),
    "tensor": lambda m: m.tensor([0, 2, 2]),
    "tensor of two axes": lambda m: m.tensor([[0, 2], [-1, 1]]),
    "tensors": lambda m: (m.tensor([0, 1]), slice(None), m.tensor([1, 0])),
    "tensor on the CPU": lambda m: minipar.tensor([0, 2, 2]),
    "0-d tensor": lambda m: m.tensor(2),
    "0-d tensor and slice": lambda m: (slice(1, None), m.tensor(2)),
    "mask": lambda m: m.tensor([True, False, True, False]),
    "mask of two axes": lambda m: m.arange(12).reshape(4, 3) % 2 == 0,
    "mask of all axes": lambda m: m.arange(24).reshape(4, 3, 2) % 5 == 0,
    "mask beside a tensor": lambda m: (m.tensor([True, False, True, False]), m.tensor([0, 2])),
    "mask with nothing": lambda m: m.zeros(4) > 0,
    "uint8": lambda m: m.tensor([1, 0, 0, 1], dtype=minipar.uint8),
    "True": lambda m: True,
}


@pytest.mark.parametrize("name", INDICES)
def test_reading_at(name: str, cupy: ModuleType) -> None:
    place = INDICES[name]
    assert_the_same(lambda m, x: x[place(m)] * x[place(m)], [np.random.default_rng(0).standard_normal((4, 3, 2))])


@pytest.mark.parametrize("name", INDICES)
def test_writing_at(name: str, cupy: ModuleType) -> None:
    place = INDICES[name]

    def write(m, x, v):
        y, z, w = x * 1, x * 1, x * 1
        y[place(m)] = 7.0
        z[place(m)] = v.sum()
        w[place(m)] = x[place(m)] * v[0]
        return y, z, w

    draw = np.random.default_rng(0)
    assert_the_same(write, [draw.standard_normal((4, 3, 2)), draw.standard_normal(2)])


def test_views_share_memory_and_versions(cupy: ModuleType) -> None:
    def change(m):
        x = m.zeros(2, 3)
        x[0].add_(1)
        x.T[1].mul_(5)
        x.reshape(6)[5] = 3
        x.diagonal().sub_(1)
        return x

    on_both(change)
    x = minipar.ones(3, device="cuda", requires_grad=True)
    y = x * 2
    z = y.exp() * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="in place"):
        z.sum().backward()


# ── moves, numbers, interchange ───────────────────────────────────────────────────────────────────────────────────────


def test_moves_carry_gradients_both_ways(cupy: ModuleType) -> None:
    x = minipar.tensor([1.0, 2.0], requires_grad=True)
    y = (x.to("cuda") * 3).cpu() + x.cuda().cpu()
    y.backward(minipar.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [4.0, 40.0]
    assert x.grad.device == minipar.device("cpu")
    there = minipar.zeros(2, device="cuda").copy_(x.detach())
    assert (there.tolist(), there.is_cuda, str(there.device)) == ([1.0, 2.0], True, "cuda:0")
    assert minipar.zeros(2).copy_(there).tolist() == [1.0, 2.0]


def test_devices_do_not_mix(cupy: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="two devices"):
        minipar.ones(2) + minipar.ones(2, device="cuda")
    assert (minipar.ones(2, device="cuda") * minipar.tensor(2.0)).tolist() == [2.0, 2.0]  # a 0-d tensor may be anywhere
    with pytest.raises(RuntimeError, match="numpy"):
        minipar.ones(2, device="cuda").numpy()


def test_numbers_and_texts(cupy: ModuleType) -> None:
    x = minipar.tensor([[1.5, 2.0]], device="cuda")
    assert (x[0, 0].item(), float(x[0, 0]), int(x[0, 1]), bool(x[0, 0] > 1), len(x)) == (1.5, 1.5, 2, True, 1)
    assert [row.tolist() for row in x] == [[1.5, 2.0]]
    assert repr(x) == "tensor([[1.5, 2. ]], device='cuda:0')"
    assert f"{x[0, 0]:.2f}" == "1.50"
    assert 2.0 in x
    assert minipar.tensor(1, device="cuda").__index__() == 1
    assert minipar.equal(x, x.clone())
    assert minipar.allclose(x, x + 0)


def test_numpys_functions_of_a_tensor(cupy: ModuleType) -> None:
    x = minipar.tensor([1.0, 4.0], device="cuda")
    assert np.sqrt(x).tolist() == [1.0, 2.0]
    assert (np.float32(2) * x).tolist() == [2.0, 8.0]
    with pytest.raises(RuntimeError, match="cpu"):
        np.asarray(x)


def test_copies_and_pickles(cupy: ModuleType) -> None:
    x = minipar.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    model = nn.Linear(2, 1).to("cuda")
    for copied in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (copied.tolist(), copied.is_cuda, copied.requires_grad) == ([1.0, 2.0], True, True)
    other = copy.deepcopy(model)
    other.load_state_dict(nn.Linear(2, 1).state_dict())  # from the CPU
    assert all(p.is_cuda for p in other.parameters())
    assert other(x).is_cuda
    assert not model.cpu()(x.detach().cpu()).is_cuda


def test_gradcheck(cupy: ModuleType) -> None:
    x = minipar.tensor([[0.5, 1.5], [2.0, 1.0]], dtype=minipar.float64, device="cuda", requires_grad=True)
    assert gradcheck(lambda x: (x.exp() @ x).sum(0), [x])
    assert gradgradcheck(lambda x: (x.exp() @ x).sum(0), [x])
    assert not gradcheck(lambda x: x.detach() * x, [x], raise_exception=False)


def test_derivatives_of_functions(cupy: ModuleType) -> None:
    def derivatives(m):
        x, v = m.tensor([0.5, 1.5]), m.tensor([1.0, 2.0])

        def f(x):
            return (x**3).sum() * x

        tools = minipar.autograd.functional
        total = lambda x: f(x).sum()  # noqa: E731
        return (
            tools.jacobian(f, x),
            tools.hessian(total, x),
            tools.vjp(f, x, v),
            tools.jvp(f, x, v),
            tools.hvp(total, x, v),
        )

    on_both(derivatives, rtol=1e-6)


def test_anomalies_and_recomputation(cupy: ModuleType) -> None:
    x = minipar.tensor([0.0, 1.0], device="cuda", requires_grad=True)
    with minipar.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="NaN"):
        (x.sqrt() * 0).sum().backward()
    y = minipar.utils.checkpoint.checkpoint(lambda x: (x * x).exp(), x, use_reentrant=False)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.tolist(), [0.0, 2 * np.e], rtol=1e-6)

"""The walk back: order, accumulation, freed graphs, what is an error, what may be asked for."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
from minipar.autograd import grad
from minipar.ops.arithmetic import Mul
from minipar.ops.op import Op


def leaf(*numbers: float) -> minipar.Tensor:
    return minipar.tensor(list(numbers) if len(numbers) > 1 else numbers[0], dtype=minipar.float64, requires_grad=True)


class Square3(Op):
    """Two outputs, x² and x³, for tests of nodes with several."""

    saves = (0,)
    outputs = 2

    def forward(self, x):
        return x * x, x * x * x

    def vjp(self, g, x):
        parts = [gi * s for gi, s in zip(g, (2 * x, 3 * x * x)) if gi is not None]
        return sum(parts[1:], parts[0])


def test_a_chain_of_100000_operations_is_walked_and_destroyed() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward(retain_graph=True)
    assert x.grad.item() == 1.0
    del y  # the graph dies link by link: no recursion limit may be met


def test_a_deep_chain_of_saved_values_is_destroyed_too() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * x
    (g,) = grad(y, x, create_graph=False)
    assert g.item() == 100_001.0


def test_each_node_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    vjp = Mul.vjp
    monkeypatch.setattr(Mul, "vjp", lambda node, *args: runs.append(node) or vjp(node, *args))
    x = leaf(1.0)
    y = x
    for _ in range(20):  # a ladder of diamonds: 2²⁰ paths
        y = y * y
    y.backward()
    assert len(runs) == 20
    assert len(set(map(id, runs))) == 20
    assert x.grad.item() == 2**20


def test_diamond_reused_value_and_skip_connection() -> None:
    x = leaf(2.0)
    a = x * x  # 4
    b = a * x  # 8
    c = a + b  # uses a again
    d = c * a  # (x² + x³) x² = x⁴ + x⁵
    d.backward()
    assert x.grad.item() == 4 * 2**3 + 5 * 2**4


def test_depth_first_recursion_would_be_wrong_here() -> None:
    x = leaf(3.0)
    y = x * 2
    z = y * y  # y is a non-leaf used twice, then used again later
    (z + y).backward()
    assert x.grad.item() == 2 * 2 * 6 + 2


def test_gradients_accumulate_until_they_are_reset() -> None:
    x = leaf(1.0, 2.0)
    for _ in range(3):
        (x * x).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_the_gradients_of_two_leaves_never_share_memory() -> None:
    for create_graph in (False, True):
        a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
        (a + b).backward(minipar.ones(2, dtype=minipar.float64), create_graph=create_graph, retain_graph=True)
        (a * 2).sum().backward()
        assert (a.grad.tolist(), b.grad.tolist()) == ([3.0, 3.0], [1.0, 1.0])
        a.grad = b.grad = None  # a graph of gradients may hold a cycle through .grad


def test_the_seed_that_was_passed_is_not_changed() -> None:
    for create_graph in (False, True):
        seed = minipar.ones(2, dtype=minipar.float64)
        x = leaf(1.0, 2.0)
        (x + 0).backward(seed, create_graph=create_graph)
        x.sum().backward()
        assert seed.tolist() == [1.0, 1.0]
        x.grad = None


def test_second_backward_through_a_freed_graph() -> None:
    x = leaf(3.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match=r"second backward.*Mul.*retain_graph=True"):
        y.backward()
    assert x.grad.item() == 6.0


def test_retain_graph_and_graphs_that_saved_nothing_may_run_again() -> None:
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12.0
    z = x + 1
    z.backward()
    z.backward()  # an addition saves nothing, so nothing was freed (as in PyTorch)
    assert x.grad.item() == 14.0


def test_a_fat_node_is_freed_as_well() -> None:
    x = minipar.ones(2, 3, requires_grad=True)
    y = minipar.nn.functional.linear(x, minipar.ones(4, 3)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"second backward.*Linear"):
        grad(y, x, create_graph=True)


def test_backward_of_a_non_scalar_needs_its_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\)"):
        (x * 2).backward()
    (x * 2).backward(minipar.tensor([1.0, 10.0], dtype=minipar.float64))
    assert x.grad.tolist() == [2.0, 20.0]


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (minipar.ones(3, dtype=minipar.float64), RuntimeError, r"shape \(3,\).*\(2,\)"),
        (minipar.ones(2), RuntimeError, "float32.*float64"),
        ([1.0, 1.0], TypeError, "Tensor, not list"),
    ],
)
def test_a_gradient_that_does_not_fit(gradient, error, message) -> None:
    with pytest.raises(error, match=message):
        (leaf(1.0, 2.0) * 2).backward(gradient)


def test_backward_of_a_leaf_is_one() -> None:
    x = leaf(5.0)
    x.backward()
    assert x.grad.item() == 1.0
    x.backward()
    assert x.grad.item() == 2.0


def test_nothing_requires_grad() -> None:
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        minipar.ones(1).backward()
    with minipar.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_only_floats_may_require_grad() -> None:
    with pytest.raises(RuntimeError, match=r"floating-point.*int64"):
        minipar.tensor([1, 2], requires_grad=True)
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match=r"detach\(\)"):
        (x * 2).requires_grad_(False)


def test_outputs_of_one_node_used_in_part() -> None:
    x = leaf(2.0)
    square, _ = Square3()(x)
    square.backward()
    assert x.grad.item() == 4.0
    x.grad = None
    _, cube = Square3()(x)
    cube.backward()
    assert x.grad.item() == 12.0
    x.grad = None
    square, cube = Square3()(x)
    (square * 2 + cube * square).backward()
    assert x.grad.item() == 2 * 4 + 5 * 16
    square, cube = Square3()(x)
    assert [g.item() for g in grad(square + cube, [cube, square, x])] == [1.0, 1.0, 16.0]


def test_backward_inputs_restricts_the_leaves() -> None:
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    seen = []
    w.register_hook(seen.append)
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.item()))
    (h * h).backward(inputs=[x, h])
    assert (x.grad.item(), h.grad.item(), w.grad) == (36.0, 12.0, None)
    assert seen == [36.0]  # x was told, the hook of w (not asked for) stayed silent
    with pytest.raises(RuntimeError, match="at least one"):
        (x * 1).backward(inputs=[])
    with pytest.raises(RuntimeError, match=r"input 0.*does not require"):
        (x * 1).backward(inputs=[minipar.ones(1)])


def test_grad_leaves_every_grad_alone() -> None:
    x, w = leaf(2.0), leaf(3.0)
    (gx,) = grad(x * w, x)
    assert (gx.item(), x.grad, w.grad) == (3.0, None, None)
    assert not gx.requires_grad


def test_grad_of_a_non_leaf_of_a_root_and_of_several_outputs() -> None:
    x = leaf(2.0)
    h = x * x
    y = h * 3
    assert grad(y, h, retain_graph=True)[0].item() == 3.0
    assert grad(y, y, retain_graph=True)[0].item() == 1.0
    assert grad(x, x)[0].item() == 1.0
    gh, gx = grad([y, h], [h, x], [minipar.tensor(2.0, dtype=minipar.float64), None])
    assert (gh.item(), gx.item()) == (7.0, 28.0)


def test_grad_runs_only_what_leads_to_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    vjp = Mul.vjp
    monkeypatch.setattr(Mul, "vjp", lambda node, *args: runs.append(node) or vjp(node, *args))
    x, w = leaf(2.0), leaf(3.0)
    side = w * w
    y = x * side
    assert grad(y, x)[0].item() == 9.0
    assert runs == [y.grad_fn]
    (side * 1.0).backward()  # what was not run was not freed


def test_unused_inputs() -> None:
    x, unused = leaf(2.0), leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(RuntimeError, match=r"input 1 \(shape \(2,\)\).*allow_unused"):
        grad(y, [x, unused], retain_graph=True)
    assert grad(y, [unused], retain_graph=True, allow_unused=True) == (None,)
    (zeros,) = grad(y, unused, retain_graph=True, materialize_grads=True)
    assert zeros.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="contradicts"):
        grad(y, unused, allow_unused=False, materialize_grads=True)
    with pytest.raises(RuntimeError, match="does not require"):
        grad(y, minipar.ones(1))
    with pytest.raises(RuntimeError, match=r"1 outputs.*got 2"):
        grad(y, x, [None, None])


def test_create_graph_to_any_order() -> None:
    x = leaf(1.5)
    y = x**4
    expected = [4 * 1.5**3, 12 * 1.5**2, 24 * 1.5, 24.0]
    for value in expected:
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(value)


def test_gradient_penalty_by_backward() -> None:
    x, w = leaf(2.0), leaf(3.0)
    (gx,) = grad(w * x**3, x, create_graph=True)  # 3 w x²
    (gx**2).backward()  # 9 w² x⁴
    assert w.grad.item() == pytest.approx(18 * 3 * 16)
    assert x.grad.item() == pytest.approx(36 * 9 * 8)


def test_nan_and_infinity_flow_back_in_silence() -> None:
    x = leaf(0.0, 1.0)
    (1 / x).sum().backward()  # warnings are errors in this suite
    assert x.grad.tolist() == [-np.inf, -1.0]

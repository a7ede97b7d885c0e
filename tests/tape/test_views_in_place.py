"""Changes in place where memory is shared: views follow their base, and the base its views, as in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

VIEWS = {
    "row": lambda x: x[1],
    "column": lambda x: x[:, 0],
    "every second": lambda x: x[::2],
    "transposed": lambda x: x.T,
    "transposed row": lambda x: x.T[2],
    "flat": lambda x: x.view(-1),
    "part of flat": lambda x: x.view(-1)[3:7],
    "unsqueezed": lambda x: x.unsqueeze(0),
    "element": lambda x: x[1, 2],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "all": lambda x: x[...],
}
CHANGES = {
    "mul_": lambda T, v, w: v.mul_(3),
    "add_": lambda T, v, w: v.add_(w.sum()),
    "*= itself": lambda T, v, w: v.mul_(v.clone()),
    "fill_": lambda T, v, w: v.fill_(2.0),
    "copy_": lambda T, v, w: v.copy_(w.sum() * T.ones_like(v.detach())),
    "clamp_": lambda T, v, w: v.clamp_(-0.3, 0.3),
    "assignment": lambda T, v, w: v.__setitem__(..., w.mean()),
}


def run(T, steps: list[tuple[int, str, str]], tracked: bool) -> list[np.ndarray]:
    """Change views of one base, and the base, in turn; the gradients of a weighted sum of all of them."""
    w = T.tensor([0.5, -1.5], dtype=T.float64, requires_grad=True)
    start = T.tensor(np.random.default_rng(0).standard_normal((4, 3)), requires_grad=tracked)
    base = start * 1
    values = [base]
    for source, view, change in steps:
        of = values[source % len(values)]
        if of.ndim == 2 and tuple(of.shape) == (4, 3):
            values.append(VIEWS[view](of))
        CHANGES[change](T, values[-1], w)
    total = sum((value * (i + 1.5)).sum() for i, value in enumerate(values)) * w.sum()
    leaves = [w, start] if tracked else [w]
    grads = T.autograd.grad(total, leaves, create_graph=True)
    again = sum((g * g).sum() for g in grads) + w[0] * w[1]
    second = T.autograd.grad(again, leaves, allow_unused=True, materialize_grads=True)
    return [x.detach().numpy() for x in (*values, *grads, *second)]


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(sorted(VIEWS)), st.sampled_from(sorted(CHANGES))),
        min_size=1,
        max_size=4,
    ),
    tracked=st.booleans(),
)
@settings(max_examples=100)
def test_views_and_base_follow_each_other(steps, tracked) -> None:
    for ours, theirs in zip(run(minipar, steps, tracked), run(torch, steps, tracked), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("view", VIEWS)
def test_a_base_changed_after_the_view_was_made(view: str) -> None:
    found = []
    for T in (minipar, torch):
        x = T.arange(12, dtype=T.float64).reshape(4, 3).clone().requires_grad_()
        base = x * 1
        seen = VIEWS[view](base)
        base.mul_(2)
        assert seen.grad_fn is not None
        (seen * 5).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_array_equal(found[0], found[1])


def test_augmented_assignment_to_an_index() -> None:
    x = minipar.ones(2, 3, requires_grad=True)
    y = x * 2
    y[:, 0] += 1
    y[1] *= 4
    y.sum().backward()
    assert y.tolist() == [[3.0, 2.0, 2.0], [12.0, 8.0, 8.0]]
    assert x.grad.tolist() == [[2.0, 2.0, 2.0], [8.0, 8.0, 8.0]]


def test_a_constant_becomes_part_of_the_graph_through_its_view() -> None:
    w = minipar.tensor([2.0], requires_grad=True)
    buffer = minipar.zeros(3)
    row = buffer[1:]
    row.copy_(w * 3)
    assert buffer.requires_grad
    assert not buffer.is_leaf
    buffer.sum().backward()
    assert w.grad.tolist() == [6.0]


def test_a_view_of_a_leaf_that_requires_grad_is_refused() -> None:
    x = minipar.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"mul_: a view of a leaf tensor.*no_grad"):
        x[1:].mul_(2)
    with minipar.no_grad():
        x[1:].add_(2)
    assert x.tolist() == [0.0, 2.0, 2.0]


def test_a_view_made_under_no_grad_is_refused() -> None:
    y = minipar.zeros(3, requires_grad=True) * 1
    with minipar.no_grad():
        view = y[1:]
    with pytest.raises(RuntimeError, match=r"mul_.*no_grad.*clone"):
        y.mul_(2)
    with pytest.raises(RuntimeError, match=r"copy_.*no_grad.*clone"):
        view.copy_(y[1:])
    assert y.tolist() == [0.0, 0.0, 0.0]


def test_what_was_saved_of_a_view_is_noticed() -> None:
    x = minipar.ones(3, requires_grad=True)
    base = x * 1
    y = base[:2].exp() * base[1:]
    base[0].mul_(2)
    with pytest.raises(RuntimeError, match="changed it in place"):
        y.sum().backward()


def test_retained_gradients_follow_base_and_view() -> None:
    found = []
    for T in (minipar, torch):
        base = T.ones(3, dtype=T.float64, requires_grad=True) * 1
        base.retain_grad()
        view = base[1:]
        view.mul_(3)
        (base * 5).sum().backward()
        found.append(base.grad.tolist())
    assert found[0] == found[1]


def test_a_view_keeps_no_cycle() -> None:
    import gc
    import weakref

    gc.disable()
    try:
        base = minipar.ones(3, requires_grad=True) * 1
        view = base[1:]
        view.mul_(2)
        gone = weakref.ref(base)
        del base, view
        assert gone() is None
    finally:
        gc.enable()


def test_an_operation_that_looks_at_views_of_what_it_overwrites() -> None:
    for T in (minipar, torch):
        x = T.tensor(2.0, dtype=T.float64, requires_grad=True)
        y = x * 1
        y.scatter_(0, T.tensor(0), x * 3)
        y.backward()
        assert x.grad.item() == 3.0
    z = minipar.ones(2, 3, requires_grad=True) * 2
    w = z * 1
    from minipar.ops.inplace import in_place

    in_place(w, "square_of_view_", lambda v: (v.view(-1) * v.view(-1)).view(2, 3))
    assert w.tolist() == [[4.0] * 3] * 2
    minipar.autograd.grad(w.sum(), z)

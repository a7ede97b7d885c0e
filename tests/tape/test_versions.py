"""Changing memory in place: what works as in PyTorch, and what is caught, with which words."""

from __future__ import annotations

import numpy as np
import pytest

import minipar


def leaf(*shape: int) -> minipar.Tensor:
    return minipar.ones(*shape, dtype=minipar.float64, requires_grad=True)


CHANGES = {
    "add_": lambda t: t.add_(1),
    "sub_": lambda t: t.sub_(1),
    "mul_": lambda t: t.mul_(2),
    "div_": lambda t: t.div_(2),
    "clamp_": lambda t: t.clamp_(0, 0.5),
    "relu_": lambda t: t.relu_(),
    "fill_": lambda t: t.fill_(3),
    "zero_": lambda t: t.zero_(),
    "copy_": lambda t: t.copy_(minipar.zeros(3, dtype=minipar.float64)),
    "__setitem__": lambda t: t.__setitem__(0, 5.0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_saved_input_is_named(name: str) -> None:
    x, w = leaf(2, 3), minipar.ones(2, 3, dtype=minipar.float64)
    y = x * w
    with minipar.no_grad():
        CHANGES[name](w)
    with pytest.raises(RuntimeError, match=rf"Mul.*shape \(2, 3\).*{name} changed it.*version 1, saved at 0.*clone"):
        y.sum().backward()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_saved_output_is_named(name: str) -> None:
    x = leaf(2, 3)
    y = x.exp()
    z = y.sum()
    CHANGES[name](y)
    with pytest.raises(RuntimeError, match=f"Exp needs.*{name} changed"):
        z.backward()


@pytest.mark.parametrize(
    "view",
    [
        lambda w: w.reshape(6),
        lambda w: w.view(-1),
        lambda w: w[0],
        lambda w: w[:, 1:],
        lambda w: w.T,
        lambda w: w.permute(1, 0),
        lambda w: w.unsqueeze(0),
        lambda w: w.flatten(),
        lambda w: w.expand(1, 2, 3)[0],
        lambda w: w.detach(),
        lambda w: w.narrow(0, 0, 1),
    ],
)
def test_a_change_through_a_view_is_noticed(view) -> None:
    x, w = leaf(2, 3), minipar.ones(2, 3, dtype=minipar.float64)
    y = x * w
    view(w).mul_(2)
    with pytest.raises(RuntimeError, match="mul_ changed"):
        y.sum().backward()
    v = view(w)  # and the other way round: the view is saved, the base is changed
    y = v * leaf(*v.shape)
    w.add_(1)
    with pytest.raises(RuntimeError, match="add_ changed"):
        y.sum().backward()


def test_a_copy_is_not_a_view() -> None:
    x, w = leaf(2, 3), minipar.ones(2, 3, dtype=minipar.float64)
    y = x * w
    for copied in (w.clone(), w.T.contiguous(), w[[0, 1]], w.float(), w[w > 0], w.T.reshape(6)):
        copied.mul_(2)
    y.sum().backward()
    assert x.grad.tolist() == [[1.0] * 3] * 2


def test_an_optimizer_step_between_forward_and_backward_is_caught() -> None:
    w, x = leaf(2, 2), minipar.ones(1, 2, dtype=minipar.float64, requires_grad=True)
    loss = (x @ w @ w).sum()
    with minipar.no_grad():
        w -= 0.1 * w
    with pytest.raises(RuntimeError, match=r"MatMul needs.*sub_ changed"):
        loss.backward()


def test_only_what_the_gradient_needs_is_saved() -> None:
    x, w = leaf(3), minipar.ones(3, dtype=minipar.float64)
    for y in (x * w, x / w, minipar.ones(2, 3, dtype=minipar.float64) @ x):
        x.grad = None
        with minipar.no_grad():
            x.mul_(2)  # a gradient with respect to x alone does not need x
        y.sum().backward()
    y = x + w
    w.zero_()
    y.sum().backward()


@pytest.mark.parametrize("reading", ["index", "mask", "embedding", "target", "condition", "taken"])
def test_indices_and_conditions_are_saved_too(reading: str) -> None:
    x = minipar.ones(3, 3, dtype=minipar.float64, requires_grad=True)
    index, mask = minipar.tensor([0, 2, 2]), minipar.tensor([True, False, True])
    if reading == "index":
        y, change = x[:, index], index
    elif reading == "mask":
        y, change = x[mask], mask
    elif reading == "embedding":
        y, change = minipar.nn.functional.embedding(index, x), index
    elif reading == "target":
        y, change = minipar.nn.functional.cross_entropy(x, index), index
    elif reading == "condition":
        y, change = minipar.where(mask, x, 0.0), mask
    else:
        y, change = minipar.max(x, 1, keepdim=True)
    change.zero_() if reading not in ("mask", "condition") else change.fill_(True)
    with pytest.raises(RuntimeError, match="changed it in place"):
        y.sum().backward()


def test_pooling_winners_that_are_handed_out_are_a_copy() -> None:
    x = minipar.tensor([[[[1.0, 4.0], [3.0, 2.0]]]], requires_grad=True)
    y, winners = minipar.nn.functional.max_pool2d(x, 2, return_indices=True)
    winners.zero_()
    y.sum().backward()
    assert x.grad.flatten().tolist() == [0.0, 1.0, 0.0, 0.0]


def test_a_leaf_that_requires_grad_is_changed_only_under_no_grad() -> None:
    x = leaf(3)
    for change in CHANGES.values():
        with pytest.raises(RuntimeError, match=r"leaf tensor.*no_grad"):
            change(x)
    assert x.tolist() == [1.0, 1.0, 1.0]
    with minipar.no_grad():
        x.mul_(3)
    assert x.requires_grad
    assert x.is_leaf
    assert x.tolist() == [3.0, 3.0, 3.0]


def test_what_is_overwritten_gets_no_gradient() -> None:
    for erase in (lambda y: y.zero_(), lambda y: y.fill_(2.0), lambda y: y.copy_(minipar.ones(3))):
        x = leaf(3)
        y = x * 2
        erase(y)
        (y * 5).sum().backward()
        assert x.grad.tolist() == [0.0, 0.0, 0.0]
    x = leaf(3)
    y = x * 2
    y[1] = 7.0
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 2.0]


def test_a_change_in_place_never_needs_what_it_overwrites() -> None:
    x, w = leaf(3), leaf(3)
    y = x * 3
    y.mul_(w).clamp_(0, 10).div_(w * 2).relu_()
    y.sum().backward()
    assert x.grad.tolist() == [1.5, 1.5, 1.5]
    assert w.grad.tolist() == [0.0, 0.0, 0.0]


def test_a_view_that_is_gone_or_has_no_part_in_the_graph_forbids_nothing() -> None:
    x = leaf(4)
    y = x * 1
    for _ in range(30):
        assert y[0].item() == 1.0  # looked at, and let go
    shown = y.detach()
    y += x
    assert shown.tolist() == [2.0] * 4
    h = (x * 1).reshape(2, 2)  # the only name of this memory is the view
    h.mul_(3)
    (y.sum() + h.sum()).backward()
    assert x.grad.tolist() == [5.0] * 4


def test_rows_written_one_by_one() -> None:
    x = leaf(3)
    y = minipar.zeros(3, dtype=minipar.float64)
    for i in range(3):
        y[i] = x[i] * i
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 2.0]


def test_python_numbers_are_stored_at_full_precision() -> None:
    x = minipar.zeros(2, dtype=minipar.float64)
    x[0] = 0.1
    x[1:] = [0.1]
    assert x.tolist() == [0.1, 0.1]
    n = minipar.zeros(2, dtype=minipar.int64)
    n[0], n[1:] = 1.7, minipar.tensor([2.7])
    assert n.tolist() == [1, 2]


def test_memory_that_cannot_be_written() -> None:
    x = minipar.zeros(1, 3).expand(2, 3)
    with pytest.raises(RuntimeError, match=r"add_.*share one place.*clone"):
        x.add_(1)
    array = np.zeros(3)
    array.flags.writeable = False
    with pytest.raises(RuntimeError, match=r"fill_.*read-only"):
        minipar.from_numpy(array).fill_(1.0)


def test_a_gradient_through_a_change_in_place_keeps_each_dtype() -> None:
    x, w = minipar.ones(3, requires_grad=True), leaf(3)  # float32 and float64
    y = x * 2
    y.add_(w)
    seen = []
    y.register_hook(lambda g: seen.append(g.dtype))
    y.sum().backward()
    assert (y.dtype, x.grad.dtype, w.grad.dtype) == (minipar.float32, minipar.float32, minipar.float64)
    with minipar.no_grad():
        y.mul_(2)
    assert seen == [minipar.float32]
    (first,) = minipar.autograd.grad((x * 1).add_(w).sum(), w, create_graph=True)
    assert first.dtype == minipar.float64


def test_shapes_and_dtypes_that_do_not_fit() -> None:
    x = minipar.zeros(3)
    with pytest.raises(RuntimeError, match=r"add_.*\(2, 3\).*\(3,\)"):
        x.add_(minipar.zeros(2, 3))
    with pytest.raises(RuntimeError, match=r"mul_.*float32.*int64"):
        minipar.tensor([1, 2, 3]).mul_(minipar.ones(3))
    with pytest.raises(RuntimeError, match="__setitem__"):
        x[:2] = minipar.zeros(3)


def test_retain_grad_follows_the_tensor() -> None:
    x = leaf(3)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * 5).sum().backward()
    assert y.grad.tolist() == [5.0] * 3  # of y as it is now, as in PyTorch
    assert x.grad.tolist() == [30.0] * 3


def test_data_escapes_the_check_and_detach_does_not() -> None:
    x, w = leaf(3), minipar.ones(3, dtype=minipar.float64)
    y = x * w
    w.data.mul_(2)  # as in PyTorch: `.data` is the way around
    y.sum().backward()
    assert x.grad.tolist() == [2.0] * 3
    w.data = minipar.zeros(3, dtype=minipar.float64)
    assert w.tolist() == [0.0] * 3

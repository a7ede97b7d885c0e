"""Tensors on a GPU that is not the current one, and on two GPUs at once: everything happens where the tensors lie.

Not a GPU run: the double refuses to compute with another GPU's array, and puts results on the current one.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import minipar
from minipar import nn, optim
from minipar.nn import functional as F
from minipar.utils.checkpoint import checkpoint
from tests.cupy_double.beside_numpy import arrays, assert_equal_arrays

OTHER = "cuda:1"  # while cuda:0 is current


@pytest.fixture(autouse=True)
def current_gpu_stays(cupy: ModuleType) -> Any:
    yield
    assert minipar.cuda.current_device() == 0


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 3))


def cnn() -> nn.Module:
    layers = [nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, 3))


def batch(device: str, *shape: int) -> tuple[minipar.Tensor, minipar.Tensor]:
    draw = np.random.default_rng(3)
    x, classes = draw.standard_normal(shape).astype(np.float32), draw.integers(0, 3, shape[0])
    return minipar.tensor(x, device=device), minipar.tensor(classes, device=device)


def trained(make: Callable[[], nn.Module], shape: tuple[int, ...], device: str, momentum: float) -> list[np.ndarray]:
    minipar.manual_seed(7)
    model = make().to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    x, classes = batch(device, *shape)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x), classes).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    gradients = [p.grad for p in model.parameters()]
    moments = [state["momentum_buffer"] for state in optimizer.state_dict()["state"].values()] if momentum else []
    return arrays([*model.parameters(), *model.buffers(), *gradients, *moments], device)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("make", "shape"), [(mlp, (4, 6)), (cnn, (4, 1, 4, 4))], ids=["mlp", "cnn"])
def test_training_wholly_on_the_other_gpu(make: Any, shape: tuple[int, ...], momentum: float) -> None:
    here, there = (trained(make, shape, device, momentum) for device in ("cpu", OTHER))
    assert_equal_arrays(here, there, rtol=1e-5, atol=1e-6)


def split_in_two(first: str, second: str) -> list[np.ndarray]:
    minipar.manual_seed(5)
    below, above = nn.Linear(6, 5).to(first), nn.Linear(5, 3).to(second)
    optimizer = optim.Adam([*below.parameters(), *above.parameters()], lr=0.1)
    x, classes = batch("cpu", 4, 6)
    x = x.to(first).requires_grad_()
    for _ in range(3):
        optimizer.zero_grad()
        hidden = below(x).relu()
        # both ways across, and two gradients that meet on the first GPU
        loss = F.cross_entropy(above(hidden.to(second)), classes.to(second)).to(first) + (hidden * hidden).mean()
        loss.backward()
        optimizer.step()
    assert str(loss.device) == first
    return [
        *arrays([x.grad, *below.parameters(), *[p.grad for p in below.parameters()]], first),
        *arrays([*above.parameters(), *[p.grad for p in above.parameters()]], second),
    ]


@pytest.mark.parametrize("places", [("cuda:0", OTHER), (OTHER, "cuda:0"), ("cpu", OTHER)])
def test_a_model_on_two_gpus(places: tuple[str, str]) -> None:
    assert_equal_arrays(split_in_two("cpu", "cpu"), split_in_two(*places), rtol=1e-5, atol=1e-6)


def test_leaves_of_both_gpus_are_finished_in_good_time() -> None:
    x, y = minipar.ones(2, device="cuda:0", requires_grad=True), minipar.ones(2, device=OTHER, requires_grad=True)
    seen = []
    for leaf in (x, y):
        leaf.register_post_accumulate_grad_hook(lambda leaf: seen.append((str(leaf.device), str(leaf.grad.device))))
    z = (x * 3).to(OTHER) * y
    z.retain_grad()
    for _ in range(2):
        (z + y.exp()).sum().backward(retain_graph=True)
    assert sorted(seen) == [("cuda:0", "cuda:0")] * 2 + [(OTHER, OTHER)] * 2
    assert (str(z.grad.device), x.grad.tolist()) == (OTHER, [6.0, 6.0])


def test_gradients_of_gradients_across_gpus() -> None:
    x = minipar.tensor([1.0, 2.0], dtype=minipar.float64, device=OTHER, requires_grad=True)
    (slope,) = minipar.autograd.grad((x.to("cuda:0") ** 3).sum(), x, create_graph=True)
    (bend,) = minipar.autograd.grad(slope.sum(), x)
    assert (str(bend.device), bend.tolist()) == (OTHER, [6.0, 12.0])
    assert minipar.autograd.gradcheck(lambda x: x.to("cuda:0").exp() * x.sum().to("cuda:0"), [x])
    with minipar.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="Sqrt made a NaN gradient"):
        ((x - x).sqrt() * 0).sum().backward()


class Across(minipar.autograd.Function):
    """x·y of two GPUs, on the first's."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y.to(x.device)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y.to(g.device), g.to(y.device) * x.to(y.device)


def test_a_function_may_cross_gpus() -> None:
    x, y = minipar.ones(2, device="cuda:0", requires_grad=True), minipar.ones(2, device=OTHER, requires_grad=True)
    (Across.apply(x, y) + Across.apply(y, x).to("cuda:0")).sum().backward()
    assert (str(x.grad.device), str(y.grad.device)) == ("cuda:0", OTHER)
    assert (x.grad.tolist(), y.grad.tolist()) == ([2.0, 2.0], [2.0, 2.0])


def test_checkpoint_on_the_other_gpu() -> None:
    found = []
    for device in ("cpu", OTHER):
        minipar.manual_seed(2)
        block, (x, _) = mlp().to(device), batch(device, 4, 6)
        x.requires_grad_()
        checkpoint(block, x).square().sum().backward()
        found.append(arrays([x.grad, *[p.grad for p in block.parameters()]], device))
    assert_equal_arrays(*found, rtol=1e-5, atol=1e-6)


def test_random_numbers_of_the_other_gpu() -> None:
    minipar.cuda.manual_seed(4)
    state = minipar.cuda.get_rng_state(OTHER)
    first = [F.dropout(minipar.ones(20, device=OTHER), 0.5), minipar.empty(3, device=OTHER).normal_()]
    first += [minipar.randn_like(first[0]), minipar.multinomial(minipar.ones(5, device=OTHER), 3)]
    minipar.cuda.set_rng_state(state, OTHER)
    second = [F.dropout(minipar.ones(20, device=OTHER), 0.5), minipar.empty(3, device=OTHER).normal_()]
    second += [minipar.randn_like(second[0]), minipar.multinomial(minipar.ones(5, device=OTHER), 3)]
    assert_equal_arrays(arrays(first, OTHER), arrays(second, OTHER))


def test_states_travel_between_gpus(tmp_path) -> None:
    minipar.manual_seed(1)
    source, target = mlp().to("cuda:0"), mlp().to(OTHER)
    target.load_state_dict(source.state_dict())
    assert {str(p.device) for p in target.parameters()} == {OTHER}
    assert_equal_arrays(arrays(list(source.parameters()), "cuda:0"), arrays(list(target.parameters()), OTHER))
    minipar.save(source.state_dict(), tmp_path / "model.safetensors")
    for place, device in ((OTHER, OTHER), ("cpu", "cpu")):
        loaded = minipar.load(tmp_path / "model.safetensors", map_location=place)
        assert {str(x.device) for x in loaded.values()} == {device}
    optimizer = optim.Adam(source.parameters())
    source(batch("cuda:0", 4, 6)[0]).sum().backward()
    optimizer.step()
    resumed = optim.Adam(target.parameters())
    resumed.load_state_dict(optimizer.state_dict())
    target(batch(OTHER, 4, 6)[0]).sum().backward()
    resumed.step()
    assert {str(s["exp_avg"].device) for s in resumed.state.values()} == {OTHER}


def test_reading_writing_and_printing() -> None:
    x = minipar.arange(6.0, device=OTHER).reshape(2, 3)
    x[0, 1] = 7.0
    x[x > 4.5] = x.sum()
    x[:, 0] += minipar.ones(2, device=OTHER)
    x.mul_(2).clamp_(max=40.0)
    assert (x.tolist(), x[0, 0].item(), float(x.max())) == ([[2.0, 40.0, 4.0], [8.0, 8.0, 40.0]], 2.0, 40.0)
    assert repr(x[0]) == "tensor([ 2., 40.,  4.], device='cuda:1')"
    copies = [x.clone(), minipar.tensor(x), minipar.zeros_like(x), x.new_ones(2), x.T.contiguous(), x.to(minipar.int64)]
    assert {str(y.device) for y in copies} == {OTHER}
    moved = minipar.zeros(2, 3, device="cuda:0").copy_(x)
    assert (str(moved.device), moved.tolist()) == ("cuda:0", x.tolist())


def test_a_copy_between_gpus_waits_for_both_streams(cupy: ModuleType) -> None:
    sides = [minipar.cuda.Stream(device) for device in (0, 1)]
    with minipar.cuda.device(0), minipar.cuda.stream(sides[0]):
        x = minipar.ones(2, 3, device="cuda:0").T
        with minipar.cuda.stream(sides[1]), minipar.cuda.device(0):
            y = x.to(OTHER)
    source, target = ([what for what, _ in side._stream.given] for side in sides)
    assert (source, target) == (["record", "wait"], ["wait", "record"])
    assert sides[0]._stream.given[0][1] is sides[1]._stream.given[0][1]
    assert sides[0]._stream.given[1][1] is sides[1]._stream.given[1][1]
    assert str(y.device) == OTHER


def test_a_failure_leaves_the_current_gpu_as_it_was() -> None:
    x = minipar.ones(2, 3, device=OTHER, requires_grad=True)
    with pytest.raises(RuntimeError):
        x @ x
    y = (x * 2).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second backward"):
        y.backward()
    x.register_hook(lambda grad: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        (x * 2).sum().backward()

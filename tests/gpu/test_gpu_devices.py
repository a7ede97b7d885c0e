"""On a machine with an NVIDIA GPU: files, streams, events and memory. Skipped by name where there is none."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
from minipar import nn, optim
from minipar.kernels.cuda import detect

usable, reason = detect.status()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not usable, reason=f"needs a GPU: {reason}")]


def model_and_optimizer(device: str):
    minipar.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)).double().to(device)
    return model, optim.Adam(model.parameters(), lr=0.01)


def train(model, optimizer, device: str, steps: int = 3) -> None:
    x = minipar.linspace(-1, 1, 30, dtype=minipar.float64).reshape(5, 6).to(device)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()


@pytest.mark.parametrize(("trained_on", "goes_on_on"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_a_training_goes_on_from_a_file_on_another_device(trained_on, goes_on_on, tmp_path):
    model, optimizer = model_and_optimizer(trained_on)
    train(model, optimizer, trained_on)
    minipar.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint")
    other, other_optimizer = model_and_optimizer(goes_on_on)
    found = minipar.load(tmp_path / "checkpoint", map_location=goes_on_on)
    other.load_state_dict(found["model"])
    other_optimizer.load_state_dict(found["optimizer"])
    train(model, optimizer, trained_on)
    train(other, other_optimizer, goes_on_on)
    for (name, p), q in zip(model.state_dict().items(), other.state_dict().values()):
        assert q.device.type == goes_on_on
        np.testing.assert_allclose(q.cpu().numpy(), p.cpu().numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


def test_a_forward_and_a_backward_run_in_a_side_stream():
    x = minipar.rand(256, 256, device="cuda", requires_grad=True)
    expected = (x.detach().cpu() @ x.detach().cpu()).numpy()
    side = minipar.cuda.Stream()
    side.wait_stream(minipar.cuda.current_stream())
    with minipar.cuda.stream(side):
        y = x @ x
        y.sum().backward()
        assert minipar.cuda.current_stream() == side
    minipar.cuda.current_stream().wait_stream(side)
    np.testing.assert_allclose(y.detach().cpu().numpy(), expected, rtol=1e-5)
    host = x.detach().cpu().numpy()
    np.testing.assert_allclose(x.grad.cpu().numpy(), host.sum(1) + host.sum(0)[:, None], rtol=1e-4)


def test_events_measure_the_work_between_them():
    x = minipar.rand(2048, 2048, device="cuda")
    start, end = (minipar.cuda.Event(enable_timing=True) for _ in range(2))
    y = x @ x  # compiled before
    start.record()
    for _ in range(20):
        y = x @ x
    end.record()
    end.synchronize()
    assert start.query()
    assert end.query()
    assert 0.01 < start.elapsed_time(end) < 60_000  # milliseconds
    assert y.shape == (2048, 2048)


def test_memory_is_counted_and_given_back():
    cuda = minipar.cuda
    cuda.synchronize()
    cuda.empty_cache()
    before = cuda.memory_allocated()
    x = minipar.zeros(1 << 20, device="cuda")
    assert cuda.memory_allocated() - before == 4 << 20
    assert cuda.memory_reserved() >= cuda.memory_allocated()
    free, total = cuda.mem_get_info()
    assert 0 < free < total
    del x
    assert cuda.memory_allocated() == before
    reserved = cuda.memory_reserved()
    cuda.empty_cache()
    assert cuda.memory_reserved() <= reserved - (4 << 20)


def test_memory_beyond_the_limit_is_refused_and_comes_back_with_it():
    total = minipar.cuda.mem_get_info()[1]
    held = minipar.cuda.memory_reserved()
    minipar.cuda.set_per_process_memory_fraction((held + (64 << 20)) / total)
    try:
        with pytest.raises(MemoryError):
            minipar.zeros(128 << 20, dtype=minipar.uint8, device="cuda")
        assert minipar.zeros(1 << 20, dtype=minipar.uint8, device="cuda").sum().item() == 0
    finally:
        minipar.cuda.set_per_process_memory_fraction(1.0)
    assert minipar.zeros(128 << 20, dtype=minipar.uint8, device="cuda").numel() == 128 << 20


def test_a_training_does_not_gather_memory():
    model, optimizer = model_and_optimizer("cuda")
    train(model, optimizer, "cuda", 5)
    before = minipar.cuda.memory_allocated()
    train(model, optimizer, "cuda", 50)
    assert minipar.cuda.memory_allocated() == before


def test_a_gpu_that_is_not_there_is_named():
    missing = f"cuda:{minipar.cuda.device_count()}"
    with pytest.raises(RuntimeError, match=f"device '{missing}' cannot be used"):
        minipar.zeros(2, device=missing)
    with pytest.raises(RuntimeError, match="two devices"):
        minipar.ones(2) + minipar.ones(2, device="cuda")

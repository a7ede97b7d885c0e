"""minipar.cuda: as honest as kernels.cuda.detect, and loaded only when asked for. Its calls of CuPy: cupy_double."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

import minipar
from minipar.kernels.cuda import detect


def test_it_says_what_detect_finds():
    assert minipar.cuda.is_available() is detect.status()[0]
    assert (minipar.cuda.device_count() > 0) is detect.status()[0]


def test_a_gpu_without_a_compiler_is_not_available(monkeypatch):
    runtime = SimpleNamespace(getDeviceCount=lambda: 2)
    cupy = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True, runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(detect, "compiler_status", lambda: (False, "no nvJitLink"))
    assert not minipar.cuda.is_available()
    assert minipar.cuda.device_count() == 0
    monkeypatch.setattr(detect, "compiler_status", lambda: (True, ""))
    assert minipar.cuda.is_available()
    assert minipar.cuda.device_count() == 2


@pytest.mark.parametrize("statement", ["import minipar", "import minipar; minipar.cuda.stream"])
def test_nothing_loads_cupy_before_the_question(statement):
    code = f"import sys; {statement}; print('cupy' in sys.modules, 'minipar.cuda' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", str("cuda" in statement)], done.stderr


# ── random numbers ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_generator_serves_every_device():
    draws = []
    for seeding in (minipar.manual_seed, minipar.cuda.manual_seed, minipar.cuda.manual_seed_all):
        seeding(11)
        draws.append(minipar.rand(3).tolist())
    assert draws[0] == draws[1] == draws[2]
    state = minipar.cuda.get_rng_state("cuda:1")
    drawn = minipar.rand(3).tolist()
    minipar.cuda.set_rng_state(state, device=1)
    assert minipar.rand(3).tolist() == drawn
    minipar.cuda.seed()
    assert minipar.cuda.initial_seed() == minipar.initial_seed() != 11


# ── where there is no GPU ─────────────────────────────────────────────────────────────────────────────────────────────

NEED_ONE = {
    "current_device": lambda cuda: cuda.current_device(),
    "set_device": lambda cuda: cuda.set_device(0),
    "device": lambda cuda: cuda.device(0).__enter__(),
    "get_device_capability": lambda cuda: cuda.get_device_capability(),
    "get_device_name": lambda cuda: cuda.get_device_name(),
    "get_device_properties": lambda cuda: cuda.get_device_properties(0),
    "mem_get_info": lambda cuda: cuda.mem_get_info(),
    "reset_peak_memory_stats": lambda cuda: cuda.reset_peak_memory_stats(),
    "set_per_process_memory_fraction": lambda cuda: cuda.set_per_process_memory_fraction(0.5),
    "synchronize": lambda cuda: cuda.synchronize(),
    "Stream": lambda cuda: cuda.Stream(),
    "Event": lambda cuda: cuda.Event(),
    "current_stream": lambda cuda: cuda.current_stream(),
}


@pytest.mark.parametrize("name", NEED_ONE)
def test_without_a_gpu_it_says_why(name, monkeypatch):
    monkeypatch.setattr(detect, "status", lambda: (False, "no module named 'cupy': pip install it"))
    with pytest.raises(RuntimeError, match=f"^{name}: device 'cuda(:0)?' cannot be used: no module .*: pip install it"):
        NEED_ONE[name](minipar.cuda)


def test_without_a_gpu_nothing_is_taken_of_it(monkeypatch):
    monkeypatch.setattr(detect, "status", lambda: (False, "no GPU"))
    minipar.cuda.empty_cache()
    assert (minipar.cuda.memory_allocated(), minipar.cuda.memory_reserved("cuda:1")) == (0, 0)
    assert (minipar.cuda.max_memory_allocated(1), minipar.cuda.max_memory_reserved()) == (0, 0)
    with minipar.cuda.stream(None):
        pass


# ── on a GPU ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def gpu():
    usable, reason = detect.status()
    if not usable:
        pytest.skip(f"needs a GPU: {reason}")


@pytest.mark.gpu
def test_memory_of_a_gpu(gpu):
    minipar.cuda.empty_cache()
    before = minipar.cuda.memory_allocated()
    x = minipar.zeros(1024, 1024, device="cuda")
    assert minipar.cuda.memory_allocated() - before == 2**22
    assert minipar.cuda.max_memory_allocated() >= before + 2**22
    del x
    assert minipar.cuda.memory_allocated() == before
    assert minipar.cuda.memory_reserved() >= before + 2**22
    minipar.cuda.empty_cache()
    free, total = minipar.cuda.mem_get_info()
    assert 0 < free < total <= minipar.cuda.get_device_properties().total_memory


@pytest.mark.gpu
def test_a_limit_of_memory_is_a_memory_error(gpu):
    total = minipar.cuda.mem_get_info()[1]
    try:
        minipar.cuda.set_per_process_memory_fraction((minipar.cuda.memory_reserved() + 2**24) / total)
        with pytest.raises(MemoryError):
            minipar.zeros(2**24, device="cuda")
    finally:
        minipar.cuda.set_per_process_memory_fraction(1.0)
    assert minipar.zeros(2**24, device="cuda").numel() == 2**24


@pytest.mark.gpu
def test_work_of_two_streams(gpu):
    side = minipar.cuda.Stream()
    x = minipar.ones(512, 512, device="cuda", requires_grad=True)
    side.wait_stream(minipar.cuda.current_stream())
    start, end = (minipar.cuda.Event(enable_timing=True) for _ in range(2))
    with minipar.cuda.stream(side):
        start.record()
        y = (x @ x).sum()
        y.backward()
        end.record()
    minipar.cuda.current_stream().wait_stream(side)
    assert float(y) == 512.0**3
    assert float(x.grad.max()) == 1024.0
    end.synchronize()
    assert start.elapsed_time(end) > 0

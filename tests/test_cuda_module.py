"""minipar.cuda: as honest as kernels.cuda.detect, and loaded only when asked for."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
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


def test_one_generator_serves_every_device():
    draws = []
    for seeding in (minipar.manual_seed, minipar.cuda.manual_seed, minipar.cuda.manual_seed_all):
        seeding(11)
        draws.append(minipar.rand(3).tolist())
    assert draws[0] == draws[1] == draws[2]


def test_memory_goes_back_and_the_gpu_is_waited_for(monkeypatch):
    calls = []
    pool = SimpleNamespace(free_all_blocks=lambda: calls.append("freed"))
    runtime = SimpleNamespace(deviceSynchronize=lambda: calls.append("waited"))
    cuda = SimpleNamespace(runtime=runtime, Device=lambda index: nullcontext(calls.append(index)))
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool))
    monkeypatch.setattr(detect, "status", lambda: (True, ""))
    minipar.cuda.empty_cache()
    minipar.cuda.synchronize()
    minipar.cuda.synchronize("cuda:1")
    assert calls == ["freed", None, "waited", 1, "waited"]
    monkeypatch.setattr(detect, "status", lambda: (False, "no GPU"))
    minipar.cuda.empty_cache()
    with pytest.raises(RuntimeError, match="doctor"):
        minipar.cuda.synchronize()
    assert len(calls) == 5


@pytest.mark.parametrize("statement", ["import minipar", "import minipar; minipar.cuda"])
def test_nothing_loads_cupy_before_the_question(statement):
    code = f"import sys; {statement}; print('cupy' in sys.modules, 'minipar.cuda' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", str("cuda" in statement)], done.stderr

"""minipar.cuda: as honest as kernels.cuda.detect, and loaded only when asked for."""

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


@pytest.mark.parametrize("statement", ["import minipar", "import minipar; minipar.cuda"])
def test_nothing_loads_cupy_before_the_question(statement):
    code = f"import sys; {statement}; print('cupy' in sys.modules, 'minipar.cuda' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", str("cuda" in statement)], done.stderr

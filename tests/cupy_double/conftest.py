"""The double as the module `cupy`, where a test asks for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import minipar
from minipar.kernels.cuda import detect
from tests.cupy_double.double_module import make_cupy, make_cupyx


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`import cupy` finds the double, device "cuda" can be used, and kernels are the reference forms."""
    double = make_cupy()
    for name, module in {"cupy": double, "cupy.linalg": double.linalg, **make_cupyx()}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(detect, "status", lambda: (True, ""))
    with minipar.use_kernels("reference"):
        yield double

"""The double in the place of CuPy, for a test or for a process that a test has started."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

import minipar
from minipar.kernels.cuda import detect
from tests.cupy_double.double_module import make_cupy, make_cupyx


@contextmanager
def double_installed() -> Iterator[ModuleType]:
    """Inside, `import cupy` finds the double, device "cuda" can be used, and kernels are the reference forms."""
    double = make_cupy()
    with pytest.MonkeyPatch.context() as patches, minipar.use_kernels("reference"):
        for name, module in {"cupy": double, "cupy.linalg": double.linalg, **make_cupyx()}.items():
            patches.setitem(sys.modules, name, module)
        patches.setattr(detect, "status", lambda: (True, ""))
        yield double

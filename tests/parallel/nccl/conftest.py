"""NCCL's stand-in, where a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.cupy_double.double_nccl import nccl_installed


@pytest.fixture
def nccl() -> Iterator[SimpleNamespace]:
    """See `nccl_installed`."""
    with nccl_installed() as there:
        yield there

"""The double as the module `cupy`, where a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.cupy_double.installed import double_installed


@pytest.fixture
def cupy() -> Iterator[ModuleType]:
    """See `double_installed`."""
    with double_installed() as double:
        yield double

"""What tests of the simulator share: that a fault is found, in the line where it is."""

import inspect
import re

import pytest

from minipar.kernels.simulate import KernelError, run


def faulty_line(kernel) -> int:
    """The kernel's line that ends in ``# fault``."""
    lines, first = inspect.getsourcelines(kernel)
    return next(first + i for i, line in enumerate(lines) if line.rstrip().endswith("# fault"))


def assert_fault(message: str, kernel, grid, block, *args, **options) -> None:
    with pytest.raises(KernelError, match=message) as caught:
        run(kernel, grid, block, *args, **options)
    assert re.search(rf"line {faulty_line(kernel)}\b", str(caught.value)), caught.value

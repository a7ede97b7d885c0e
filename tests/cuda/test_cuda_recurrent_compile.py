"""The compile gate of the recurrent kernels, at the most units that a block may have: the weights stay in registers.

Needs no GPU and no driver. A kernel that spilled would read its weights from memory every step.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from minipar.kernels.cuda import compiler, detect
from minipar.kernels.cuda.plan import Kernel
from minipar.kernels.cuda.recurrent import persistent, stepwise
from minipar.kernels.cuda.recurrent.cells import CELLS, cell

usable, reason = detect.compiler_status()
pytestmark = pytest.mark.skipif(not usable, reason=reason)

ARCHITECTURES = [(8, 0), (9, 0)]
DTYPES = [np.dtype("float32"), np.dtype("float64")]


def kernels(name: str, dtype: np.dtype) -> Iterator[Kernel]:
    gates = cell(name, dtype).gates
    width = max(filter(None, (persistent.width_that_fits(gates, hidden, dtype) for hidden in range(32, 160, 32))))
    yield persistent.forward_kernel(name, dtype, width)
    yield persistent.backward_kernel(name, dtype, width)
    yield stepwise.step_kernel(name, dtype)
    yield stepwise.step_back_kernel(name, dtype)


@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_weights_stay_in_registers_and_float32_stays_float32(name, dtype, capability):
    for kernel in kernels(name, dtype):
        cubin = compiler.build(kernel, capability)
        assert kernel.name.encode() in cubin.code
        assert (kernel.name, cubin.spills, cubin.stack) == (kernel.name, 0, 0)
        assert 0 < cubin.registers <= persistent.REGISTERS // kernel.threads  # a block fits on a multiprocessor
        assert cubin.shared <= 48 * 1024
        assert (kernel.name, cubin.wide_divisions) == (kernel.name, 0)
        assert (kernel.name, cubin.double_instructions > 0) == (kernel.name, dtype == np.float64)

"""A program, run under NUMBA_ENABLE_CUDASIM=1: the kernels in Numba's simulator and in the interpreter.

Numba's simulator gives every CUDA thread a thread of the system and knows nothing of the interpreter, so two
implementations of the execution model have to agree on these plans.
"""

import itertools

import cuda_cases as cases
import numpy as np
from numba import cuda
from numba.core import config

from minipar.kernels.cuda import interpreter
from minipar.kernels.cuda.conv2d import direct
from minipar.kernels.cuda.conv2d.geometry import geometry_of
from minipar.kernels.cuda.matmul import RUNGS, plan_matmul
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.plan import Plan


def simulated(plan: Plan) -> np.ndarray:
    plan.result.fill(np.nan)
    # The simulator copies every array back, so it takes no read-only view.
    args = [arg if isinstance(arg, int) or arg.flags.writeable else arg.copy() for arg in plan.args]
    cuda.jit(plan.kernel.function)[plan.blocks, plan.kernel.threads](*args)
    return plan.result.copy()


def compare(plan: Plan) -> None:
    by_numba = simulated(plan)
    cases.assert_close(by_numba, interpreter.run(plan).astype(np.float64))
    print("agree", plan.kernel.name, plan.kernel.dtype)


TILES = {
    "naive": Tile(4, 2),
    "coalesced": Tile(2, 4),
    "shared tile": Tile(2, 2, 2),
    "register tile": Tile(4, 4, 2, 2, 2),
}

assert config.ENABLE_CUDASIM
assert list(TILES) == [name for name, rung in RUNGS.items() if not rung.options]  # it knows no vectors and no warps
for dtype, layout in itertools.product(("float32", "float64"), ("contiguous", "transposed")):
    a, b = cases.matrix((2, 5, 7), dtype, layout, 1), cases.matrix((2, 7, 6), dtype, layout, 2)
    for name, tile in TILES.items():
        compare(plan_matmul(a, b, RUNGS[name]._replace(tile=tile)))
    case = cases.ConvCase(dtype, 1, 2, 5, 2, (4, 5), (3, 2), (2, 1), (1, 1), (1, 2))
    x, w, bias, g = case.operands()
    geometry = geometry_of(x.shape, w.shape, *case.geometry)
    compare(direct.plan_direct_forward(x, w, bias, geometry, threads=4))
    compare(direct.plan_direct_grad_input(g, w, geometry, 4))
    compare(direct.plan_direct_grad_weight(g, x, geometry, 4))
